"""Sums kept in line: months ahead, everybody's hours, and a tenant's days after its billing zone changed.

Days are kept by PostgreSQL with every change of a bucket (migration 0004). What is here repairs and rebuilds, always by
summing buckets anew, so that doing it twice, or beside a collector, ends in the same sums.
"""

from collections.abc import Collection
from datetime import datetime

from django.db import connection, transaction
from django.db.models import F

from core import clock
from core.locks import advisory_lock
from metering.counting import COUNTS, JOIN_SOURCE
from metering.models import RollupZone
from metering.partitions import make_months, month_after, month_of

MONTHS_AHEAD = 3
# Held alone by who sums anew, and shared by whoever changes a bucket (migration 0004).
ROLLUP_LOCK = "metering.rollups"
HOURS_AT_ONCE = 500

# The dues go first: whatever is committed later leaves a due of its own.
TAKE_DUES = """
DELETE FROM metering_hourdue WHERE hour IN (SELECT DISTINCT hour FROM metering_hourdue ORDER BY hour LIMIT %s)
RETURNING hour
"""
ROLL_UP_HOURS = f"""
INSERT INTO metering_usagehour AS h (hour, meter, line, quantity)
SELECT date_trunc('hour', b.bucket_start, 'UTC'), b.meter, b.line, sum(CASE WHEN {COUNTS} THEN b.quantity ELSE 0 END)
FROM unnest(%s::timestamptz[]) AS due(hour)
JOIN metering_usagebucket b ON b.bucket_start >= due.hour AND b.bucket_start < due.hour + interval '1 hour'
{JOIN_SOURCE}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (hour, meter, line) DO UPDATE SET quantity = EXCLUDED.quantity WHERE h.quantity <> EXCLUDED.quantity
"""

RANK = """
INSERT INTO metering_monthtokens AS t (tenant_id, month, tokens)
SELECT d.tenant_id, %(month)s, sum(d.quantity) FROM metering_usageday d
WHERE d.day >= %(month)s AND d.day < %(month)s::date + interval '1 month' AND d.meter = ANY(%(meters)s)
GROUP BY d.tenant_id ORDER BY d.tenant_id
ON CONFLICT (month, tenant_id) DO UPDATE SET tokens = EXCLUDED.tokens WHERE t.tokens <> EXCLUDED.tokens
"""
TOKENS = ("input_tokens", "output_tokens")

FORGET_DAYS = """
DELETE FROM metering_usageday d USING metering_rollupzone z
WHERE z.tenant_id = d.tenant_id AND d.tenant_id = ANY(%(tenants)s)
  AND d.day >= (%(since)s::timestamptz AT TIME ZONE z.timezone)::date
"""
SUM_DAYS = f"""
INSERT INTO metering_usageday (tenant_id, day, meter, line, adapter_version, quantity)
SELECT b.tenant_id, (b.bucket_start AT TIME ZONE z.timezone)::date, b.meter, b.line, b.adapter_version, sum(b.quantity)
FROM metering_usagebucket b JOIN metering_rollupzone z ON z.tenant_id = b.tenant_id {JOIN_SOURCE}
WHERE b.tenant_id = ANY(%(tenants)s)
  AND b.bucket_start >= date_trunc('day', %(since)s::timestamptz AT TIME ZONE z.timezone) AT TIME ZONE z.timezone
  AND {COUNTS}
GROUP BY 1, 2, 3, 4, 5
"""


def make_months_ahead(*, as_of: datetime | None = None) -> list[datetime]:
    """Make the partitions of this month and the ones to come; return the months made."""
    month = month_of(as_of or clock.now())
    return make_months(month_after(month, count) for count in range(MONTHS_AHEAD + 1))


def roll_up_hours() -> int:
    """Sum every hour anew in which something changed, over all tenants; return how many hours."""
    done = 0
    while True:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            advisory_lock("metering.hours")
            cursor.execute(TAKE_DUES, [HOURS_AT_ONCE])
            hours = sorted({hour for (hour,) in cursor.fetchall()})
            if hours:
                cursor.execute(ROLL_UP_HOURS, [hours])
        done += len(hours)
        if len(hours) < HOURS_AT_ONCE:
            return done


def rank_tenants(*, as_of: datetime | None = None) -> None:
    """Note how many tokens each tenant used in this month and the one before, by which pages put them in order."""
    month = month_of(as_of or clock.now())
    for each in (month_after(month, -1), month):
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            advisory_lock("metering.ranks")
            cursor.execute(RANK, {"month": each.date(), "meters": [*TOKENS]})


def follow_zones() -> int:
    """Sum the days of tenants anew whose billing zone changed, in the new zone; return how many tenants.

    Days before the oldest bucket that is still kept stay as they are.
    """
    moved = RollupZone.objects.exclude(timezone=F("tenant__billing_timezone"))
    tenants = list(moved.order_by("pk").values_list("pk", flat=True))
    for tenant_id in tenants:
        with transaction.atomic(durable=True):
            advisory_lock(ROLLUP_LOCK)
            zone = (
                RollupZone.objects.select_for_update(no_key=True, of=("self",))
                .select_related("tenant")
                .get(pk=tenant_id)
            )
            since = _oldest_bucket([tenant_id])
            _forget([tenant_id], since)
            zone.timezone = zone.tenant.billing_timezone
            zone.save(update_fields=["timezone"])
            _sum([tenant_id], since)
    return len(tenants)


def rebuild_days(*, tenant_ids: Collection[int], since: datetime) -> None:
    """Sum the days from the one of `since` on anew; inside the caller's transaction, which holds up collectors."""
    advisory_lock(ROLLUP_LOCK)
    _forget(tenant_ids, since)
    _sum(tenant_ids, since)


def _forget(tenant_ids: Collection[int], since: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FORGET_DAYS, {"tenants": list(tenant_ids), "since": since})


def _sum(tenant_ids: Collection[int], since: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SUM_DAYS, {"tenants": list(tenant_ids), "since": since})


def _oldest_bucket(tenant_ids: Collection[int]) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(bucket_start) FROM metering_usagebucket WHERE tenant_id = ANY(%s)", [[*tenant_ids]])
        oldest: datetime | None = cursor.fetchone()[0]
    return oldest or clock.now()
