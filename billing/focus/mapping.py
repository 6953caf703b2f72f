"""From an invoice's content to rows of FOCUS 1.2. Pure; docs/adr/ says why each charge is what it is there.

The costs of a document's rows add up to its total, to the last unit: a line that is priced in steps is one row per
step, and what rounding the line once gave or took stays with the step at which it arose.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal, localcontext
from typing import Any

from billing.rating.proration import DIGITS
from core.money import round_money

Content = Mapping[str, Any]

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost",
    "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId",
    "Tags", "x_AdapterVersions", "x_Corrects", "x_InvoiceLine", "x_LineKind", "x_ServingLines",
)  # fmt: skip

SERVICE = {
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "Adapter serving",
    "ServiceSubcategory": "Generative AI",
}
CATEGORIES = {
    "usage": ("Usage", "Usage-Based"),
    "flat": ("Purchase", "Recurring"),
    "commitment": ("Purchase", "Recurring"),
    "discount": ("Credit", "One-Time"),
    "adjustment": ("Adjustment", "One-Time"),
}
METER_STEPS = ("band", "volume", "units", "included", "seconds", "packages")
SECONDS_PER_HOUR = 3600
HOURS = Decimal("0.000000001")


def focus_rows(content: Content, *, tags: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The rows of one document, nulls as empty text. Costs of a credit note are negative.

    Prepaid credit (`credits` of the content) is not among them: drawing it pays a charge and is none.
    """
    shared = _shared(content, tags)
    for line in content["lines"]:
        yield from _line_rows(content, line, shared)
    for tax in content["taxes"]:
        amount = Decimal(tax["amount"])
        if amount:
            yield shared | _costs(_signed(content, amount)) | _span(content["period"]) | {
                "ChargeCategory": "Tax",
                "ChargeFrequency": "One-Time",
                "ChargeDescription": _clean(f"{tax['name']} on {tax['taxable']}"),
                "x_LineKind": "tax",
            }  # fmt: skip


def line_kind(line: Mapping[str, Any]) -> str:
    """What a line is; documents that were closed before lines had kinds tell it by their meter."""
    return str(line.get("kind") or ("usage" if line["meter"] else "flat"))


def _shared(content: Content, tags: Mapping[str, str]) -> dict[str, str]:
    seller = _clean(content["seller"]["name"])
    return dict.fromkeys(COLUMNS, "") | SERVICE | {
        "BillingAccountId": content["buyer"]["id"],
        "BillingAccountName": _clean(content["buyer"]["name"]),
        "BillingCurrency": content["currency"],
        "BillingPeriodStart": _instant(content["period"]["start"]),
        "BillingPeriodEnd": _instant(content["period"]["end"]),
        "ChargeClass": "" if content["kind"] == "invoice" else "Correction",
        "InvoiceId": content["number"] or content["id"],
        "InvoiceIssuerName": seller,
        "ProviderName": seller,
        "PublisherName": seller,
        "Tags": _pairs(tags),
        "x_Corrects": content["corrects"],
    }  # fmt: skip


def _line_rows(content: Content, line: Mapping[str, Any], shared: Mapping[str, str]) -> Iterator[dict[str, str]]:
    kind = line_kind(line)
    category, frequency = CATEGORIES[kind]
    explanation = line["explanation"]
    sources = explanation.get("sources", [])
    row = {
        **shared,
        **_span(line["span"]),
        "ChargeCategory": category,
        "ChargeFrequency": frequency,
        "ChargeDescription": _clean(line["description"]),
        "x_LineKind": kind,
        "x_InvoiceLine": str(line["position"]),
        "x_ServingLines": " ".join(sorted({source["line"] for source in sources if source["line"]})),
        "x_AdapterVersions": " ".join(
            sorted({source["adapter_version"] for source in sources if source["adapter_version"]})
        ),
    }
    amount = Decimal(line["amount"])
    rate = explanation.get("rate")
    if rate is None or content["kind"] != "invoice" or kind in ("discount", "adjustment"):
        yield row | _costs(_signed(content, amount))
    elif kind == "usage":
        yield from _step_rows(content["currency"], line, row)
    else:
        yield row | _sku(explanation, {}) | _priced(Decimal(1), amount, amount, "Months")


