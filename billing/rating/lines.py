"""Usage and a rate card in, rated lines out: each rounded once, with an explanation that can be worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import NamedTuple

from billing.rating.parameters import METERED, Hourly, MinimumCommitment, Monthly, Parameters
from billing.rating.pricing import SECONDS_PER_HOUR, Priced, Step, price, top_up
from billing.rating.proration import Share, share_of
from core.money import round_money
from core.periods import Period


@dataclass(frozen=True, slots=True)
class Usage:
    """A sealed quantity of one meter, as one adapter version used it on one serving line."""

    meter: str
    quantity: int
    line: str
    adapter_version: str


@dataclass(frozen=True)
class RateTerms:
    """One rate of a card. `meter` is empty for a fee and for a commitment; `unit` is one of what the meter counts.

    With a `serving_line` it prices what was used there only, else what no other rate of the meter takes. Like a card it
    rates thousands of tenants in a run, so what does not depend on them is worked out once.
    """

    id: int
    key: str
    meter: str
    model: str
    parameters: Parameters
    raw_parameters: Mapping[str, object]
    description: str
    description_ja: str
    unit: str = "unit"
    serving_line: str = ""
    tax_category: str = "standard"

    @cached_property
    def is_metered(self) -> bool:
        """Whether usage is priced, and not a share of the month."""
        return isinstance(self.parameters, METERED)

    @cached_property
    def said(self) -> dict[str, object]:
        """What the explanation of a line says of it."""
        return {
            "key": self.key,
            "model": self.model,
            "meter": self.meter,
            "serving_line": self.serving_line,
            "parameters": dict(self.raw_parameters),
        }


@dataclass(frozen=True)
class CardTerms:
    """A published rate card: its rates stand in the order in which their lines are printed."""

    public_id: str
    name: str
    number: int
    currency: str
    rates: tuple[RateTerms, ...]

    @cached_property
    def said(self) -> dict[str, object]:
        """What the explanation of a line says of it."""
        return {"id": self.public_id, "name": self.name, "number": self.number}

    @cached_property
    def rate_of(self) -> dict[tuple[str, str], int]:
        """The id of the rate of a meter on a serving line; under an empty line the one for what no other takes."""
        return {(rate.meter, rate.serving_line): rate.id for rate in self.rates if rate.meter}

    @cached_property
    def commitments(self) -> tuple[tuple[RateTerms, MinimumCommitment], ...]:
        """The rates that are filled up from the other lines."""
        return tuple((rate, rate.parameters) for rate in self.rates if isinstance(rate.parameters, MinimumCommitment))


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a period under one card: `span` is metered, `fee_span` (its part since activation) is charged fees."""

    span: Period
    fee_span: Period | None
    month: Period
    card: CardTerms
    usage: tuple[Usage, ...]


class RatedLine(NamedTuple):
    """A line as it will stand on the invoice. `amount` is rounded, `exact` is not; `quantity` is in `unit`s."""

    rate: RateTerms
    span: Period
    quantity: Decimal
    unit: str
    unit_price: Decimal | None
    per: int
    exact: Decimal
    amount: Decimal
    explanation: dict[str, object]


def rate_segment(segment: Segment) -> list[RatedLine]:
    """The lines of one segment in the order of its card.

    A metered rate without usage leaves no line; a fee or a commitment without an amount leaves none either.
    """
    whole, fees = share_of(segment.span, segment.month), share_of(segment.fee_span, segment.month)
    taken = _taken(segment)
    said = _said_of(segment)
    lines: list[RatedLine] = []
    for rate in segment.card.rates:
        if isinstance(rate.parameters, MinimumCommitment):
            continue
        used = taken.get(rate.id, ())
        quantity = sum(usage.quantity for usage in used)
        if rate.is_metered and not quantity:
            continue
        share = whole if rate.is_metered else fees
        priced = price(rate.parameters, quantity, share)
        if rate.is_metered or priced.amount > 0:
            lines.append(_line(segment, said, rate, priced, quantity, share, used))
    for rate, commitment in segment.card.commitments:
        line = _commitment_line(segment, said, rate, commitment, fees, lines)
        if line.amount > 0:
            lines.append(line)
    if segment.card.commitments:
        order = {rate.id: position for position, rate in enumerate(segment.card.rates)}
        lines.sort(key=lambda line: order[line.rate.id])
    return lines


