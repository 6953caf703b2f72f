"""Writing what was read, by the batch: one statement per kind of row, and nothing is written that did not change.

The rows are NamedTuples because they go to PostgreSQL as columns: `dataclasses.astuple` took four fifths of the time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from metering.columns import arrays
from metering.models import ParkedPoint


class Reading(NamedTuple):
    """An absolute value that was read for a bucket."""

    tenant_id: int
    meter: str
    line: str
    adapter_version: str
    bucket_start: datetime
    bucket_seconds: int
    quantity: int
    source: str
    fetched_at: datetime
    request_id: str


class Refused(NamedTuple):
    """A value that cannot be a count, for a bucket."""

    tenant_id: int
    meter: str
    line: str
    adapter_version: str
    bucket_start: datetime
    source: str
    value: str
    reason: str
    fetched_at: datetime
    request_id: str


class Nobodys(NamedTuple):
    """A value that belongs to no tenant we know."""

    region: str
    namespace: str
    metric: str
    dimensions: str
    series_sha256: str
    bucket_start: datetime
    bucket_seconds: int
    value: float
    reason: str
    fetched_at: datetime


# The rows come in key order, so that two writers of the same buckets wait for each other instead of deadlocking. What
# is known already is left out first: a conflict locks its row, which is a write, and three of four reads bring nothing
# new. The two instants are the first and the last of the buckets, so that only their months are looked at.
UPSERT_BUCKETS = """
WITH incoming AS (
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::numeric[],
                         %s::text[], %s::timestamptz[], %s::text[])
        AS r(tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds, quantity, source, fetched_at,
             request_id)
), changed AS (
    INSERT INTO metering_usagebucket AS b (tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds,
            quantity, source, fetched_at, request_id, revision, sealed_quantity, sealed_revision)
    SELECT tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds, quantity, source, fetched_at,
           request_id, 1, 0, 0
    FROM incoming r WHERE NOT EXISTS (
        SELECT FROM metering_usagebucket known
        WHERE known.bucket_start BETWEEN %s AND %s AND known.tenant_id = r.tenant_id
          AND known.bucket_start = r.bucket_start AND known.meter = r.meter AND known.line = r.line
          AND known.adapter_version = r.adapter_version AND known.source = r.source AND known.quantity = r.quantity)
    ORDER BY tenant_id, bucket_start, meter, line, adapter_version, source
    ON CONFLICT (tenant_id, bucket_start, meter, line, adapter_version, source) DO UPDATE
        SET quantity = EXCLUDED.quantity, fetched_at = EXCLUDED.fetched_at,
            request_id = EXCLUDED.request_id, revision = b.revision + 1
        WHERE b.quantity IS DISTINCT FROM EXCLUDED.quantity
    RETURNING b.id, b.bucket_start, b.revision, b.quantity, coalesce(old.quantity, 0) AS before, b.fetched_at,
              b.request_id
)
INSERT INTO metering_usagerevision (bucket_id, bucket_start, revision, quantity, delta, fetched_at, request_id)
SELECT id, bucket_start, revision, quantity, quantity - before, fetched_at, request_id FROM changed
"""

MEND_PARKED = """
DELETE FROM metering_parkedpoint p
USING unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[])
    AS r(tenant_id, meter, line, adapter_version, bucket_start, source)
WHERE (p.tenant_id, p.meter, p.line, p.adapter_version, p.bucket_start, p.source)
    = (r.tenant_id, r.meter, r.line, r.adapter_version, r.bucket_start, r.source)
"""

UPSERT_PARKED = """
INSERT INTO metering_parkedpoint AS p (tenant_id, meter, line, adapter_version, bucket_start, source, value, reason,
                                       fetched_at, request_id)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::text[],
                     %s::text[], %s::timestamptz[], %s::text[])
ON CONFLICT (tenant_id, bucket_start, meter, line, adapter_version, source) DO UPDATE
    SET value = EXCLUDED.value, reason = EXCLUDED.reason, fetched_at = EXCLUDED.fetched_at,
        request_id = EXCLUDED.request_id
    WHERE p.value IS DISTINCT FROM EXCLUDED.value OR p.reason IS DISTINCT FROM EXCLUDED.reason
"""

UPSERT_UNATTRIBUTED = """
INSERT INTO metering_unattributedusage AS u (region, namespace, metric, dimensions, series_sha256, bucket_start,
                                             bucket_seconds, value, reason, fetched_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[], %s::text[], %s::timestamptz[], %s::int[],
                     %s::float8[], %s::text[], %s::timestamptz[])
ON CONFLICT (series_sha256, bucket_start, bucket_seconds) DO UPDATE
    SET value = EXCLUDED.value, reason = EXCLUDED.reason, fetched_at = EXCLUDED.fetched_at
    WHERE u.value IS DISTINCT FROM EXCLUDED.value OR u.reason IS DISTINCT FROM EXCLUDED.reason
"""


def write_readings(readings: Sequence[Reading]) -> int:
    """Upsert absolute values, with a revision for each that is new or different; return how many were."""
    if not readings:
        return 0
    starts = {reading.bucket_start for reading in readings}
    changed = _execute(UPSERT_BUCKETS, readings, min(starts), max(starts))
    if ParkedPoint.objects.exists():
        keys = [(r.tenant_id, r.meter, r.line, r.adapter_version, r.bucket_start, r.source) for r in readings]
        _execute(MEND_PARKED, keys)
    return changed


def write_refused(refused: Sequence[Refused]) -> int:
    """Keep values that cannot be counts; return how many are new or different."""
    return _execute(UPSERT_PARKED, refused)


def write_nobodys(points: Sequence[Nobodys]) -> int:
    """Keep usage that is nobody's; return how many rows are new or different."""
    return _execute(UPSERT_UNATTRIBUTED, points)


def _execute(statement: str, rows: Iterable[tuple[Any, ...]], *more: datetime) -> int:
    """Run a statement over the columns of `rows` and what follows them; return how many rows it wrote."""
    columns = arrays(rows)
    if not columns:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(statement, [*columns, *more])
        return cursor.rowcount
