"""From an invoice's content to the strings that a document prints. Pure: the content in, text in one language out."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, format_percent

from billing.documents import wording
from billing.focus.mapping import line_kind
from core.money import exponent

Content = Mapping[str, Any]
LANGUAGES = tuple(wording.LOCALES)
# Kinds of lines that are one amount: a count of one says nothing.
UNCOUNTED = ("discount", "adjustment")


def printed(content: Content, language: str, *, state: str) -> dict[str, Any]:
    """Everything a page shows, ready to be set; no figure is computed here that the content does not hold."""
    words = wording.LABELS[language]
    currency = content["currency"]
    is_credit = content["kind"] == "credit_note"
    return {
        "lang": language,
        "title": wording.TITLES[language][content["kind"]],
        "state": wording.STATES[language].get(state, ""),
        "labels": words,
        "meta": _meta(content, language),
        "buyer": {"tax_number": "", **content["buyer"], "honorific": words["honorific"]},
        "seller": {**content["seller"], "payment_details": ""} if is_credit else content["seller"],
        "headline": {
            "label": words["amount_credited" if is_credit else "amount_due"],
            "amount": money(content.get("amount_due", content["total"]), currency, language),
        },
        "lines": [_line(line, content, language) for line in content["lines"]],
        "totals": _totals(content, language),
        "notes": [
            *_tax_notes(content, language),
            words["rounding"].format(currency=currency),
            words["timezone"].format(timezone=content["timezone"]),
        ],
        "fingerprint": content.get("sha256", ""),
    }


def money(amount: str, currency: str, language: str) -> str:
    """An amount with its symbol and exactly the digits of its currency."""
    return str(format_currency(Decimal(amount), currency, locale=wording.LOCALES[language]))


def unit_price(amount: str, currency: str, language: str) -> str:
    """A price with as many digits as it has, never fewer than its currency shows."""
    digits = exponent(currency)
    pattern = "¤#,##0" + ("." + "0" * digits + "#" * (12 - digits))
    pattern += ";-" + pattern
    return str(
        format_currency(
            Decimal(amount), currency, format=pattern, locale=wording.LOCALES[language], currency_digits=False
        )
    )


def percent(rate: str, language: str) -> str:
    """A tax rate, `10%` or `7.7%`."""
    return str(format_percent(Decimal(rate), format="#,##0.##%", locale=wording.LOCALES[language]))


def counted(quantity: str, unit: str, language: str) -> str:
    """A quantity with its unit in the right number: `1 month`, `18,059,974 tokens`."""
    value = Decimal(quantity)
    figure = str(format_decimal(value, format="#,##0.####", locale=wording.LOCALES[language]))
    singular, plural = wording.UNITS[language].get(unit, wording.UNITS[language]["unit"])
    if language == "ja":
        return f"{figure}{singular}"
    return f"{figure} {singular if abs(value) == 1 else plural}"


def span(start: datetime, end: datetime, timezone: str, language: str) -> str:
    """A half-open period as people write it: first day to last day, both included, in its billing zone."""
    zone = ZoneInfo(timezone)
    first = start.astimezone(zone).date()
    last = (end.astimezone(zone) - timedelta(microseconds=1)).date()
    locale = wording.LOCALES[language]
    style, dash = ("long", "～") if language == "ja" else ("medium", " – ")
    if first == last:
        return str(format_date(first, style, locale=locale))
    return f"{format_date(first, style, locale=locale)}{dash}{format_date(last, style, locale=locale)}"


def _meta(content: Content, language: str) -> list[list[str]]:
    words, locale = wording.LABELS[language], wording.LOCALES[language]
    start, end = (datetime.fromisoformat(content["period"][edge]) for edge in ("start", "end"))
    rows = [[words["number"], content["number"]]] if content["number"] else []
    if content["issued_on"]:
        rows.append([words["issued"], format_date(date.fromisoformat(content["issued_on"]), "long", locale=locale)])
    if content["due_on"]:
        rows.append([words["due"], format_date(date.fromisoformat(content["due_on"]), "long", locale=locale)])
    rows.append([words["period"], span(start, end, content["timezone"], language)])
    if content["corrects"]:
        rows.append([words["corrects"], content["corrects"]])
    if content["reason"]:
        rows.append([words["reason"], content["reason"]])
    return rows


def _line(line: Mapping[str, Any], content: Content, language: str) -> dict[str, Any]:
    currency = content["currency"]
    start, end = datetime.fromisoformat(line["span"]["start"]), datetime.fromisoformat(line["span"]["end"])
    price = ""
    if line["unit_price"] is not None:
        price = _priced(line["unit_price"], line["per"], line["unit"], currency, language)
    return {
        "description": _in(line, "description", language),
        "span": span(start, end, content["timezone"], language),
        "details": [*_details(line, currency, language), *_remarks(line, content, language)],
        "quantity": "" if line_kind(line) in UNCOUNTED else counted(line["quantity"], line["unit"], language),
        "unit_price": price,
        "amount": money(line["amount"], currency, language),
    }


def _in(named: Mapping[str, Any], field: str, language: str) -> str:
    """A text in the document's language, in English where there is no other."""
    return str((named.get(f"{field}_ja") if language == "ja" else "") or named.get(field, ""))


