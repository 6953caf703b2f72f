"""What a gap may hold: the same hours of the last week before it that is known. Shown, and billed only on purpose.

A billed estimate is buckets of its own, whose source says `estimate`, so every page, seal and invoice shows it as one.
When the hours are read after all, those buckets fall to zero in the same transaction: what was sealed of them comes
back as late usage, and the note over it holds the difference.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from core import clock
from core.actors import SYSTEM
from core.ids import new_id
from events.record import Happening, record_events
from metering.counting import COUNTS, JOIN_SOURCE
from metering.models import MeteringScope, UsageEstimate, UsageGap
from metering.states import EstimateState

WEEKS_BACK = 5

# Per account and region, because a gap is of one of them; and only where nothing was read at all.
HOURLY = f"""
WITH unknown AS (
    SELECT g.id AS gap_id, g.public_id, g.tenant_id, g.starts_at, hour, e.scope_id,
           concat_ws('/', nullif(e.account, ''), e.region) AS place
    FROM metering_usagegap g
    CROSS JOIN generate_series(g.starts_at, g.ends_at - interval '1 microsecond', interval '1 hour') AS hour
    JOIN metering_enrolment e ON e.tenant_id = g.tenant_id AND e.starts_at <= hour
        AND (e.ends_at IS NULL OR e.ends_at > hour)
    LEFT JOIN metering_collectionwindow w ON w.scope_id = e.scope_id AND w.starts_at = hour
    WHERE g.id = ANY(%(gaps)s) AND coalesce(w.state, 'waiting') = 'waiting'
), based AS (
    SELECT u.*, known.hour AS basis FROM unknown u CROSS JOIN LATERAL (
        SELECT w.starts_at AS hour FROM metering_enrolment e
        JOIN metering_collectionwindow w ON w.scope_id = e.scope_id AND w.state <> 'waiting'
            AND w.starts_at = ANY(ARRAY(SELECT u.hour - n * interval '7 days' FROM generate_series(1, %(weeks)s) n))
        WHERE e.tenant_id = u.tenant_id AND concat_ws('/', nullif(e.account, ''), e.region) = u.place
            AND w.starts_at < u.starts_at AND e.starts_at <= w.starts_at
            AND (e.ends_at IS NULL OR e.ends_at > w.starts_at)
        ORDER BY w.starts_at DESC LIMIT 1
    ) known
), guessed AS (
    SELECT f.gap_id, f.public_id, f.tenant_id, f.place, f.basis, b.meter, b.line, b.adapter_version,
           b.bucket_start + (f.hour - f.basis) AS bucket_start, b.bucket_seconds, b.quantity,
           'cloudwatch' AS source, b.source AS of_source
    FROM based f JOIN metering_usagebucket b ON b.tenant_id = f.tenant_id AND b.bucket_start >= f.basis
        AND b.bucket_start < f.basis + interval '1 hour'
        AND split_part(b.source, ':', 1) = 'cloudwatch' AND split_part(b.source, ':', 2) = f.place AND b.quantity > 0
), hourly AS (
    SELECT b.* FROM guessed b {JOIN_SOURCE} WHERE {COUNTS} AND NOT EXISTS (
        SELECT FROM metering_usagebucket known WHERE known.tenant_id = b.tenant_id AND known.meter = b.meter
            AND known.bucket_start >= date_trunc('hour', b.bucket_start, 'UTC')
            AND known.bucket_start < date_trunc('hour', b.bucket_start, 'UTC') + interval '1 hour'
            AND known.line = b.line AND known.adapter_version = b.adapter_version AND known.source = b.of_source)
)
"""
SUMS = f"""
{HOURLY}
SELECT gap_id, meter, line, adapter_version, sum(quantity), count(DISTINCT basis), min(basis),
       max(basis) + interval '1 hour'
