"""Sums of usage: by day, by hour, of a span, and of what was sealed. All of it is what counts, so what is billed.

`daily` and `summarise` read sums that PostgreSQL keeps with every change of a bucket; reading them needs no bucket.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from metering.counting import COUNTS, JOIN_SOURCE
from metering.models import RollupZone
from metering.queries.asking import ids_of, rows_of


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """What a seal claims of one meter on one line by one adapter version; negative in a correction that takes back."""

    tenant_id: int
    seal_id: int
    meter: str
    line: str
    adapter_version: str
    quantity: int


@dataclass(frozen=True, slots=True)
class UsageDayView:
    """Usage of one local day."""

    tenant_id: int
    day: date
    meter: str
    line: str
    adapter_version: str
    quantity: int


@dataclass(frozen=True, slots=True)
class SealedDayView:
    """What a seal claims of one local day."""

    seal_id: int
    day: date
    meter: str
    line: str
    adapter_version: str
    quantity: int


@dataclass(frozen=True, slots=True)
class SpanUsage:
    """What a tenant used in a span, sealed or not."""

    tenant_id: int
    meter: str
    line: str
    adapter_version: str
    quantity: int


@dataclass(frozen=True, slots=True)
class HourUsage:
    """Usage of one hour, of all tenants and lines asked for together."""

    hour: datetime
    meter: str
    quantity: int


SUMMARISE = """
SELECT s.tenant_id, s.id, d.meter, d.line, d.adapter_version, sum(d.quantity)::bigint
FROM metering_sealedday d JOIN metering_seal s ON s.id = d.seal_id
WHERE s.id = ANY(%s) GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""

SEALED_DAYS = """
SELECT seal_id, day, meter, line, adapter_version, quantity::bigint FROM metering_sealedday
WHERE seal_id = ANY(%s) ORDER BY 1, 2, 3, 4, 5
"""

DAILY = """
SELECT tenant_id, day, meter, line, adapter_version, quantity::bigint FROM metering_usageday
WHERE day >= %(first)s AND day < %(end)s AND (%(tenants)s::bigint[] IS NULL OR tenant_id = ANY(%(tenants)s))
  AND quantity <> 0
ORDER BY day, tenant_id, meter, line, adapter_version
"""

BY_DAY = f"""
SELECT b.tenant_id, (b.bucket_start AT TIME ZONE %(zone)s)::date, b.meter, b.line, b.adapter_version,
       sum(b.quantity)::bigint
FROM metering_usagebucket b {JOIN_SOURCE}
WHERE b.bucket_start >= %(start)s AND b.bucket_start < %(end)s
  AND (%(tenants)s::bigint[] IS NULL OR b.tenant_id = ANY(%(tenants)s)) AND {COUNTS}
GROUP BY 1, 2, 3, 4, 5 ORDER BY 2, 1, 3, 4, 5
"""

BY_HOUR = f"""
SELECT date_trunc('hour', b.bucket_start, 'UTC'), b.meter, sum(b.quantity)::bigint
FROM metering_usagebucket b {JOIN_SOURCE}
WHERE b.bucket_start >= %s AND b.bucket_start < %s AND b.tenant_id = ANY(%s) AND {COUNTS}
GROUP BY 1, 2 ORDER BY 1, 2
"""

# Whole days come from the roll-up; a tenant for whose zone the span cuts through a day is summed over its buckets.
BETWEEN = f"""
WITH asked AS (
    SELECT z.tenant_id, z.timezone,
           (%(start)s AT TIME ZONE z.timezone)::time = '0:00'
               AND (%(end)s AT TIME ZONE z.timezone)::time = '0:00' AS whole
    FROM metering_rollupzone z WHERE z.tenant_id = ANY(%(tenants)s)
)
SELECT d.tenant_id, d.meter, d.line, d.adapter_version, sum(d.quantity)::bigint
FROM asked a JOIN metering_usageday d ON a.whole AND d.tenant_id = a.tenant_id
    AND d.day >= (%(start)s AT TIME ZONE a.timezone)::date AND d.day < (%(end)s AT TIME ZONE a.timezone)::date
GROUP BY 1, 2, 3, 4 HAVING sum(d.quantity) <> 0
UNION ALL
SELECT b.tenant_id, b.meter, b.line, b.adapter_version, sum(b.quantity)::bigint
FROM asked a JOIN metering_usagebucket b ON NOT a.whole AND b.tenant_id = a.tenant_id
    AND b.bucket_start >= %(start)s AND b.bucket_start < %(end)s {JOIN_SOURCE}
WHERE {COUNTS} GROUP BY 1, 2, 3, 4 HAVING sum(b.quantity) <> 0
ORDER BY 1, 2, 3, 4
"""


def summarise(seal_ids: Collection[int]) -> list[UsageSummary]:
    """What seals claim, per meter, line and adapter version: what invoices are rated from."""
    return [UsageSummary(*row) for row in rows_of(SUMMARISE, [list(seal_ids)])]


def sealed_days(seal_ids: Collection[int]) -> list[SealedDayView]:
    """What seals claim, by local day; kept also when the hours behind it are dropped."""
    return [SealedDayView(*row) for row in rows_of(SEALED_DAYS, [list(seal_ids)])]


def daily(*, tenant_ids: Collection[int] | None, first_day: date, end_day: date) -> list[UsageDayView]:
    """Usage of the days from `first_day` up to, not including, `end_day`, each tenant in days of its billing zone."""
    asked = {"tenants": ids_of(tenant_ids), "first": first_day, "end": end_day}
    return [UsageDayView(*row) for row in rows_of(DAILY, asked)]


def usage_between(*, tenant_ids: Collection[int], start: datetime, end: datetime) -> list[SpanUsage]:
    """What is known now of these tenants' usage in [start, end), per meter, line and adapter version, without zeros.

    Fast for spans of whole days of the tenants' billing zones, which billing months are.
    """
    asked = {"tenants": list(tenant_ids), "start": start, "end": end}
    return [SpanUsage(*row) for row in rows_of(BETWEEN, asked)]


def usage_by_day(
    *, tenant_ids: Collection[int] | None, start: datetime, end: datetime, timezone: str
) -> list[UsageDayView]:
    """Usage of [start, end) summed over the days of a zone, in order of the day."""
    zone = ZoneInfo(timezone)
    first, last = start.astimezone(zone), end.astimezone(zone)
    strangers = RollupZone.objects.exclude(timezone=timezone)
    strangers = strangers if tenant_ids is None else strangers.filter(tenant_id__in=tenant_ids)
    if _is_midnight(first) and _is_midnight(last) and not strangers.exists():
        return daily(tenant_ids=tenant_ids, first_day=first.date(), end_day=last.date())
    asked = {"zone": timezone, "start": start, "end": end, "tenants": ids_of(tenant_ids)}
    return [UsageDayView(*row) for row in rows_of(BY_DAY, asked)]


def usage_by_hour(*, tenant_ids: Collection[int], start: datetime, end: datetime) -> list[HourUsage]:
    """Usage of [start, end) summed over whole hours, in order; hours without any are left out."""
    return [HourUsage(*row) for row in rows_of(BY_HOUR, [start, end, list(tenant_ids)])]


def _is_midnight(local: datetime) -> bool:
    return (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)
