"""What the lines of an invoice come to: tax once per rate, on the sum of its lines, never on a line."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal, localcontext

from billing.rating.proration import DIGITS
from core.money import round_money

ROUNDINGS = {"half_up": ROUND_HALF_UP, "down": ROUND_DOWN, "up": ROUND_UP}


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """A tax as a rule states it; `rate` is a share, 0.1 for ten percent."""

    name: str
    name_ja: str
    rate: Decimal
    rounding: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Rounded sums of one invoice."""

    subtotal: Decimal
    tax: Decimal
    total: Decimal


def total_up(amounts: Iterable[Decimal], terms: TaxTerms | None, currency: str) -> Totals:
    """The totals of rounded line amounts in one currency, under one tax or none."""
    with localcontext(prec=DIGITS):
        subtotal = sum(amounts, Decimal(0))
        tax = tax_on(subtotal, terms, currency)
        return Totals(subtotal, tax, subtotal + tax)


def tax_on(taxable: Decimal, terms: TaxTerms | None, currency: str) -> Decimal:
    """The tax on a sum, rounded once as its rule says."""
    if terms is None:
        return Decimal(0)
    with localcontext(prec=DIGITS):
        return round_money(taxable * terms.rate, currency, ROUNDINGS[terms.rounding])