def uncharged(segment: Segment) -> dict[str, int]:
    """Quantities of meters that the card has no rate for: shown to operators, never silently lost."""
    charged = {id(usage) for found in _taken(segment).values() for usage in found}
    totals: dict[str, int] = {}
    for usage in segment.usage:
        if id(usage) not in charged and usage.quantity:
            totals[usage.meter] = totals.get(usage.meter, 0) + usage.quantity
    return totals


def _taken(segment: Segment) -> dict[int, list[Usage]]:
    """The usage that each rate prices: that of its serving line, or what no rate for a line takes."""
    rate_of = segment.card.rate_of
    taken: dict[int, list[Usage]] = {}
    for usage in segment.usage:
        rate_id = rate_of.get((usage.meter, usage.line)) or rate_of.get((usage.meter, ""))
        if rate_id is not None:
            taken.setdefault(rate_id, []).append(usage)
    return taken


def _commitment_line(
    segment: Segment,
    said: Mapping[str, object],
    rate: RateTerms,
    commitment: MinimumCommitment,
    share: Share,
    lines: Sequence[RatedLine],
) -> RatedLine:
    spent = sum((line.amount for line in lines if line.rate.meter in commitment.meters), Decimal(0))
    return _line(segment, said, rate, top_up(commitment, share, spent), 0, share, [])


def _said_of(segment: Segment) -> dict[str, object]:
    """What the explanations of all lines of a segment have in common."""
    return {
        "card": segment.card.said,
        "span": {"start": segment.span.start.isoformat(), "end": segment.span.end.isoformat()},
    }


def _line(
    segment: Segment,
    said: Mapping[str, object],
    rate: RateTerms,
    priced: Priced,
    quantity: int,
    share: Share,
    used: Sequence[Usage],
) -> RatedLine:
    currency = segment.card.currency
    amount = round_money(priced.amount, currency, ROUND_HALF_UP)
    shown, unit, per = _as_printed(rate, priced, quantity)
    explanation: dict[str, object] = {
        **said,
        "rate": rate.said,
        "share": {"seconds": share.seconds, "of": share.of},
        "quantity": str(quantity),
        "steps": [_step(step) for step in priced.steps],
        "exact": _plain(priced.amount),
        "rounded": str(amount),
        "rounding": "half_up",
        "sources": [
            {"line": usage.line, "adapter_version": usage.adapter_version, "quantity": str(usage.quantity)}
            for usage in (sorted(used, key=_place) if len(used) > 1 else used)
        ],
    }
    return RatedLine(rate, segment.span, shown, unit, priced.unit_price, per, priced.amount, amount, explanation)


def _place(usage: Usage) -> tuple[str, str]:
    return usage.line, usage.adapter_version


def _as_printed(rate: RateTerms, priced: Priced, quantity: int) -> tuple[Decimal, str, int]:
    """Quantity, unit and `per` as a customer reads them: hours instead of seconds, a month for a fee."""
    if isinstance(rate.parameters, Hourly):
        hours = (Decimal(quantity) / SECONDS_PER_HOUR).quantize(Decimal("0.0001"))
        return hours, "hour", 1
    if isinstance(rate.parameters, Monthly):
        return (Decimal(quantity) / priced.per).quantize(Decimal("0.0001")), "month", 1
    if not rate.is_metered:
        return Decimal(1), "month", 1
    return Decimal(quantity), rate.unit, priced.per


def _step(step: Step) -> dict[str, object]:
    return {
        "label": step.label,
        "above": str(step.above),
        "up_to": None if step.up_to is None else str(step.up_to),
        "quantity": str(step.quantity),
        "unit_price": _plain(step.unit_price),
        "per": step.per,
        "amount": _plain(step.amount),
    }


def _plain(amount: Decimal) -> str:
    """Digits without an exponent and without idle zeros; a repeating fraction is shown to thirty digits."""
    text = str(amount)
    if "E" in text:  # rare, and writing every number out in full costs three times as much
        text = f"{amount:f}"
    if "." not in text:
        return text
    whole, fraction = text.split(".")
    fraction = fraction[:30].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole
