"""Writing what was read, by the batch: one statement per kind of row, and nothing is written that did not change.

The rows are NamedTuples because they go to PostgreSQL as columns: `dataclasses.astuple` took four fifths of the time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

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


# The rows come in key order, so that two writers of the same buckets wait for each other instead of deadlocking.
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
    FROM incoming ORDER BY tenant_id, bucket_start, meter, line, adapter_version, source
    ON CONFLICT (tenant_id, bucket_start, meter, line, adapter_version, source) DO UPDATE
        SET quantity = EXCLUDED.quantity, fetched_at = EXCLUDED.fetched_at,
            request_id = EXCLUDED.request_id, revision = b.revision + 1
        WHERE b.quantity IS DISTINCT FROM EXCLUDED.quantity
    RETURNING id, bucket_start, revision, quantity, fetched_at, request_id
)
INSERT INTO metering_usagerevision (bucket_id, bucket_start, revision, quantity, delta, fetched_at, request_id)
SELECT c.id, c.bucket_start, c.revision, c.quantity, c.quantity - coalesce(before.quantity, 0), c.fetched_at,
       c.request_id
FROM changed c
LEFT JOIN metering_usagerevision before ON before.bucket_id = c.id AND before.bucket_start = c.bucket_start
    AND before.revision = c.revision - 1
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
    changed = _execute(UPSERT_BUCKETS, readings)
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


def _execute(statement: str, rows: Iterable[tuple[object, ...]]) -> int:
    """Run a statement over the columns of `rows`; return how many rows it wrote."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    if not columns:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(statement, columns)
        return cursor.rowcount
