"""Tax once per rate on the sum, rounded as its rule says."""

from decimal import Decimal

import pytest

from billing.rating.totals import TaxTerms, total_up

D = Decimal


@pytest.mark.parametrize(
    ("amounts", "rate", "rounding", "currency", "totals"),
    [
        (["5", "5", "5"], "0.1", "half_up", "JPY", ("15", "2", "17")),  # not 3 x 1: the sum is taxed
        (["5", "5", "5"], "0.1", "down", "JPY", ("15", "1", "16")),
        (["11"], "0.1", "up", "JPY", ("11", "2", "13")),
        (["10.05"], "0.1", "half_up", "USD", ("10.05", "1.01", "11.06")),
        (["1.234"], "0.05", "half_up", "KWD", ("1.234", "0.062", "1.296")),
        ([], "0.1", "half_up", "JPY", ("0", "0", "0")),
    ],
)
def test_totals(amounts: list[str], rate: str, rounding: str, currency: str, totals: tuple[str, str, str]) -> None:
    made = total_up([D(a) for a in amounts], TaxTerms("Tax", "", D(rate), rounding), currency)
    assert (made.subtotal, made.tax, made.total) == tuple(D(t) for t in totals)


def test_without_a_rule_there_is_no_tax() -> None:
    made = total_up([D("9.99")], None, "USD")
    assert (made.tax, made.total) == (D(0), D("9.99"))
