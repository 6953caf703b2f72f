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


INCOMING = """
WITH incoming AS (
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::numeric[],
                         %s::text[], %s::timestamptz[], %s::text[])
        AS r(tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds, quantity, source, fetched_at,
             request_id)
), known AS MATERIALIZED (
    SELECT tenant_id, meter, line, adapter_version, bucket_start, source, quantity FROM metering_usagebucket
    WHERE tenant_id = ANY(%s) AND bucket_start BETWEEN %s AND %s
), compared AS (
    SELECT r.*, known.quantity AS was
    FROM incoming r LEFT JOIN known USING (tenant_id, bucket_start, meter, line, adapter_version, source)
)
"""
COLUMNS = """
(tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds, quantity, source, fetched_at, request_id,
 revision, sealed_quantity, sealed_revision)
SELECT tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds, quantity, source, fetched_at, request_id,
       1, 0, 0
FROM compared
"""
IN_ORDER = "ORDER BY tenant_id, bucket_start, meter, line, adapter_version, source"

# Whoever writes what was read holds the windows of those hours (`metering.windows.lock_ours`), so nobody else adds the
# same buckets meanwhile: looking for a conflict row by row would be a third of a first read. Tenants and instants say
# where to look: a few pages of the natural key in the months concerned, whatever else the table holds.
ADD_BUCKETS = f"""
{INCOMING}, added AS (INSERT INTO metering_usagebucket {COLUMNS} WHERE was IS NULL {IN_ORDER} RETURNING 1)
SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM compared WHERE was <> quantity)
"""
# In key order, as sealing locks them, so that the two wait for each other instead of deadlocking.
CHANGE_BUCKETS = f"""
{INCOMING}, changed AS (
    INSERT INTO metering_usagebucket AS b {COLUMNS} WHERE was <> quantity {IN_ORDER}
    ON CONFLICT (tenant_id, bucket_start, meter, line, adapter_version, source) DO UPDATE
        SET quantity = EXCLUDED.quantity, fetched_at = EXCLUDED.fetched_at, request_id = EXCLUDED.request_id,
            revision = b.revision + 1
        WHERE b.quantity <> EXCLUDED.quantity
    RETURNING old.id, old.bucket_start, old.revision, old.quantity, old.fetched_at, old.request_id
)
INSERT INTO metering_usagerevision (bucket_id, bucket_start, revision, quantity, fetched_at, request_id)
SELECT * FROM changed
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
    """Write absolute values, and keep the value before of each that is different; return how many changed anything.

    The caller holds the windows of their hours. Within one call a bucket stands once.
    """
    if not readings:
        return 0
    starts = {reading.bucket_start for reading in readings}
    tenants = list({reading.tenant_id for reading in readings})
    with connection.cursor() as cursor:
        asked: list[Any] = [*arrays(readings), tenants, min(starts), max(starts)]
        cursor.execute(ADD_BUCKETS, asked)
        changed, different = cursor.fetchone()
        if different:
            cursor.execute(CHANGE_BUCKETS, asked)
            changed += cursor.rowcount
    if ParkedPoint.objects.exists():
        keys = [(r.tenant_id, r.meter, r.line, r.adapter_version, r.bucket_start, r.source) for r in readings]
        _execute(MEND_PARKED, keys)
    return int(changed)


def write_refused(refused: Sequence[Refused]) -> int:
    """Keep values that cannot be counts; return how many are new or different."""
    return _execute(UPSERT_PARKED, refused)


def write_nobodys(points: Sequence[Nobodys]) -> int:
    """Keep usage that is nobody's; return how many rows are new or different."""
    return _execute(UPSERT_UNATTRIBUTED, points)


def _execute(statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
    """Run a statement over the columns of `rows`; return how many rows it wrote."""
    columns = arrays(rows)
    if not columns:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(statement, columns)
        return cursor.rowcount
