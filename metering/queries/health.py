"""What metering could not do and what its sources disagree on, for people."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from core.errors import NotFound
from metering.meters import EVENT_METERS
from metering.models import MeteringAlarm, MeterSource, MeterTolerance, UsageGap
from metering.queries.asking import visible
from metering.states import GapState

DEFAULT_TOLERANCE_PPM = 1000
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """What CloudWatch and the usage events say of one meter of a tenant on one UTC day."""

    tenant_id: int
    day: date
    meter: str
    cloudwatch: int
    events: int
    is_settled: bool

    @property
    def parts_per_million(self) -> int:
        """How far apart they are, of the larger one."""
        larger = max(self.cloudwatch, self.events)
        return abs(self.cloudwatch - self.events) * MILLION // larger if larger else 0


@dataclass(frozen=True, slots=True)
class SourceSetting:
    """Which source of a meter is billed from when on, and how far the two may differ."""

    meter: str
    kind: str
    since: datetime | None
    tolerance_ppm: int


# A day that may still change is shown, and nobody is woken for it.
DIFFERENCES = """
WITH reporting AS (
    SELECT DISTINCT tenant_id, meter FROM metering_usagebucket
    WHERE source = 'events' AND bucket_start >= %(start)s AND bucket_start < %(end)s
      AND (%(tenants)s::bigint[] IS NULL OR tenant_id = ANY(%(tenants)s))
)
SELECT b.tenant_id, (b.bucket_start AT TIME ZONE 'UTC')::date AS day, b.meter,
       coalesce(sum(b.quantity) FILTER (WHERE b.source LIKE 'cloudwatch:%%'), 0)::bigint,
       coalesce(sum(b.quantity) FILTER (WHERE b.source = 'events'), 0)::bigint,
       coalesce((b.bucket_start AT TIME ZONE 'UTC')::date < (
           SELECT min(s.settled_until AT TIME ZONE 'UTC')::date FROM metering_enrolment e
           JOIN metering_meteringscope s ON s.id = e.scope_id WHERE e.tenant_id = b.tenant_id AND e.ends_at IS NULL
       ), true)
FROM reporting r JOIN metering_usagebucket b ON b.tenant_id = r.tenant_id AND b.meter = r.meter
    AND b.bucket_start >= %(start)s AND b.bucket_start < %(end)s
WHERE b.source = 'events' OR b.source LIKE 'cloudwatch:%%'
GROUP BY 1, 2, 3, 6 ORDER BY 2 DESC, 1, 3 LIMIT %(limit)s
"""


def differences(
    *, tenant_ids: Collection[int] | None, start: datetime, end: datetime, limit: int = 5000
) -> list[Difference]:
    """Where usage events were reported: both sources' sums per UTC day, newest first."""
    asked: dict[str, Any] = {
        "tenants": None if tenant_ids is None else list(tenant_ids), "start": start, "end": end, "limit": limit,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, asked)
        return [Difference(*row) for row in cursor.fetchall()]


def source_settings() -> list[SourceSetting]:
    """What is set for every meter that has two sources; a source chosen for later is not in force yet and left out."""
    chosen = {row.meter: row for row in MeterSource.objects.filter(ends_at=None)}
    tolerances = dict(MeterTolerance.objects.values_list("meter", "parts_per_million"))
    return [
        SourceSetting(
            meter=meter,
            kind=chosen[meter].kind if meter in chosen else "cloudwatch",
            since=chosen[meter].starts_at if meter in chosen else None,
            tolerance_ppm=tolerances.get(meter, DEFAULT_TOLERANCE_PPM),
        )
        for meter in sorted(EVENT_METERS)
    ]


def usage_gaps(*, tenant_ids: Collection[int] | None, state: str | None = None) -> QuerySet[UsageGap]:
    """Gaps, newest first."""
    found = UsageGap.objects.filter(visible(tenant_ids))
    found = found.select_related("tenant").prefetch_related("estimates").order_by("-pk")
    return found.filter(state=state) if state else found


def get_gap(ref: str, *, tenant_ids: Collection[int] | None) -> UsageGap:
    """One gap by its public id. Raises NotFound when absent or invisible."""
    gap = usage_gaps(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if gap is None:
        raise NotFound(f"There is no gap {ref}.")
    return gap


def accepted_gaps(*, tenant_ids: Collection[int], start: datetime, end: datetime) -> list[UsageGap]:
    """Hours of [start, end) that were billed as known on purpose: who decided it and why."""
    found = UsageGap.objects.filter(
        tenant_id__in=tenant_ids, state=GapState.ACCEPTED, starts_at__lt=end, ends_at__gt=start
    )
    return list(found.prefetch_related("estimates").order_by("tenant_id", "starts_at"))


def alarms(*, tenant_ids: Collection[int] | None) -> QuerySet[MeteringAlarm]:
    """Open alarms, newest first; those that are nobody's only for who may see all."""
    return MeteringAlarm.objects.filter(visible(tenant_ids), closed_at=None).select_related("tenant").order_by("-pk")
