"""Shares of a billing month: what a stay that is shorter than the month pays, and how much of an allowance it gets."""

import itertools
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal

from core.periods import Period

# Eighty digits hold any product we form (10^38 units, as wide as the column, times a price of 12 + 12 digits, times
# the seconds of a month) without loss, so a division is the only inexact step, and a line makes one.
DIGITS = 80
EXACT = Context(prec=DIGITS)  # for a single step: entering a context costs more than the step


@dataclass(frozen=True, slots=True)
class Share:
    """`seconds` out of the `of` seconds of a billing month."""

    seconds: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= self.of or self.of <= 0:
            raise ValueError(f"{self.seconds} of {self.of} seconds is not a share")

    @property
    def is_whole(self) -> bool:
        """True for a stay of the whole month."""
        return self.seconds == self.of


def share_of(span: Period | None, month: Period) -> Share:
    """The share of `month` that `span` covers; months differ in length, and daylight saving counts.

    `None` is an empty span. Raises ValueError when the span reaches outside the month.
    """
    if span is None:
        return Share(0, month.seconds)
    if span.start < month.start or span.end > month.end:
        raise ValueError(f"{span} is not within the month {month}")
    return Share(span.seconds, month.seconds)


def prorate(amount: Decimal, share: Share) -> Decimal:
    """`amount` times the share: one division, exact to `DIGITS` digits."""
    return EXACT.divide(EXACT.multiply(amount, share.seconds), share.of)


def whole_units(quantity: int, share: Share) -> int:
    """The share of an allowance or of a band's limit, rounded up to a whole unit in the customer's favour."""
    return -(-quantity * share.seconds // share.of)


def split(period: Period, cuts: list[datetime]) -> list[Period]:
    """`period` cut at every instant of `cuts` that lies inside it; the parts are in order and leave no gap."""
    inside = sorted({cut for cut in cuts if period.start < cut < period.end})
    edges = [period.start, *inside, period.end]
    return [Period(start, end) for start, end in itertools.pairwise(edges)]
