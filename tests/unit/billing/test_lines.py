"""Rated lines: one rounding each, an explanation that adds up, and nothing of the usage lost."""

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rating.lines import CardTerms, RateTerms, Segment, Usage, rate_segment, uncharged
from billing.rating.parameters import parse_parameters
from core.money import exponent
from core.periods import Period, billing_month

NOVEMBER = billing_month(2026, 11, "UTC")


def rate(number: int, meter: str, model: str, **parameters: object) -> RateTerms:
    parsed = parse_parameters(model, parameters)
    return RateTerms(number, f"rate-{number}", meter, model, parsed, parameters, f"Rate {number}", f"料金{number}")


def segment(
    *rates: RateTerms, usage: tuple[Usage, ...] = (), currency: str = "USD", fee_span: Period | None = NOVEMBER
):
    card = CardTerms("rc_1", "Card", 1, currency, rates)
    return Segment(NOVEMBER, fee_span, NOVEMBER, card, usage)


def used(meter: str, quantity: int, line: str = "pooled", version: str = "adv_1") -> Usage:
    return Usage(meter, quantity, line, version)


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("JPY", "7"), ("USD", "7.22"), ("KWD", "7.224")],
)
def test_a_line_is_rounded_to_its_currency(currency: str, amount: str) -> None:
    per_unit = rate(1, "input_tokens", "per_unit", unit_price="0.40", per=1_000_000)
    [line] = rate_segment(segment(per_unit, usage=(used("input_tokens", 18_059_974),), currency=currency))
    assert str(line.amount) == amount
    assert line.exact == Decimal("7.2239896")


def test_half_a_cent_rounds_up() -> None:
    per_unit = rate(1, "requests", "per_unit", unit_price="0.005", per=1)
    [line] = rate_segment(segment(per_unit, usage=(used("requests", 1),)))
    assert line.amount == Decimal("0.01")


def test_usage_of_many_adapters_is_one_line_that_names_them_all() -> None:
    per_unit = rate(1, "input_tokens", "per_unit", unit_price="1", per=1_000)
    usage = (used("input_tokens", 4, version="adv_2"), used("input_tokens", 6), used("input_tokens", 5, "other"))
    [line] = rate_segment(segment(per_unit, usage=usage))
    assert line.quantity == 15
    assert line.explanation["sources"] == [
        {"line": "other", "adapter_version": "adv_1", "quantity": "5"},
        {"line": "pooled", "adapter_version": "adv_1", "quantity": "6"},
        {"line": "pooled", "adapter_version": "adv_2", "quantity": "4"},
    ]


def test_a_meter_without_usage_leaves_no_line_and_a_fee_before_activation_neither() -> None:
    rates = (rate(1, "", "flat", amount="99"), rate(2, "input_tokens", "per_unit", unit_price="1", per=1))
    assert rate_segment(segment(*rates, fee_span=None)) == []


def test_usage_without_a_rate_is_told() -> None:
    rates = segment(rate(1, "", "flat", amount="99"), usage=(used("requests", 3), used("requests", 4, "other")))
    assert uncharged(rates) == {"requests": 7}


def test_endpoint_seconds_are_printed_as_hours_and_priced_by_the_second() -> None:
    hourly = rate(1, "endpoint_seconds", "hourly", price="1.515")
    [line] = rate_segment(segment(hourly, usage=(used("endpoint_seconds", 100_000, "dedicated", ""),)))
    assert (line.quantity, line.unit, line.amount) == (Decimal("27.7778"), "hour", Decimal("42.08"))


def test_a_commitment_tops_up_exactly_to_its_amount_and_stands_where_its_card_puts_it() -> None:
    rates = (
        rate(1, "", "minimum_commitment", amount="500", meters=["endpoint_seconds"]),
        rate(2, "endpoint_seconds", "hourly", price="1.515"),
        rate(3, "input_tokens", "per_unit", unit_price="1", per=1),
    )
    usage = (used("endpoint_seconds", 100_000, "dedicated", ""), used("input_tokens", 7))
    lines = rate_segment(segment(*rates, usage=usage))
    assert [line.rate.id for line in lines] == [1, 2, 3]
    assert lines[0].amount + lines[1].amount == Decimal(500)
    assert lines[2].amount == Decimal(7)


def test_a_met_commitment_leaves_no_line() -> None:
    rates = (
        rate(1, "endpoint_seconds", "hourly", price="1000"),
        rate(2, "", "minimum_commitment", amount="500", meters=["endpoint_seconds"]),
    )
    lines = rate_segment(segment(*rates, usage=(used("endpoint_seconds", 3600),)))
    assert [line.rate.id for line in lines] == [1]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["JPY", "USD", "KWD", "XAF", "EUR", "BHD"]),
    st.decimals(min_value=0, max_value=10**6, places=9),
    st.integers(1, 10**15),
    st.sampled_from([1, 1_000, 1_000_000]),
)
def test_a_line_is_within_half_a_unit_of_its_fraction_and_rounds_half_up(
    currency: str, unit_price: Decimal, quantity: int, per: int
) -> None:
    per_unit = rate(1, "requests", "per_unit", unit_price=f"{unit_price:f}", per=per)
    [line] = rate_segment(segment(per_unit, usage=(used("requests", quantity),), currency=currency))
    exact = Fraction(unit_price) * quantity / per
    unit = Fraction(1, 10 ** exponent(currency))
    assert Fraction(line.amount) == floor(exact / unit + Fraction(1, 2)) * unit
