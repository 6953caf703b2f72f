"""Reading hours again on purpose: first what would change, then the reading itself."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from core import clock
from core.actors import Actor
from core.errors import Invalid
from core.periods import HOUR_SECONDS, Period, floor_to_bucket
from events.record import record_event
from metering.models import CollectionWindow, Enrolment, MeteringScope, UsageBucket
from metering.partitions import kept_since
from metering.services.collection import read_span
from metering.store import Reading
from tenants.models import Tenant

LONGEST = timedelta(days=31)
LONGEST_OF_ALL = timedelta(days=1)


class SpanTooLong(Invalid):
    """More hours than a preview reads while somebody waits."""

    code = "backfill_too_long"


class HoursNotKept(Invalid):
    """The hours were dropped when their time was over; what was sealed of them is not read anew."""

    code = "hours_not_kept"


@dataclass(frozen=True, slots=True)
class Change:
    """A bucket that reading again would change; `is_sealed` makes it late usage, for a note."""

    tenant_id: int
    meter: str
    line: str
    adapter_version: str
    bucket_start: datetime
    was: int
    would_be: int
    is_sealed: bool


@dataclass(slots=True)
class Preview:
    """What reading [start, end) again would change. `problems` are reasons why part of it cannot be read."""

    start: datetime
    end: datetime
    hours: int = 0
    changes: list[Change] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def totals(self) -> dict[str, tuple[int, int]]:
        """Per meter, what the changed buckets hold and would hold."""
        sums: dict[str, tuple[int, int]] = {}
        for change in self.changes:
            was, would_be = sums.get(change.meter, (0, 0))
            sums[change.meter] = (was + change.was, would_be + change.would_be)
        return sums


def preview_backfill(*, tenant_id: int | None, start: datetime, end: datetime) -> Preview:
    """Ask the sources about [start, end) and compare, writing nothing. `tenant_id` None means every tenant.

    Raises SpanTooLong beyond 31 days of one tenant, or one day of all, and HoursNotKept.
    """
    start, end = _whole_hours(start, end, tenant_id)
    preview = Preview(start, end)
    only = None if tenant_id is None else [tenant_id]
    for scope in _scopes(only, start, end):
        batch = read_span(scope, Period(start, end), clock.now(), tenant_ids=only)
        if batch.problem:
            preview.problems.append(f"{scope.key}: {batch.problem}")
        preview.changes += _changes(batch.readings)
        preview.hours += CollectionWindow.objects.filter(scope=scope, starts_at__lt=end, ends_at__gt=start).count()
    return preview


def request_backfill(*, tenant_id: int | None, start: datetime, end: datetime, reason: str, actor: Actor) -> int:
    """Make every window of [start, end) due at once, as read last or not; return how many.

    A window is a scope's, so the tenant's neighbours are read again with it; that changes nothing that is right.
    Raises SpanTooLong and HoursNotKept.
    """
    start, end = _whole_hours(start, end, tenant_id)
    with transaction.atomic(durable=True):
        scopes = _scopes(None if tenant_id is None else [tenant_id], start, end)
        found = CollectionWindow.objects.filter(scope__in=scopes, starts_at__lt=end, ends_at__gt=start)
        count = found.update(due_at=clock.now())
        facts = {"start": start.isoformat(), "end": end.isoformat(), "windows": count}
        tenant = None if tenant_id is None else Tenant.objects.get(pk=tenant_id)
        for scope in scopes:
            record_event(
                "usage.backfill_requested", tenant=tenant, subject=scope, actor=actor, reason=reason, after=facts
            )
    return count


def read_again(*, start: datetime, end: datetime) -> int:
    """Make every window of [start, end) that is kept, however long, of every tenant due at once; return how many."""
    found = CollectionWindow.objects.filter(starts_at__lt=end, ends_at__gt=max(start, kept_since()))
    return found.update(due_at=clock.now())


def _whole_hours(start: datetime, end: datetime, tenant_id: int | None) -> tuple[datetime, datetime]:
    longest = LONGEST_OF_ALL if tenant_id is None else LONGEST
    if not timedelta(0) < end - start <= longest:
        raise SpanTooLong(
            f"{start.isoformat()} to {end.isoformat()} is not a stretch of up to {longest.days} day(s).",
            hint="Take a part at a time; all tenants together go by the day.",
        )
    if start < (kept := kept_since()):
        raise HoursNotKept(f"Hours before {kept:%Y-%m-%d} are not kept any more.", hint="Their days and seals are.")
    return floor_to_bucket(start, HOUR_SECONDS), floor_to_bucket(
        end + timedelta(hours=1, microseconds=-1), HOUR_SECONDS
    )


def _scopes(tenant_ids: Collection[int] | None, start: datetime, end: datetime) -> list[MeteringScope]:
    members = Enrolment.objects.filter(starts_at__lt=end).exclude(ends_at__lte=start)
    members = members if tenant_ids is None else members.filter(tenant_id__in=tenant_ids)
    return list(MeteringScope.objects.filter(pk__in=members.values("scope")).order_by("pk"))


def _changes(readings: Collection[Reading]) -> list[Change]:
    """The readings that differ from their buckets; a bucket that CloudWatch is silent about stays as it is."""
    if not readings:
        return []
    known = {
        (row.tenant_id, row.meter, row.line, row.adapter_version, row.bucket_start, row.source): row
        for row in UsageBucket.objects.filter(
            tenant_id__in={reading.tenant_id for reading in readings},
            bucket_start__gte=min(reading.bucket_start for reading in readings),
            bucket_start__lte=max(reading.bucket_start for reading in readings),
        ).iterator()
    }
    changes = []
    for reading in readings:
        key = (*reading[:5], reading.source)
        row = known.get(key)
        was = int(row.quantity) if row else 0
        if was != reading.quantity:
            is_sealed = row is not None and row.sealed_revision > 0
            changes.append(Change(*reading[:5], was, reading.quantity, is_sealed))
    return changes
