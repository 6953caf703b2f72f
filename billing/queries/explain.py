"""Why a line costs what it costs: line, days, hourly buckets, and the CloudWatch query that each came from."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.queries.invoices import get_line
from billing.queries.usage import sealed_total
from metering.queries import BucketView, sealed_buckets


@dataclass(frozen=True, slots=True)
class DayShare:
    """What one day of the invoice's zone contributes.

    `claimed` of a bucket is what the document bills of it; its `query` can be asked of CloudWatch again.
    """

    day: date
    quantity: int
    buckets: tuple[BucketView, ...]


@dataclass(frozen=True, slots=True)
class LineExplanation:
    """A line with everything it was made of. `arithmetic` is the stored explanation: rate, steps and rounding."""

    line: InvoiceLine
    invoice: Invoice
    arithmetic: dict[str, Any]
    days: tuple[DayShare, ...]

    @property
    def metered(self) -> int:
        """The sum of the buckets."""
        return sum(day.quantity for day in self.days)


@dataclass(frozen=True, slots=True)
class MeterCheck:
    """The quantity of one meter on the lines beside the sum of the buckets that they bill."""

    meter: str
    on_lines: int
    in_buckets: int

    @property
    def is_matched(self) -> bool:
        """Whether the two agree to the unit."""
        return self.on_lines == self.in_buckets


def explain_line(ref: str, *, tenant_ids: Collection[int] | None) -> LineExplanation:
    """The explanation of a line by its public id; fees and commitments have no days. Raises NotFound."""
    line = get_line(ref, tenant_ids=tenant_ids)
    invoice = line.invoice
    days: tuple[DayShare, ...] = ()
    if line.meter:
        seal_ids = UsageClaim.objects.filter(invoice=invoice).order_by("seal_id").values_list("seal_id", flat=True)
        buckets = [
            bucket
            for seal_id in seal_ids
            for bucket in sealed_buckets(seal_id=seal_id, tenant_ids=[invoice.tenant_id], meter=line.meter)
            if line.span_start <= bucket.bucket_start < line.span_end
        ]
        days = _by_day(buckets, invoice.timezone)
    return LineExplanation(line, invoice, line.explanation, days)


def reconcile(invoice: Invoice) -> list[MeterCheck]:
    """Lines against buckets for every meter that the document charges; a note over late usage counts differences."""
    on_lines: dict[str, int] = defaultdict(int)
    for line in invoice.lines.exclude(meter=""):
        on_lines[line.meter] += _charged(line)
    in_buckets = sealed_total(invoice, list(on_lines))
    return [MeterCheck(meter, on_lines[meter], in_buckets.get(meter, 0)) for meter in sorted(on_lines)]


def _charged(line: InvoiceLine) -> int:
    explanation = line.explanation
    if "difference" in explanation:
        after, before = explanation["after"] or {}, explanation["before"] or {}
        return int(after.get("quantity", 0)) - int(before.get("quantity", 0))
    return int(explanation.get("quantity", 0))


def _by_day(buckets: Iterable[BucketView], timezone: str) -> tuple[DayShare, ...]:
    zone = ZoneInfo(timezone)
    days: dict[date, list[BucketView]] = defaultdict(list)
    for bucket in buckets:
        days[bucket.bucket_start.astimezone(zone).date()].append(bucket)
    return tuple(
        DayShare(day, sum(bucket.claimed for bucket in found), tuple(found)) for day, found in sorted(days.items())
    )