def _step_rows(currency: str, line: Mapping[str, Any], row: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """One row per price that was used; the last row takes what the line's one rounding leaves."""
    explanation, left, exact = line["explanation"], Decimal(line["amount"]), Decimal(0)
    steps = [step for step in explanation["steps"] if step["label"] in METER_STEPS and Decimal(step["quantity"])]
    if not steps:
        consumed = {"ConsumedQuantity": _plain(Decimal(line["quantity"])), "ConsumedUnit": _units(line)}
        yield {**row, **_sku(explanation, {}), **_priced(Decimal(1), left, left, "Charges"), **consumed}
    billed_before = Decimal(0)
    for number, step in enumerate(steps, start=1):
        with localcontext(prec=DIGITS):
            exact += Decimal(step["amount"])
            billed = left if number == len(steps) else round_money(exact, currency) - billed_before
        billed_before += billed
        left -= billed
        yield {**row, **_sku(explanation, step), **_measured(line, step, billed)}


def _measured(line: Mapping[str, Any], step: Mapping[str, Any], billed: Decimal) -> dict[str, str]:
    count, price, per = Decimal(step["quantity"]), Decimal(step["unit_price"]), step["per"]
    if step["label"] == "packages":
        consumed = {"ConsumedQuantity": _plain(Decimal(line["explanation"]["quantity"])), "ConsumedUnit": _units(line)}
        return _priced(count, price, billed, "Packages") | consumed
    if step["label"] == "seconds":
        hours = (count / SECONDS_PER_HOUR).quantize(HOURS)
        return _priced(hours, price, billed, "Hours") | {"ConsumedQuantity": _plain(count), "ConsumedUnit": "Seconds"}
    unit = _units(line)
    priced = _priced(count / per, price, billed, f"{per} {unit}" if per > 1 else unit)
    return priced | {"ConsumedQuantity": _plain(count), "ConsumedUnit": unit}


def _priced(quantity: Decimal, price: Decimal, billed: Decimal, unit: str) -> dict[str, str]:
    with localcontext(prec=DIGITS):
        listed = quantity * price
    return _costs(billed, listed) | {
        "ListUnitPrice": _plain(price),
        "PricingCategory": "Standard",
        "PricingQuantity": _plain(quantity),
        "PricingUnit": unit,
    }


def _costs(billed: Decimal, listed: Decimal | None = None) -> dict[str, str]:
    at_list = _plain(billed if listed is None else listed)
    return {
        "BilledCost": _plain(billed),
        "EffectiveCost": _plain(billed),
        "ContractedCost": at_list,
        "ListCost": at_list,
    }


def _sku(explanation: Mapping[str, Any], step: Mapping[str, Any]) -> dict[str, str]:
    rate, card = explanation["rate"], explanation["card"]
    details = {"x_RateCard": card["name"], "x_RateCardNumber": card["number"], "x_PriceModel": rate["model"]}
    where = ""
    if step.get("label") in ("band", "volume", "included"):
        where = f"/{step['label']}-{step['above']}"
        details |= {"x_Step": step["label"], "x_Above": step["above"], "x_UpTo": step["up_to"] or "unlimited"}
    title = (rate["meter"] or rate["key"]).replace("_", " ").replace("-", " ").title()
    return {
        "SkuId": rate["key"],
        "SkuMeter": title,
        "SkuPriceId": f"{card['id']}/{rate['key']}{where}",
        "SkuPriceDetails": _pairs(details),
    }


def _signed(content: Content, amount: Decimal) -> Decimal:
    return -amount if content["kind"] == "credit_note" else amount


def _span(period: Mapping[str, str]) -> dict[str, str]:
    return {"ChargePeriodStart": _instant(period["start"]), "ChargePeriodEnd": _instant(period["end"])}


def _units(line: Mapping[str, Any]) -> str:
    unit = str(line["unit"])
    return f"{unit[:1].upper()}{unit[1:]}s"


def _instant(text: str) -> str:
    """Periods lie on whole seconds; FOCUS wants no fraction."""
    return text if len(text) == len("2026-10-01T00:00:00Z") else f"{text[:19]}Z"


def _pairs(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _clean(text: str) -> str:
    """A name on one line, without what does not print."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
