"""Splitting a rounded total so that the parts add up to it again: the largest remainder method."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal, localcontext

from billing.rating.proration import DIGITS
from core.money import exponent


def allocate(total: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """`total`, a rounded amount that is not negative, split in proportion to `weights`; the parts add up to it.

    Each part is first rounded down to the currency's unit; the units that are left go to the largest remainders, the
    first of equal ones first. Raises ValueError for a negative total, and for weights of which none is positive while
    there is something to split.
    """
    if total < 0 or any(weight < 0 for weight in weights):
        raise ValueError("only amounts and weights that are not negative can be split")
    with localcontext(prec=DIGITS):
        whole = sum(weights, Decimal(0))
        if not whole:
            if total:
                raise ValueError(f"nothing to split {total} by")
            return [Decimal(0) for _ in weights]
        unit = Decimal(1).scaleb(-exponent(currency))
        exact = [total * weight / whole for weight in weights]
        parts = [share.quantize(unit, rounding=ROUND_FLOOR) for share in exact]
        left = int((total - sum(parts, Decimal(0))) / unit)
        order = sorted(range(len(parts)), key=lambda at: (parts[at] - exact[at], at))
        for at in order[:left]:
            parts[at] += unit
        return parts
