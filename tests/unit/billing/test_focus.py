"""FOCUS 1.2: our rows keep every rule that a machine can check, and the checker notices when they do not."""

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from billing.focus.mapping import COLUMNS, focus_rows
from billing.focus.validator import TOO_WIDE, Breach, check_dataset, load_rules
from tests.unit.billing.test_documents import CONTENT

Rows = list[dict[str, str]]
CARD = {"id": "rc_1", "name": "Basic", "number": 2}


def explained(key: str, model: str, meter: str, steps: list[tuple[str, int, str, int, str]]) -> dict[str, Any]:
    """What rating leaves behind: steps of (label, quantity, price, per, exact amount)."""
    rows, above = [], 0
    for label, quantity, price, per, amount in steps:
        rows.append(
            {
                "label": label, "quantity": str(quantity), "unit_price": price, "per": per, "amount": amount,
                "above": str(above), "up_to": None,
            }
        )  # fmt: skip
        above += quantity
    return {
        "card": CARD,
        "rate": {"key": key, "model": model, "meter": meter, "parameters": {}},
        "quantity": str(above),
        "steps": rows,
        "sources": [{"line": "pooled", "adapter_version": "adv_1", "quantity": str(above)}],
    }


def line(kind: str, description: str, amount: str, explanation: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A line of an invoice's content."""
    usual = {**CONTENT["lines"][1], "unit": "token", "quantity": "1", "meter": "" if kind != "usage" else "tokens"}
    return {**usual, "kind": kind, "description": description, "amount": amount, "explanation": explanation, **more}


def content(**changes: Any) -> dict[str, Any]:
    """An invoice with a line of every kind."""
    bands = [("included", 5_000_000, "0", 1_000_000, "0"), ("band", 5_000_001, "0.6", 1_000_000, "3.0000006"),
             ("band", 2_102_884, "0.55", 1_000_000, "1.1565862")]  # fmt: skip
    lines = [
        line("flat", "Platform fee", "29.00", explained("platform-fee", "flat", "", [("fee", 1, "29", 1, "29")])),
        line("usage", "Output tokens", "4.16", explained("output", "allowance", "output_tokens", bands)),
        line("usage", "Requests", "2.00", explained("requests", "package", "requests",
             [("packages", 4, "0.5", 1, "2")]), unit="request"),
        line("usage", "Endpoint", "1.01", explained("hours", "hourly", "endpoint_seconds",
             [("seconds", 1_000, "3.65", 3600, "1.013888888888")]), unit="hour"),
        line("commitment", "Minimum", "10.00", explained("minimum", "minimum_commitment", "",
             [("commitment", 1, "12", 1, "12"), ("spent", 1, "2", 1, "-2")])),
        line("discount", "Launch offer", "-4.62", {}),
        line("adjustment", "Goodwill", "-1.00", {}),
    ]  # fmt: skip
    taxes = [{**CONTENT["taxes"][0], "name": "Sales tax", "taxable": "40.55", "amount": "4.06"}]
    made = {**copy.deepcopy(CONTENT), "id": "inv_1", "currency": "USD", "lines": lines, "taxes": taxes}
    prepaid = {"credits": [line("credit", "Prepaid credit", "5.00", {})], "prepaid": "5.00", "amount_due": "39.61"}
    return made | prepaid | {"subtotal": "40.55", "tax": "4.06", "total": "44.61"} | changes


def rows_of(**changes: Any) -> Rows:
    return list(focus_rows(content(**changes), tags={"env": "prod", "team": "髙﨑"}))


def broken(rows: Rows) -> set[str]:
    return {breach.rule.id for breach in check_dataset(COLUMNS, rows)}


def test_an_invoice_with_every_kind_of_line_keeps_every_rule() -> None:
    assert check_dataset(COLUMNS, rows_of()) == []


@pytest.mark.parametrize(("kind", "sign"), [("invoice", 1), ("debit_note", 1), ("credit_note", -1)])
def test_costs_add_up_to_the_documents_total(kind: str, sign: int) -> None:
    rows = rows_of(kind=kind)
    assert sum(Decimal(row["BilledCost"]) for row in rows) == sign * Decimal("44.61")
    assert {row["ChargeClass"] for row in rows} == ({""} if kind == "invoice" else {"Correction"})
    assert check_dataset(COLUMNS, rows) == []


def test_a_line_with_steps_is_a_row_per_price_and_stays_whole() -> None:
    steps = [row for row in rows_of() if row["SkuId"] == "output"]
    assert [(row["PricingQuantity"], row["PricingUnit"], row["ListUnitPrice"]) for row in steps] == [
        ("5", "1000000 Tokens", "0"),
        ("5.000001", "1000000 Tokens", "0.6"),
        ("2.102884", "1000000 Tokens", "0.55"),
    ]
    assert [row["ListCost"] for row in steps] == ["0", "3.0000006", "1.1565862"]
    assert [row["BilledCost"] for row in steps] == ["0", "3", "1.16"]
    assert len({row["SkuPriceId"] for row in steps}) == 3


def test_paying_with_prepaid_credit_is_no_charge() -> None:
    assert "Prepaid credit" not in {row["ChargeDescription"] for row in rows_of()}


def test_a_document_closed_before_lines_had_kinds_maps_too() -> None:
    old = content()
    old["lines"] = [{k: v for k, v in each.items() if k != "kind"} for each in old["lines"][:2]]
    assert [row["x_LineKind"] for row in focus_rows(old, tags={})][:2] == ["flat", "usage"]


def put(column: str, value: str, *, at: int = 1) -> Callable[[Rows], None]:
    """Spoil one cell."""

    def spoil(rows: Rows) -> None:
        rows[at][column] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (put("BilledCost", ""), "BilledCost-C-003-M"),
        (put("BilledCost", "1,204.50"), "BilledCost-C-002-M"),
        (put("BilledCost", "$5"), "BilledCost-C-001-M"),
        (put("EffectiveCost", "NaN"), "EffectiveCost-C-002-M"),
        (put("BillingCurrency", "usd"), "BillingCurrency-C-003-M"),
        (put("BillingCurrency", "XXX"), "BillingCurrency-C-006-M"),
        (put("BillingPeriodStart", "2026-10-31 15:00"), "BillingPeriodStart-C-002-M"),
        (put("ChargePeriodEnd", "2026-13-01T00:00:00Z"), "ChargePeriodEnd-C-001-M"),
        (put("ChargeCategory", "Fee"), "ChargeCategory-C-003-M"),
        (put("ChargeClass", "Refund"), "ChargeClass-C-005-C"),
        (put("ChargeFrequency", ""), "ChargeFrequency-C-002-M"),
        (put("ChargeFrequency", "Usage-Based", at=0), "ChargeFrequency-C-004-C"),
        (put("ConsumedQuantity", ""), "ConsumedQuantity-C-006-C"),
        (put("ConsumedUnit", ""), "ConsumedUnit-C-006-C"),
        (put("ConsumedUnit", "Tokens/1000"), "ConsumedUnit-C-003-O"),
        (put("PricingUnit", ""), "PricingUnit-C-006-C"),
        (put("PricingQuantity", ""), "PricingQuantity-C-005-C"),
        (put("ListUnitPrice", "-1"), "ListUnitPrice-C-008-M"),
        (put("ListCost", "9"), "ListCost-C-009-C"),
        (put("SkuPriceId", ""), "SkuPriceId-C-005-C"),
        (put("SkuId", "another"), "SkuPriceId-C-008-M"),
        (put("SkuPriceDetails", '{"a": {"b": 1}}'), "SkuPriceDetails-C-001-M"),
        (put("Tags", '["env"]'), "Tags-C-001-M"),
        (put("Tags", '{"a": 1, "a": 2}'), "Tags-C-001-M"),
        (put("ServiceCategory", "Compute"), "ServiceSubcategory-C-004-M"),
        (put("InvoiceId", ""), "InvoiceId-C-005-C"),
        (put("BillingAccountName", " Acme"), "BillingAccountName-C-002-M"),
        (put("InvoiceIssuerName", "A marketplace", at=2), "BilledCost-C-005-C"),
        (put("ListUnitPrice", "1", at=-1), "ListUnitPrice-C-004-C"),
    ],
)
def test_the_checker_notices(spoil: Callable[[Rows], None], rule: str) -> None:
    rows = rows_of()
    if rule == "SkuPriceId-C-008-M":
        rows.append(dict(rows[1]))
    spoil(rows)
    assert rule in broken(rows)


@pytest.mark.parametrize("column", ["BilledCost", "ChargeCategory", "PricingUnit", "ConsumedQuantity", "SkuId", "Tags"])
def test_a_column_that_must_be_there_is_missed(column: str) -> None:
    rest = [name for name in COLUMNS if name != column]
    rows = [{name: row[name] for name in rest} for row in rows_of()]
    [breach] = [each for each in check_dataset(rest, rows) if each.rule.function == "Presence"]
    assert (breach.rule.column, breach.row) == (column, 0)
    assert str(breach).startswith(f"{breach.rule.id} (dataset): ")


def test_breaches_are_kept_to_a_limit_and_say_where() -> None:
    rows = [dict(rows_of()[1], BilledCost="") for _ in range(50)]
    found: list[Breach] = check_dataset(COLUMNS, rows, limit=7)
    assert [breach.row for breach in found] == [1, 2, 3, 4, 5, 6, 7]


def test_the_rules_are_the_specifications() -> None:
    functions = {rule.function for rule in load_rules()}
    assert functions == {"Presence", "Type", "Nullability", "Format", "Validation"}
    assert len(load_rules()) == 268 - len(TOO_WIDE)
    assert all(rule.text and rule.keyword for rule in load_rules())
