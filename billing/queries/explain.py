"""Why a line costs what it costs, down to what CloudWatch answered; and whether a document agrees with its usage."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.queries.invoices import get_line
from billing.queries.usage import sealed_total
from metering.models import Seal, UsageGap
from metering.partitions import kept_since
from metering.queries import BucketView, corrections, sealed_buckets, sealed_days
from metering.queries.health import accepted_gaps

ReconciliationState = Literal["matched", "late_usage", "differs", "not_metered"]


@dataclass(frozen=True, slots=True)
class DayShare:
    """What one day of the invoice's zone contributes.

    `claimed` of a bucket is what the document bills of it; its `query` can be asked of CloudWatch again. There are none
    where hours are not kept any more.
    """

    day: date
    quantity: int
    buckets: tuple[BucketView, ...]


@dataclass(frozen=True, slots=True)
class LineExplanation:
    """A line with everything it was made of. `arithmetic` is the stored explanation: rate, steps and rounding.

    `gaps` are hours of its span that could not be read and were accepted as known, with who decided it and why.
    """

    line: InvoiceLine
    invoice: Invoice
    arithmetic: dict[str, Any]
    days: tuple[DayShare, ...]
    gaps: tuple[UsageGap, ...]

    @property
    def metered(self) -> int:
        """The sum of the buckets."""
        return sum(day.quantity for day in self.days)

    @property
    def charged(self) -> int:
        """The quantity that was rated, in the meter's own unit."""
        return _charged(self.line)

    @property
    def is_matched(self) -> bool:
        """Whether what was rated is what the buckets add up to."""
        return self.charged == self.metered


@dataclass(frozen=True, slots=True)
class MeterCheck:
    """One meter three times: on the lines, in the sealed buckets that they bill, and at the source as known now."""

    meter: str
    on_lines: int
    in_buckets: int
    at_source: int

    @property
    def is_matched(self) -> bool:
        """Whether all three agree to the unit."""
        return self.on_lines == self.in_buckets == self.at_source


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Whether a document agrees with its usage, and on which sealed usage it rests."""

    checks: tuple[MeterCheck, ...]
    seals: tuple[Seal, ...]
    gaps: tuple[UsageGap, ...]

    @property
    def state(self) -> ReconciliationState:
        """`late_usage`: it bills what was sealed, and the source has learnt more since, which a note will settle."""
        if not self.checks:
            return "not_metered"
        if any(check.on_lines != check.in_buckets for check in self.checks):
            return "differs"
        return "matched" if all(check.is_matched for check in self.checks) else "late_usage"

    @property
    def is_matched(self) -> bool:
        """Whether nothing differs."""
        return self.state in ("matched", "not_metered")

    @property
    def buckets(self) -> int:
        """How many buckets its seals hold."""
        return sum(seal.bucket_count for seal in self.seals)


def explain_line(ref: str, *, tenant_ids: Collection[int] | None) -> LineExplanation:
    """The explanation of a line by its public id; fees and commitments have no days. Raises NotFound."""
    line = get_line(ref, tenant_ids=tenant_ids)
    invoice = line.invoice
    days: tuple[DayShare, ...] = ()
    gaps: list[UsageGap] = []
    if line.meter:
        gaps = accepted_gaps(tenant_ids=[invoice.tenant_id], start=line.span_start, end=line.span_end)
        used = _sources(line)
        seal_ids = UsageClaim.objects.filter(invoice=invoice).order_by("seal_id").values_list("seal_id", flat=True)
        buckets = [
            bucket
            for seal_id in seal_ids
            for bucket in sealed_buckets(seal_id=seal_id, tenant_ids=[invoice.tenant_id], meter=line.meter)
            if line.span_start <= bucket.bucket_start < line.span_end
            and (used is None or (bucket.line, bucket.adapter_version) in used)
        ]
        days = _by_day(buckets, invoice.timezone)
        if line.span_start < kept_since():
            days = _days_alone(line, list(seal_ids), used)
    return LineExplanation(line, invoice, line.explanation, days, tuple(gaps))


def reconcile(invoice: Invoice) -> Reconciliation:
    """Lines against buckets against the source, for every meter that the document charges.

    A note over late usage counts differences, and claims seals that hold just those. Four statements.
    """
    on_lines: dict[str, int] = defaultdict(int)
    for line in invoice.lines.all():
        if line.meter and _measures(line):
            on_lines[line.meter] += _charged(line)
    seals = tuple(Seal.objects.filter(claims__invoice=invoice).order_by("period_start", "revision"))
    in_buckets = sealed_total(invoice, list(on_lines))
    late = _late_at_source(invoice, seals)
    checks = [
        MeterCheck(meter, on_lines[meter], in_buckets.get(meter, 0), in_buckets.get(meter, 0) + late.get(meter, 0))
        for meter in sorted(on_lines)
    ]
    gaps = accepted_gaps(tenant_ids=[invoice.tenant_id], start=invoice.period_start, end=invoice.period_end)
    return Reconciliation(tuple(checks), seals, tuple(gaps if checks else ()))


def _late_at_source(invoice: Invoice, seals: Sequence[Seal]) -> dict[str, int]:
    """What the source has learnt, per meter, about the periods of a document's seals and no seal holds yet."""
    if not seals:
        return {}
    periods = {(seal.period_start, seal.period_end) for seal in seals}
    late: dict[str, int] = {}
    for found in corrections(tenant_ids=[invoice.tenant_id]):
        if (found.period_start, found.period_end) in periods:
            late[found.meter] = late.get(found.meter, 0) + found.quantity
    return late