FROM hourly GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
BILL = f"""
{HOURLY}
INSERT INTO metering_usagebucket (tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds, quantity,
    source, fetched_at, request_id, revision, sealed_quantity, sealed_revision)
SELECT tenant_id, meter, line, adapter_version, bucket_start, max(bucket_seconds), sum(quantity),
       'estimate:' || place || ':' || public_id, %(now)s, '', 1, 0, 0
FROM hourly GROUP BY 1, 2, 3, 4, 5, place, public_id ORDER BY 1, 5, 2, 3, 4
"""
# A reader holds the windows of its hours until it commits: what it read is seen after this, and later readers see what
# is billed. In the order in which readers lock.
HOLD = """
SELECT w.id FROM metering_collectionwindow w JOIN metering_usagegap g ON g.id = %s
WHERE w.starts_at < g.ends_at AND w.ends_at > g.starts_at
  AND w.scope_id IN (SELECT e.scope_id FROM metering_enrolment e WHERE e.tenant_id = g.tenant_id)
ORDER BY w.id FOR NO KEY UPDATE OF w
"""
# In key order, as sealing locks them.
REPLACE = """
WITH held AS (
    SELECT id, bucket_start FROM metering_usagebucket e
    WHERE tenant_id = ANY(%(tenants)s) AND bucket_start >= %(start)s AND bucket_start < %(end)s
      AND date_trunc('hour', bucket_start, 'UTC') = ANY(%(hours)s)
      AND starts_with(source, %(source)s) AND quantity <> 0
      AND (%(is_whole)s OR EXISTS (
        SELECT FROM metering_usagebucket known WHERE known.tenant_id = e.tenant_id AND known.meter = e.meter
            AND known.bucket_start >= date_trunc('hour', e.bucket_start, 'UTC')
            AND known.bucket_start < date_trunc('hour', e.bucket_start, 'UTC') + interval '1 hour'
            AND known.line = e.line AND known.adapter_version = e.adapter_version
            AND split_part(known.source, ':', 1) = 'cloudwatch'
            AND split_part(known.source, ':', 2) = split_part(e.source, ':', 2)))
    ORDER BY tenant_id, bucket_start, meter, line, adapter_version, source FOR NO KEY UPDATE
), changed AS (
    UPDATE metering_usagebucket b SET quantity = 0, fetched_at = %(now)s, revision = b.revision + 1
    FROM held WHERE b.id = held.id AND b.bucket_start = held.bucket_start
        AND b.bucket_start >= %(start)s AND b.bucket_start < %(end)s
    RETURNING old.id, old.bucket_start, old.revision, old.quantity, old.fetched_at, old.request_id, old.source
), kept AS (
    INSERT INTO metering_usagerevision (bucket_id, bucket_start, revision, quantity, fetched_at, request_id)
    SELECT id, bucket_start, revision, quantity, fetched_at, request_id FROM changed
)
SELECT DISTINCT split_part(source, ':', 3) FROM changed
"""
LEFT = """
SELECT EXISTS (SELECT FROM metering_usagebucket WHERE tenant_id = %s AND bucket_start >= %s AND bucket_start < %s
    AND starts_with(source, 'estimate:') AND split_part(source, ':', 3) = %s AND quantity <> 0)
"""


def propose(gap_ids: Collection[int]) -> int:
    """Estimate open gaps anew, inside the caller's transaction; return how many estimates there are."""
    UsageEstimate.objects.filter(gap_id__in=gap_ids, state=EstimateState.PROPOSED).delete()
    made = UsageEstimate.objects.bulk_create(
        UsageEstimate(
            public_id=new_id(UsageEstimate.PREFIX), gap_id=gap, meter=meter, line=line, adapter_version=version,
            quantity=quantity, hours=hours, basis_start=start, basis_end=end,
        )
        for gap, meter, line, version, quantity, hours, start, end in _rows(SUMS, {"gaps": list(gap_ids)})
    )  # fmt: skip
    return len(made)


def bill(gap: UsageGap) -> list[UsageEstimate]:
    """Count a gap's estimates from now on, as they are now; inside the caller's transaction, which closes the gap.

    The months of the gap exist (`metering.partitions.make_months`).
    """
    _rows(HOLD, [gap.pk])
    propose([gap.pk])
    with connection.cursor() as cursor:
        cursor.execute(BILL, {"gaps": [gap.pk], "weeks": WEEKS_BACK, "now": clock.now()})
    UsageEstimate.objects.filter(gap=gap).update(state=EstimateState.BILLED)
    return list(UsageEstimate.objects.filter(gap=gap))


def withdraw(gap_ids: Collection[int]) -> None:
    """Bill nothing of what was proposed for these gaps."""
    proposed = UsageEstimate.objects.filter(gap_id__in=gap_ids, state=EstimateState.PROPOSED)
    proposed.update(state=EstimateState.WITHDRAWN)


def replace(scope: MeteringScope, hours: Sequence[datetime], end: datetime, *, is_whole: bool) -> None:
    """Take back what was estimated of hours that were read now; inside the transaction that wrote them.

    When they were not read completely (`is_whole`), only of what something was read of: that counts already.
    """
    billed = UsageEstimate.objects.filter(
        state=EstimateState.BILLED, gap__starts_at__lt=end, gap__ends_at__gt=hours[0],
        gap__tenant__enrolments__scope=scope,
    )  # fmt: skip
    tenants = list(billed.order_by().values_list("gap__tenant_id", flat=True).distinct())
    if not tenants:
        return
    place = "/".join(filter(None, (scope.account, scope.region)))
    asked = {
        "tenants": tenants, "start": hours[0], "end": end, "hours": list(hours), "source": f"estimate:{place}:",
        "now": clock.now(), "is_whole": is_whole,
    }  # fmt: skip
    refs = [ref for (ref,) in _rows(REPLACE, asked)]
    over = [gap for gap in UsageGap.objects.filter(public_id__in=refs).select_related("tenant") if not _is_left(gap)]
    UsageEstimate.objects.filter(gap__in=over, state=EstimateState.BILLED).update(state=EstimateState.REPLACED)
    happenings = []
    for gap in over:
        facts = {"starts_at": gap.starts_at.isoformat(), "ends_at": gap.ends_at.isoformat()}
        happenings.append(Happening(tenant=gap.tenant, subject=gap, after=facts, data=facts))
    record_events("usage.estimate_replaced", happenings, actor=SYSTEM)


def _is_left(gap: UsageGap) -> bool:
    [(is_left,)] = _rows(LEFT, [gap.tenant_id, gap.starts_at, gap.ends_at, gap.public_id])
    return bool(is_left)


def _rows(statement: str, asked: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, asked if isinstance(asked, list) else {"weeks": WEEKS_BACK} | asked)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
