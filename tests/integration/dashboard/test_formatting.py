"""Values read the same everywhere."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dashboard.templatetags import formatting


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (Decimal("1204.5"), "USD", "$1,204.50"),
        (Decimal("470210"), "JPY", "¥470,210"),
        (Decimal("1.2345"), "KWD", "KWD1.235"),
        (Decimal("-2000"), "JPY", "-¥2,000"),
        (None, "USD", "–"),
    ],
)
def test_money_stands_on_the_smallest_unit(amount: Decimal | None, currency: str, expected: str) -> None:
    assert formatting.money_of(amount, currency) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (Decimal("0.0000027"), "USD", "$0.0000027"),
        (Decimal("2.700000000000"), "USD", "$2.70"),
        (Decimal("2025.000000000000"), "JPY", "¥2,025"),
        (Decimal("0.5"), "JPY", "¥0.5"),
    ],
)
def test_price_keeps_every_digit(amount: Decimal, currency: str, expected: str) -> None:
    assert formatting.price(amount, currency) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 B"), (999, "999 B"), (41_200_000, "41.2 MB"), (5 * 10**12, "5.0 TB"), (None, "–")],
)
def test_sizes_are_decimal(value: int | None, expected: str) -> None:
    assert formatting.filesize(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.42, "0.4 s"), (timedelta(seconds=128), "2:08"), (10928, "3:02:08"), (None, "–")],
)
def test_durations(value: timedelta | float | None, expected: str) -> None:
    assert formatting.duration(value) == expected


def test_rounded_number_shows_the_exact_one_on_hover() -> None:
    assert formatting.compact(18_059_974) == '<span title="18,059,974">18.1M</span>'


def test_quantity_drops_the_zeros_of_its_column() -> None:
    assert formatting.quantity(Decimal("18059974.0000")) == "18,059,974"
    assert formatting.quantity(Decimal("1.5000")) == "1.5"


def test_day_is_the_day_of_the_billing_zone() -> None:
    assert formatting.day(datetime(2026, 10, 31, 15, tzinfo=UTC), "Asia/Tokyo") == "1 Nov 2026"
