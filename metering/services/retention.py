"""Retention: hours are dropped by the month when nobody needs them any more; days, seals and evidence stay.

A month goes when it is older than the setting says, every month before it is gone, and nothing holds it: usage that no
seal has claimed, an open gap, an hour that is still read, events that are not in their buckets. What holds it is shown.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from core import clock
from core.actors import SYSTEM
from core.locks import advisory_lock
from events.record import record_event
from metering import partitions
from metering.counting import COUNTS, JOIN_SOURCE
from metering.models import CollectionWindow, DroppedMonth, EventDelta, UsageGap
from metering.services.rollups import ROLLUP_LOCK
from metering.states import GapState

UNCLAIMED = f"""
SELECT count(DISTINCT b.tenant_id) FROM metering_usagebucket b {JOIN_SOURCE}
WHERE b.bucket_start >= %(start)s AND b.bucket_start < %(end)s AND b.quantity <> b.sealed_quantity AND {COUNTS}
"""
WHAT_GOES = """
SELECT meter, count(*), sum(sealed_quantity) FROM metering_usagebucket
WHERE bucket_start >= %(start)s AND bucket_start < %(end)s GROUP BY meter ORDER BY meter
"""


@dataclass(frozen=True, slots=True)
class Retention:
    """Where retention stands: hours are kept since `kept_since`; `held_by` says why the next month does not go yet."""

    months: int
    kept_since: datetime | None
    next_month: datetime | None
    held_by: tuple[str, ...]


def drop_old_months(*, as_of: datetime | None = None) -> list[DroppedMonth]:
    """Drop every month whose time is over and that nothing holds, oldest first; return what went. Again drops none."""
    dropped: list[DroppedMonth] = []
    while (month := _next_due(as_of or clock.now())) is not None:
        with transaction.atomic(durable=True):
            # Nobody writes a bucket or sums one while a month goes.
            advisory_lock("metering.partitions")
            advisory_lock(ROLLUP_LOCK)
            if _held_by(month):
                break
            dropped.append(_drop(month))
    return dropped


def retention(*, as_of: datetime | None = None) -> Retention:
    """Where retention stands, for the health page."""
    months = partitions.existing_months()
    due = _next_due(as_of or clock.now())
    return Retention(
        months=settings.USAGE_HOURS_KEPT_MONTHS,
        kept_since=months[0] if months else None,
        next_month=due,
        held_by=tuple(_held_by(due)) if due else (),
    )


def _next_due(as_of: datetime) -> datetime | None:
    oldest_kept = partitions.month_after(partitions.month_of(as_of), -settings.USAGE_HOURS_KEPT_MONTHS)
    months = partitions.existing_months()
    return months[0] if months and months[0] < oldest_kept else None


def _held_by(month: datetime) -> list[str]:
    """Why a month is still needed, in sentences."""
    end = partitions.month_after(month)
    reasons = []
    with connection.cursor() as cursor:
        cursor.execute(UNCLAIMED, {"start": month, "end": end})
        unclaimed = int(cursor.fetchone()[0])
    if unclaimed:
        reasons.append(f"usage of {unclaimed} tenant(s) is in no seal")
    gaps = UsageGap.objects.filter(state=GapState.OPEN, starts_at__lt=end, ends_at__gt=month).count()
    if gaps:
        reasons.append(f"{gaps} gap(s) are open")
    due = CollectionWindow.objects.filter(due_at__isnull=False, starts_at__lt=end, ends_at__gt=month).count()
    if due:
        reasons.append(f"{due} hour(s) are still to be read")
    if EventDelta.objects.filter(quarter__gte=month, quarter__lt=end).exists():
        reasons.append("reported events are not in their hours yet")
    return reasons


def _drop(month: datetime) -> DroppedMonth:
    span: dict[str, Any] = {"start": month, "end": partitions.month_after(month)}
    with connection.cursor() as cursor:
        cursor.execute(WHAT_GOES, span)
        found = cursor.fetchall()
    buckets, sealed = sum(row[1] for row in found), {row[0]: str(row[2]) for row in found}
    partitions.drop_month(month)
    row = DroppedMonth.objects.create(month=month, buckets=buckets, sealed_quantities=sealed)
    facts = {"month": f"{month:%Y-%m}", "buckets": buckets, "sealed_quantities": sealed}
    record_event("usage.month_dropped", tenant=None, subject=row, actor=SYSTEM, after=facts)
    return row
