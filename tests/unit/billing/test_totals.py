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
    terms = TaxTerms("Tax", "", D(rate), rounding)
    made = total_up([(D(amount), terms) for amount in amounts], currency)
    assert (made.subtotal, made.tax, made.total) == tuple(D(t) for t in totals)


def test_without_a_rule_there_is_no_tax() -> None:
    made = total_up([(D("9.99"), None)], "USD")
    assert (made.tax, made.total) == (D(0), D("9.99"))


def test_two_rates_are_taxed_each_on_its_own_sum() -> None:
    full, reduced = TaxTerms("Tax", "", D("0.10"), "half_up"), TaxTerms("Tax", "", D("0.08"), "half_up")
    made = total_up([(D(105), full), (D(106), reduced), (D(-1), full), (D(7), None)], "JPY")
    assert [(tax.terms.rate, tax.taxable, tax.amount) for tax in made.taxes] == [
        (D("0.10"), D(104), D(10)),
        (D("0.08"), D(106), D(8)),  # 8.48: never 18.88 on the sum of both
    ]
    assert (made.subtotal, made.tax, made.total) == (D(217), D(18), D(235))
