"""Usage and a rate card in, rated lines out: each rounded once, with an explanation that can be worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from billing.rating.parameters import METERED, Flat, Hourly, MinimumCommitment, Monthly, Parameters
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


@dataclass(frozen=True, slots=True)
class RateTerms:
    """One rate of a card. `meter` is empty for a fee and for a commitment; `unit` is one of what the meter counts.

    With a `serving_line` it prices what was used there only, else what no other rate of the meter takes.
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


@dataclass(frozen=True, slots=True)
class CardTerms:
    """A published rate card: its rates stand in the order in which their lines are printed."""

    public_id: str
    name: str
    number: int
    currency: str
    rates: tuple[RateTerms, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a period under one card: `span` is metered, `fee_span` (its part since activation) is charged fees."""

    span: Period
    fee_span: Period | None
    month: Period
    card: CardTerms
    usage: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class RatedLine:
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
        is_metered = isinstance(rate.parameters, METERED)
        if is_metered and not quantity:
            continue
        share = whole if is_metered else fees
        priced = price(rate.parameters, quantity, share)
        if is_metered or priced.amount > 0:
            lines.append(_line(segment, said, rate, priced, quantity, share, used))
    committed = [rate for rate in segment.card.rates if isinstance(rate.parameters, MinimumCommitment)]
    for rate in committed:
        assert isinstance(rate.parameters, MinimumCommitment)  # it was chosen for that
        line = _commitment_line(segment, said, rate, rate.parameters, fees, lines)
        if line.amount > 0:
            lines.append(line)
    if committed:
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
    by_line = {(rate.meter, rate.serving_line): rate.id for rate in segment.card.rates if rate.meter}
    taken: dict[int, list[Usage]] = {}
    for usage in segment.usage:
        rate_id = by_line.get((usage.meter, usage.line)) or by_line.get((usage.meter, ""))
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
        "card": {"id": segment.card.public_id, "name": segment.card.name, "number": segment.card.number},
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
        "rate": {
            "key": rate.key,
            "model": rate.model,
            "meter": rate.meter,
            "serving_line": rate.serving_line,
            "parameters": dict(rate.raw_parameters),
        },
        "share": {"seconds": share.seconds, "of": share.of},
        "quantity": str(quantity),
        "steps": [_step(step) for step in priced.steps],
        "exact": _plain(priced.amount),
        "rounded": str(amount),
        "rounding": "half_up",
        "sources": [
            {"line": usage.line, "adapter_version": usage.adapter_version, "quantity": str(usage.quantity)}
            for usage in sorted(used, key=lambda usage: (usage.line, usage.adapter_version))
        ],
    }
    return RatedLine(rate, segment.span, shown, unit, priced.unit_price, per, priced.amount, amount, explanation)


def _as_printed(rate: RateTerms, priced: Priced, quantity: int) -> tuple[Decimal, str, int]:
    """Quantity, unit and `per` as a customer reads them: hours instead of seconds, a month for a fee."""
    if isinstance(rate.parameters, Hourly):
        hours = (Decimal(quantity) / SECONDS_PER_HOUR).quantize(Decimal("0.0001"))
        return hours, "hour", 1
    if isinstance(rate.parameters, Monthly):
        return (Decimal(quantity) / priced.per).quantize(Decimal("0.0001")), "month", 1
    if isinstance(rate.parameters, Flat | MinimumCommitment):
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
    text = f"{amount:f}"
    if "." not in text:
        return text
    whole, fraction = text.split(".")
    fraction = fraction[:30].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole
