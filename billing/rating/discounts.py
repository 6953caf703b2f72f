"""What a tenant is let off: a share of its lines or an amount per month, for the time that it was agreed for.

Discounts are applied in the order in which they were agreed, each to what the ones before it left, and never to more
than that. Each is rounded once; what it takes is split over the lines that it concerns by largest remainder, so that
every line knows its net amount and a discount across two tax rates is exact in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from billing.rating.allocation import allocate
from billing.rating.lines import RatedLine
from billing.rating.proration import DIGITS
from core.money import round_money
from core.periods import Period


@dataclass(frozen=True, slots=True)
class DiscountTerms:
    """A discount as agreed. `kind` is percent or fixed; empty `meters` and `rate_keys` together mean every line."""

    public_id: str
    name: str
    name_ja: str
    kind: str
    value: Decimal
    meters: tuple[str, ...]
    rate_keys: tuple[str, ...]
    start: datetime
    end: datetime | None

    def concerns(self, line: RatedLine) -> bool:
        """Whether it is taken off this line."""
        if not self.meters and not self.rate_keys:
            return True
        return line.rate.meter in self.meters or line.rate.key in self.rate_keys

    def seconds_of(self, span: Period) -> int:
        """How many seconds of a span it holds for."""
        end = span.end if self.end is None else self.end
        part = Period(self.start, end).overlap(span) if self.start < end else None
        return part.seconds if part else 0


@dataclass(frozen=True, slots=True)
class DiscountLine:
    """What one discount takes off lines of one tax category; `amount` is negative."""

    terms: DiscountTerms
    tax_category: str
    amount: Decimal
    explanation: dict[str, object]


def discount_lines(
    lines: Sequence[RatedLine], discounts: Sequence[DiscountTerms], *, period: Period, month: Period, currency: str
) -> list[DiscountLine]:
    """The discounts on the lines of one invoice, which covers `period` of the billing month `month`."""
    left = [line.amount for line in lines]
    found: list[DiscountLine] = []
    for terms in discounts:
        weights = _weights(terms, lines, left)
        with localcontext(prec=DIGITS):
            exact = sum(weights, Decimal(0))
            if terms.kind == "fixed":
                exact = min(exact, terms.value * terms.seconds_of(period) / month.seconds)
            whole = round_money(exact, currency)
        if not whole:
            continue
        parts = allocate(whole, weights, currency)
        left = [amount - part for amount, part in zip(left, parts, strict=True)]
        found += _by_category(terms, lines, parts, exact)
    return found


def _weights(terms: DiscountTerms, lines: Sequence[RatedLine], left: Sequence[Decimal]) -> list[Decimal]:
    """What it takes, unrounded, off each line (percent), or may take at most (fixed)."""
    with localcontext(prec=DIGITS):
        found = []
        for line, amount in zip(lines, left, strict=True):
            seconds = terms.seconds_of(line.span) if amount > 0 and terms.concerns(line) else 0
            if not seconds:
                found.append(Decimal(0))
            elif terms.kind == "fixed":
                found.append(amount)
            else:
                found.append(amount * terms.value * seconds / (100 * line.span.seconds))
        return found


def _by_category(
    terms: DiscountTerms, lines: Sequence[RatedLine], parts: Sequence[Decimal], exact: Decimal
) -> list[DiscountLine]:
    found = []
    for category in dict.fromkeys(line.rate.tax_category for line in lines):
        taken = [
            (line, part) for line, part in zip(lines, parts, strict=True) if line.rate.tax_category == category and part
        ]
        if taken:
            amount = -sum((part for _, part in taken), Decimal(0))
            found.append(DiscountLine(terms, category, amount, _explain(terms, taken, exact)))
    return found


def _explain(terms: DiscountTerms, taken: Sequence[tuple[RatedLine, Decimal]], exact: Decimal) -> dict[str, object]:
    return {
        "discount": {
            "id": terms.public_id,
            "kind": terms.kind,
            "value": f"{terms.value.normalize():f}",
            "start": terms.start.isoformat(),
            "end": terms.end.isoformat() if terms.end else None,
        },
        "exact": f"{exact:.30f}".rstrip("0").rstrip("."),
        "rounding": "half_up",
        "off": [
            {"rate": line.rate.key, "span_start": line.span.start.isoformat(), "amount": str(part)}
            for line, part in taken
        ],
    }
