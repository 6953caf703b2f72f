"""What the lines of an invoice come to: tax once per rate, on the sum of its lines, never on a line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, ROUND_UP, Decimal, localcontext

from billing.rating.proration import DIGITS
from core.money import round_money

ROUNDINGS = {"half_up": ROUND_HALF_UP, "down": ROUND_DOWN, "up": ROUND_UP}
STANDARD = "standard"


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """A tax as a rule states it; `rate` is a share, 0.1 for ten percent.

    `treatment` says why it is what it is (`billing.states.TaxTreatment`), `note` what the invoice must say about it.
    """

    name: str
    name_ja: str
    rate: Decimal
    rounding: str
    treatment: str = STANDARD
    note: str = ""
    note_ja: str = ""


# The taxes of one tenant by category of what is sold; what is not listed is taxed as `standard`, if that is.
Taxes = Mapping[str, TaxTerms]


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """The sum of the lines under one tax, and the tax on it."""

    terms: TaxTerms
    taxable: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """Rounded sums of one invoice; `taxes` has one entry per rate, the highest first."""

    subtotal: Decimal
    tax: Decimal
    total: Decimal
    taxes: tuple[TaxTotal, ...] = ()


def terms_for(category: str, taxes: Taxes) -> TaxTerms | None:
    """The tax on a category; None for none."""
    return taxes.get(category) or taxes.get(STANDARD)


def total_up(charges: Iterable[tuple[Decimal, TaxTerms | None]], currency: str) -> Totals:
    """The totals of rounded line amounts, each under its tax or none."""
    with localcontext(prec=DIGITS):
        subtotal = Decimal(0)
        by_rate: dict[tuple[Decimal, str], tuple[TaxTerms, Decimal]] = {}
        for amount, terms in charges:
            subtotal += amount
            if terms is not None:
                key = (-terms.rate, terms.treatment)
                by_rate[key] = (terms, by_rate[key][1] + amount if key in by_rate else amount)
        taxes = tuple(
            TaxTotal(terms, taxable, tax_on(taxable, terms, currency))
            for _, (terms, taxable) in sorted(by_rate.items(), key=lambda item: item[0])
        )
        tax = sum((each.amount for each in taxes), Decimal(0))
        return Totals(subtotal, tax, subtotal + tax, taxes)


def tax_on(taxable: Decimal, terms: TaxTerms, currency: str) -> Decimal:
    """The tax on a sum, rounded once as its rule says."""
    with localcontext(prec=DIGITS):
        return round_money(taxable * terms.rate, currency, ROUNDINGS[terms.rounding])