def _charged(line: InvoiceLine) -> int:
    explanation = line.explanation
    if "difference" in explanation:
        after, before = explanation["after"] or {}, explanation["before"] or {}
        return _whole(after.get("quantity", 0)) - _whole(before.get("quantity", 0))
    return _whole(explanation.get("quantity", 0))


def _whole(quantity: Any) -> int:
    return int(Decimal(quantity))


def _measures(line: InvoiceLine) -> bool:
    """Whether a line states a quantity of usage; a credit gives back money for it and states none."""
    return "quantity" in line.explanation or "difference" in line.explanation


def _sources(line: InvoiceLine) -> set[tuple[str, str]] | None:
    """The serving lines and adapter versions whose usage the line rated; None when it does not say."""
    explanation = line.explanation
    told = [explanation, explanation.get("after") or {}, explanation.get("before") or {}]
    found = {(source["line"], source["adapter_version"]) for part in told for source in part.get("sources", [])}
    return found or None


def _days_alone(
    line: InvoiceLine, seal_ids: Collection[int], used: set[tuple[str, str]] | None
) -> tuple[DayShare, ...]:
    """The days of a line whose hours are not kept any more, as the seals have them."""
    zone = ZoneInfo(line.invoice.timezone)
    first, end = (at.astimezone(zone).date() for at in (line.span_start, line.span_end))
    quantities: dict[date, int] = defaultdict(int)
    for row in sealed_days(seal_ids):
        is_used = used is None or (row.line, row.adapter_version) in used
        if row.meter == line.meter and first <= row.day < end and is_used:
            quantities[row.day] += row.quantity
    return tuple(DayShare(day, quantity, ()) for day, quantity in sorted(quantities.items()))


def _by_day(buckets: Iterable[BucketView], timezone: str) -> tuple[DayShare, ...]:
    zone = ZoneInfo(timezone)
    days: dict[date, list[BucketView]] = defaultdict(list)
    for bucket in buckets:
        days[bucket.bucket_start.astimezone(zone).date()].append(bucket)
    return tuple(
        DayShare(day, sum(bucket.claimed for bucket in found), tuple(found)) for day, found in sorted(days.items())
    )
