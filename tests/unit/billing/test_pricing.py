"""Prices against cases worked out by hand and against plain fractions."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rating.parameters import (
    Allowance,
    Band,
    Flat,
    Graduated,
    Hourly,
    MinimumCommitment,
    Package,
    Parameters,
    PerUnit,
    Volume,
)
from billing.rating.pricing import price, top_up
from billing.rating.proration import Share

WHOLE = Share(30 * 86400, 30 * 86400)
HALF = Share(15 * 86400, 30 * 86400)
THIRD = Share(10 * 86400, 30 * 86400)
D = Decimal
LADDER = (Band(1_000_000, D("2.00")), Band(10_000_000, D("1.50")), Band(None, D("1.00")))


@pytest.mark.parametrize(
    ("parameters", "quantity", "share", "amount"),
    [
        pytest.param(Flat(D("99.00")), 0, WHOLE, "99.00", id="flat-whole"),
        pytest.param(Flat(D("99.00")), 0, HALF, "49.50", id="flat-half"),
        pytest.param(Flat(D("99.00")), 0, Share(0, 10), "0", id="flat-never-there"),
        pytest.param(PerUnit(D("0.40"), 1_000_000), 18_059_974, WHOLE, "7.2239896", id="per-unit"),
        pytest.param(PerUnit(D("0.40"), 1_000_000), 0, WHOLE, "0", id="per-unit-nothing"),
        pytest.param(PerUnit(D("0.0000027"), 1), 1, WHOLE, "0.0000027", id="one-token-keeps-its-price"),
        pytest.param(Hourly(D("1.515")), 5400, WHOLE, "2.2725", id="hour-and-a-half"),
        pytest.param(Hourly(D("3.60")), 1, WHOLE, "0.001", id="one-second"),
        pytest.param(Package(1000, D("5")), 0, WHOLE, "0", id="no-package"),
        pytest.param(Package(1000, D("5")), 1, WHOLE, "5", id="begun-package"),
        pytest.param(Package(1000, D("5")), 1000, WHOLE, "5", id="full-package"),
        pytest.param(Package(1000, D("5")), 1001, WHOLE, "10", id="second-package"),
        pytest.param(Graduated(1_000_000, LADDER), 1_000_000, WHOLE, "2", id="graduated-at-the-edge"),
        pytest.param(Graduated(1_000_000, LADDER), 1_000_001, WHOLE, "2.0000015", id="graduated-one-above"),
        pytest.param(Graduated(1_000_000, LADDER), 12_000_000, WHOLE, "17.5", id="graduated-all-bands"),
        pytest.param(Graduated(1_000_000, LADDER), 1_000_000, HALF, "1.75", id="graduated-half-month-half-band"),
        pytest.param(Volume(1_000_000, LADDER), 1_000_000, WHOLE, "2", id="volume-at-the-edge"),
        pytest.param(Volume(1_000_000, LADDER), 1_000_001, WHOLE, "1.5000015", id="volume-one-above"),
        pytest.param(Volume(1_000_000, LADDER), 20_000_000, WHOLE, "20", id="volume-open-band"),
        pytest.param(Allowance(5_000_000, 1_000_000, LADDER), 5_000_000, WHOLE, "0", id="allowance-used-up"),
        pytest.param(Allowance(5_000_000, 1_000_000, LADDER), 5_000_001, WHOLE, "0.000002", id="first-unit-over"),
        pytest.param(Allowance(5_000_000, 1_000_000, LADDER), 7_000_000, WHOLE, "3.5", id="overage-two-bands"),
        pytest.param(Allowance(10, 1, (Band(None, D(1)),)), 4, THIRD, "0", id="allowance-rounds-up-for-customer"),
        pytest.param(Allowance(10, 1, (Band(None, D(1)),)), 5, THIRD, "1", id="allowance-third-used-up"),
        pytest.param(Allowance(0, 1, (Band(None, D(1)),)), 5, WHOLE, "5", id="no-allowance"),
        pytest.param(PerUnit(D(10) ** 12, 1), 10**38, WHOLE, "1" + "0" * 50, id="nothing-overflows"),
    ],
)
def test_price(parameters: Parameters, quantity: int, share: Share, amount: str) -> None:
    assert price(parameters, quantity, share).amount == Decimal(amount)


@pytest.mark.parametrize(
    ("spent", "share", "missing"),
    [("0", WHOLE, "500"), ("499.99", WHOLE, "0.01"), ("500", WHOLE, "0"), ("700", WHOLE, "0"), ("100", HALF, "150")],
)
def test_a_commitment_is_topped_up(spent: str, share: Share, missing: str) -> None:
    commitment = MinimumCommitment(D(500), ("endpoint_seconds",))
    assert top_up(commitment, share, D(spent)).amount == D(missing)


def test_a_ladder_with_one_price_used_names_it_and_one_with_two_does_not() -> None:
    ladder = Graduated(1_000_000, LADDER)
    assert price(ladder, 5, WHOLE).unit_price == D("2.00")
    assert price(ladder, 2_000_000, WHOLE).unit_price is None


def test_overage_steps_count_from_the_allowance() -> None:
    steps = price(Allowance(5, 1, (Band(2, D(3)), Band(None, D(1)))), 9, WHOLE).steps
    assert [(s.label, s.above, s.up_to, s.quantity) for s in steps] == [
        ("included", 0, 5, 5),
        ("band", 5, 7, 2),
        ("band", 7, None, 2),
    ]


def test_a_negative_quantity_is_a_bug() -> None:
    with pytest.raises(ValueError, match="never negative"):
        price(PerUnit(D(1), 1), -1, WHOLE)


def test_a_commitment_has_no_price_of_its_own() -> None:
    with pytest.raises(ValueError, match="top_up"):
        price(MinimumCommitment(D(1), ("requests",)), 0, WHOLE)


# Against fractions: the same rules written as slowly and plainly as possible.

prices = st.decimals(min_value=0, max_value=10_000, places=6)
pers = st.sampled_from([1, 1_000, 1_000_000])
quantities = st.one_of(st.integers(0, 50), st.integers(0, 10**15))
shares = st.integers(1, 31 * 86400).flatmap(lambda of: st.integers(0, of).map(lambda s: Share(s, of)))


@st.composite
def ladders(draw: st.DrawFn) -> tuple[Band, ...]:
    edges = sorted(draw(st.sets(st.one_of(st.integers(1, 60), st.integers(1, 10**15)), max_size=5)))
    return (*tuple(Band(edge, draw(prices)) for edge in edges), Band(None, draw(prices)))


def slow_ladder(quantity: int, bands: tuple[Band, ...], share: Share) -> Fraction:
    total, below = Fraction(0), 0
    for band in bands:
        limit = quantity if band.up_to is None else min(quantity, -((-band.up_to * share.seconds) // share.of))
        total += max(limit - below, 0) * Fraction(band.unit_price)
        below = max(below, limit)
    return total


def close(amount: Decimal, exact: Fraction) -> bool:
    """Equal wherever the fraction ends; otherwise to far beyond any currency's smallest unit."""
    return abs(Fraction(amount) - exact) <= abs(exact) * Fraction(1, 10**60)


@settings(max_examples=300, deadline=None)
@given(ladders(), quantities, pers, shares)
def test_graduated_equals_the_slow_sum(bands: tuple[Band, ...], quantity: int, per: int, share: Share) -> None:
    priced = price(Graduated(per, bands), quantity, share)
    assert close(priced.amount, slow_ladder(quantity, bands, share) / per)
    assert sum(step.quantity for step in priced.steps) == quantity


@settings(max_examples=300, deadline=None)
@given(ladders(), quantities, pers, st.integers(0, 10**12), shares)
def test_allowance_equals_the_slow_sum(
    bands: tuple[Band, ...], quantity: int, per: int, included: int, share: Share
) -> None:
    free = -((-included * share.seconds) // share.of)
    exact = slow_ladder(max(quantity - free, 0), bands, share) / per
    assert close(price(Allowance(included, per, bands), quantity, share).amount, exact)


@settings(max_examples=200, deadline=None)
@given(prices, quantities, pers, shares)
def test_single_prices_equal_their_fraction(unit_price: Decimal, quantity: int, per: int, share: Share) -> None:
    assert close(price(PerUnit(unit_price, per), quantity, share).amount, Fraction(unit_price) * quantity / per)
    assert close(price(Hourly(unit_price), quantity, share).amount, Fraction(unit_price) * quantity / 3600)
    assert close(price(Flat(unit_price), 0, share).amount, Fraction(unit_price) * share.seconds / share.of)


@settings(max_examples=200, deadline=None)
@given(ladders(), quantities, quantities, pers)
def test_graduated_never_falls_when_usage_grows(bands: tuple[Band, ...], less: int, more: int, per: int) -> None:
    low, high = sorted((less, more))
    ladder = Graduated(per, bands)
    assert price(ladder, low, WHOLE).amount <= price(ladder, high, WHOLE).amount
