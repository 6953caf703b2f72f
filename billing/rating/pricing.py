"""What a quantity costs under a pricing model: the exact amount and the steps that lead to it. Nothing is rounded here.

A ladder's products are added before the one division by `per`, so the exact amount is exact to the digits of
`proration.DIGITS`, and the line's rounding is the only rounding.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

from billing.rating.parameters import (
    Allowance,
    Band,
    Flat,
    Graduated,
    Hourly,
    MinimumCommitment,
    Monthly,
    Package,
    Parameters,
    PerUnit,
    Volume,
)
from billing.rating.proration import DIGITS, EXACT, Share, prorate, whole_units

SECONDS_PER_HOUR = 3600


class Step(NamedTuple):
    """One row of the explanation: `quantity` units at `unit_price` for `per` of them make `amount` (unrounded)."""

    label: str
    quantity: int
    unit_price: Decimal
    per: int
    amount: Decimal
    above: int = 0
    up_to: int | None = None


class Priced(NamedTuple):
    """The exact amount of one rate and how it came about.

    `unit_price` is set when one price holds for the whole quantity; a ladder that used several leaves it None.
    """

    amount: Decimal
    steps: tuple[Step, ...]
    unit_price: Decimal | None
    per: int


def price(parameters: Parameters, quantity: int, share: Share) -> Priced:
    """The price of `quantity` units (seconds for Hourly and Monthly) over `share` of a billing month.

    Flat amounts, allowances and the limits of bands belong to a whole billing month: a shorter span gets its share,
    and limits are rounded up to a whole unit. A minimum commitment is priced by `top_up`, not here.
    """
    if quantity < 0:
        raise ValueError(f"a quantity is never negative: {quantity}")
    match parameters:
        case Flat(amount):
            prorated = prorate(amount, share)
            return Priced(prorated, (Step("fee", 1, amount, 1, prorated),), amount, 1)
        case PerUnit(unit_price, per):
            return _single("units", quantity, unit_price, per)
        case Hourly(hour_price):
            return _single("seconds", quantity, hour_price, SECONDS_PER_HOUR)
        case Monthly(month_price):
            return _single("seconds", quantity, month_price, share.of)
        case Package(size, package_price):
            count = -(-quantity // size)
            return _single("packages", count, package_price, 1)
        case Graduated(per, bands):
            return _ladder(quantity, per, _scaled(bands, share))
        case Volume(per, bands):
            band = _band_of(quantity, _scaled(bands, share))
            return _single("volume", quantity, band.unit_price, per)
        case Allowance(included, per, bands):
            return _overage(quantity, whole_units(included, share), per, _scaled(bands, share))
        case MinimumCommitment():
            raise ValueError("a minimum commitment is priced from the other lines: use top_up()")


def top_up(commitment: MinimumCommitment, share: Share, spent: Decimal) -> Priced:
    """What `spent` (rounded lines of the committed meters) lacks of the prorated commitment; never below zero."""
    target = prorate(commitment.amount, share)
    with localcontext(prec=DIGITS):
        missing = max(target - spent, Decimal(0))
    steps = (
        Step("commitment", 1, commitment.amount, 1, target),
        Step("spent", 1, spent, 1, -spent),
    )
    return Priced(missing, steps, None, 1)


def _product(quantity: int, unit_price: Decimal, per: int) -> Decimal:
    return EXACT.divide(EXACT.multiply(quantity, unit_price), per)


def _single(label: str, quantity: int, unit_price: Decimal, per: int) -> Priced:
    amount = _product(quantity, unit_price, per)
    return Priced(amount, (Step(label, quantity, unit_price, per, amount),), unit_price, per)


def _scaled(bands: Sequence[Band], share: Share) -> list[Band]:
    if share.is_whole:
        return list(bands)
    return [Band(None if b.up_to is None else whole_units(b.up_to, share), b.unit_price) for b in bands]


def _band_of(quantity: int, bands: Sequence[Band]) -> Band:
    for band in bands:
        if band.up_to is None or quantity <= band.up_to:
            return band
    raise ValueError("the last band is open, so every quantity has one")


def _ladder(quantity: int, per: int, bands: Sequence[Band], offset: int = 0) -> Priced:
    steps: list[Step] = []
    total, below = Decimal(0), 0
    with localcontext(prec=DIGITS):
        for band in bands:
            reach = quantity if band.up_to is None else min(quantity, band.up_to)
            inside = reach - below
            if inside > 0:
                total += inside * band.unit_price
                limit = None if band.up_to is None else offset + band.up_to
                amount = inside * band.unit_price / per
                steps.append(Step("band", inside, band.unit_price, per, amount, offset + below, limit))
                below = reach
        amount = total / per
    used = {step.unit_price for step in steps}
    return Priced(amount, tuple(steps), used.pop() if len(used) == 1 else None, per)


def _overage(quantity: int, included: int, per: int, bands: Sequence[Band]) -> Priced:
    within = min(quantity, included)
    over = _ladder(quantity - within, per, bands, offset=included)
    allowance = Step("included", within, Decimal(0), per, Decimal(0), 0, included)
    return Priced(over.amount, (allowance, *over.steps), None if over.steps else Decimal(0), per)
