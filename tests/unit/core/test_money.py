"""Money: exponents and the one rounding rule."""

from decimal import Decimal

import pytest

from core.money import exponent, minor_units, round_money


@pytest.mark.parametrize(("currency", "digits"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("EUR", 2), ("KRW", 0)])
def test_currencies_know_their_smallest_unit(currency: str, digits: int) -> None:
    assert exponent(currency) == digits


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("1.005", "USD", "1.01"),
        ("1.004999", "USD", "1.00"),
        ("-1.005", "USD", "-1.01"),
        ("0.5", "JPY", "1"),
        ("0.0005", "KWD", "0.001"),
    ],
)
def test_half_goes_away_from_zero(amount: str, currency: str, rounded: str) -> None:
    assert str(round_money(Decimal(amount), currency)) == rounded


def test_an_unrounded_amount_has_no_minor_units() -> None:
    assert minor_units(Decimal("12.34"), "USD") == 1234
    with pytest.raises(ValueError, match="smallest unit"):
        minor_units(Decimal("12.345"), "USD")