def _tax_notes(content: Content, language: str) -> list[str]:
    """What the law wants said about a tax, such as that the customer owes it."""
    return [note for note in (_in(tax, "note", language) for tax in content["taxes"]) if note]


def _remarks(line: Mapping[str, Any], content: Content, language: str) -> list[str]:
    """Why a line was adjusted; and its tax rate, where the document has more than one."""
    reason = line["explanation"].get("adjustment", {}).get("reason", "")
    remarks = [reason] if reason else []
    if len(content["taxes"]) > 1:
        remarks.append(wording.LABELS[language]["tax_rate"].format(rate=percent(line["tax_rate"], language)))
    return remarks


def _priced(price: str, per: int, unit: str, currency: str, language: str) -> str:
    singular, plural = wording.UNITS[language].get(unit, wording.UNITS[language]["unit"])
    per_words = wording.PER[language].get(per, f"{per} ")
    return f"{unit_price(price, currency, language)} / {per_words}{plural if per > 1 else singular}"


def _details(line: Mapping[str, Any], currency: str, language: str) -> list[str]:
    """The steps, where there is more to say than the line itself says; in the line's unit, so without naming it."""
    steps = line["explanation"].get("steps", [])
    share = line["explanation"].get("share", {"seconds": 1, "of": 1})
    locale = wording.LOCALES[language]
    details = []
    for step in steps:
        is_whole_fee = step["label"] == "fee" and share["seconds"] == share["of"]
        is_only_band = step["label"] == "band" and len(steps) == 1
        if step["label"] not in wording.STEPS[language] or is_whole_fee or is_only_band:
            continue
        per = wording.PER[language][step["per"]].strip() if step["label"] != "packages" else ""
        price = unit_price(step["unit_price"], currency, language)
        amount = str(abs(Decimal(step["amount"])).quantize(Decimal("0.0001")))
        details.append(
            wording.STEPS[language][step["label"]].format(
                quantity=format_decimal(int(step["quantity"]), locale=locale),
                limit=format_decimal(int(step["up_to"]), locale=locale) if step["up_to"] else "",
                price=f"{price} / {per}" if per else price,
                share=format_percent(Decimal(share["seconds"]) / share["of"], format="0.##%", locale=locale),
                amount=unit_price(amount, currency, language),
            )
        )
    return details


def _totals(content: Content, language: str) -> list[list[str]]:
    words, currency = wording.LABELS[language], content["currency"]
    rows = [[words["subtotal"], money(content["subtotal"], currency, language)]]
    for tax in content["taxes"]:
        rate = percent(tax["rate"], language)
        name = _in(tax, "name", language)
        rows.append([words["taxable"].format(rate=rate), money(tax["taxable"], currency, language)])
        rows.append([words["tax"].format(name=name, rate=rate), money(tax["amount"], currency, language)])
    rows.append([words["total"], money(content["total"], currency, language)])
    if Decimal(content.get("prepaid", 0)):
        rows.append([words["prepaid"], money(f"-{content['prepaid']}", currency, language)])
        rows.append([words["due_left"], money(content["amount_due"], currency, language)])
    return rows
