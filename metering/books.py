"""What our own books say was used: time in service from the resource ledger, stored bytes from the registry.

Only what is a tenant's own counts; what tenants share is nobody's. An interval that is still open counts up to now.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from core.periods import Period
from metering.meters import LEDGER_METERS, STORAGE_METER

LEDGER, REGISTRY = "ledger", "registry"

# Buckets of each stretch of time, and how many of its seconds fall into each.
IN_BUCKETS = """
CROSS JOIN LATERAL generate_series(
    to_timestamp(floor(extract(epoch FROM greatest(s.since, %(start)s)) / %(size)s) * %(size)s),
    least(s.until, %(end)s) - interval '1 microsecond', make_interval(secs => %(size)s)) AS bucket
CROSS JOIN LATERAL (SELECT extract(epoch FROM least(s.until, %(end)s, bucket + make_interval(secs => %(size)s))
    - greatest(s.since, %(start)s, bucket)) AS seconds) part
"""

IN_SERVICE = f"""
WITH stretches AS (
    SELECT r.tenant_id, r.kind, coalesce(l.name, '') AS line, coalesce(v.public_id, '') AS version,
           lower(i.during) AS since, coalesce(upper(i.during), %(now)s) AS until, i.copies
    FROM provisioning_resourceinterval i JOIN provisioning_managedresource r ON r.id = i.resource_id
    LEFT JOIN provisioning_servingline l ON l.id = r.line_id
    LEFT JOIN models_registry_adapterversion v ON v.id = r.adapter_version_id
    WHERE r.tenant_id = ANY(%(tenants)s) AND r.kind = ANY(%(kinds)s)
      AND i.during && tstzrange(%(start)s, %(end)s) AND lower(i.during) < %(now)s
)
SELECT s.tenant_id, s.kind, s.line, s.version, bucket, round(sum(part.seconds * s.copies))::bigint
FROM stretches s {IN_BUCKETS} GROUP BY 1, 2, 3, 4, 5
"""

# Versions with the same content share one object, from the first of them on.
STORED = f"""
WITH stretches AS (
    SELECT v.tenant_id, min(v.decided_at) AS since, max(v.size_bytes) AS bytes,
           coalesce((SELECT o.done_at FROM tenants_offboardingstep o
                     WHERE o.tenant_id = v.tenant_id AND o.key = 'artifacts'), %(now)s) AS until
    FROM models_registry_adapterversion v
    WHERE v.tenant_id = ANY(%(tenants)s) AND v.artifact_key <> '' AND v.size_bytes IS NOT NULL
      AND v.decided_at < %(end)s
    GROUP BY v.tenant_id, v.artifact_key
)
SELECT s.tenant_id, bucket, round(sum(part.seconds * s.bytes) / 3600)::bigint
FROM stretches s {IN_BUCKETS} WHERE s.until > s.since GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Booked:
    """What the books say of one tenant's bucket."""

    tenant_id: int
    meter: str
    line: str
    adapter_version: str
    bucket_start: datetime
    quantity: int
    source: str


def read(tenant_ids: Collection[int], span: Period, bucket_seconds: int, *, now: datetime) -> list[Booked]:
    """Time in service and stored bytes of these tenants in `span`, by bucket; buckets without any are left out."""
    end = min(span.end, now)
    if end <= span.start:
        return []
    asked: dict[str, Any] = {
        "tenants": list(tenant_ids), "kinds": [*LEDGER_METERS], "start": span.start, "end": end,
        "size": bucket_seconds, "now": now,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(IN_SERVICE, asked)
        served = [
            # An endpoint and a copy serve many versions; only an adapter's own component is one version's.
            Booked(tenant, LEDGER_METERS[kind], line, version, bucket, seconds, LEDGER)
            for tenant, kind, line, version, bucket, seconds in cursor.fetchall()
        ]
        cursor.execute(STORED, asked)
        stored = [
            Booked(tenant, STORAGE_METER, "", "", bucket, amount, REGISTRY)
            for tenant, bucket, amount in cursor.fetchall()
        ]
    return served + stored
