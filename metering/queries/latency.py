"""How long requests took, where that was measured."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from metering.counting import COUNTS, JOIN_SOURCE

# Requests of a series count only in the buckets in which their time was measured as well: a data plane that does not
# report it, or did not yet, must not make the mean smaller.
LATENCY = f"""
SELECT sum(requests)::bigint, sum(busy)::bigint, min(bucket_start), max(bucket_start + length)
FROM (
    SELECT b.bucket_start, max(b.bucket_seconds) * interval '1 second' AS length,
           sum(b.quantity) FILTER (WHERE b.meter = 'requests') AS requests,
           sum(b.quantity) FILTER (WHERE b.meter = 'busy_milliseconds') AS busy
    FROM metering_usagebucket b {JOIN_SOURCE}
    WHERE b.bucket_start >= %s AND b.bucket_start < %s AND b.tenant_id = ANY(%s)
      AND b.meter IN ('requests', 'busy_milliseconds') AND {COUNTS}
    GROUP BY b.tenant_id, b.line, b.adapter_version, b.bucket_start
) AS measured
WHERE requests > 0 AND busy > 0
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """What `requests` took together, measured in [start, end)."""

    requests: int
    busy_milliseconds: int
    start: datetime
    end: datetime


def measured_latency(*, tenant_ids: Collection[int], start: datetime, end: datetime) -> Latency | None:
    """The time that these tenants' requests of [start, end) took; None when none of it was measured."""
    with connection.cursor() as cursor:
        cursor.execute(LATENCY, [start, end, list(tenant_ids)])
        requests, busy, first, last = cursor.fetchone()
    return Latency(requests, busy, first, last) if requests else None
