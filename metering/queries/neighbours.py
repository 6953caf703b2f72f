"""Who uses a shared line, and who is turned away there: one statement for any number of lines."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from metering.counting import COUNTS, JOIN_SOURCE

# Those that use most, and those that are turned away most, up to %(shown)s of each on a line. Time counts only in
# buckets in which it was measured.
NEIGHBOURS = f"""
WITH placed AS (
    SELECT DISTINCT l.name AS line, a.tenant_id
    FROM provisioning_servingline l
    JOIN provisioning_tierroute r ON r.line_id = l.id
    JOIN tenants_tierassignment a ON a.tier_version_id = r.tier_version_id AND a.period @> %(end)s::timestamptz
    WHERE l.name = ANY(%(lines)s)
), counted AS (
    SELECT b.line, b.tenant_id,
           coalesce(sum(b.quantity) FILTER (WHERE b.meter IN ('input_tokens', 'output_tokens')), 0) AS tokens,
           coalesce(sum(b.quantity) FILTER (WHERE b.meter = 'requests'), 0) AS requests,
           coalesce(sum(b.quantity) FILTER (WHERE b.meter = 'busy_milliseconds'), 0) AS busy
    FROM metering_usagebucket b {JOIN_SOURCE}
    WHERE b.line = ANY(%(lines)s) AND b.bucket_start >= %(start)s AND b.bucket_start < %(end)s
      AND b.meter IN ('input_tokens', 'output_tokens', 'requests', 'busy_milliseconds') AND {COUNTS}
    GROUP BY b.line, b.tenant_id, b.bucket_start
), used AS (
    SELECT line, tenant_id, sum(tokens) AS tokens, sum(requests) AS requests,
           sum(busy) / nullif(sum(requests) FILTER (WHERE busy > 0), 0) AS milliseconds
    FROM counted GROUP BY line, tenant_id
), away AS (
    SELECT p.line, p.tenant_id, sum(t.times) FILTER (WHERE t.line <> '') AS turned_away,
           sum(t.times) FILTER (WHERE t.line = '') AS refused
    FROM placed p JOIN provisioning_turnedawayhour t ON t.tenant_id = p.tenant_id AND t.line IN ('', p.line)
    WHERE t.hour >= %(start)s AND t.hour < %(end)s GROUP BY p.line, p.tenant_id
), ranked AS (
    SELECT line, tenant_id, coalesce(tokens, 0) AS tokens, coalesce(requests, 0) AS requests, milliseconds,
           coalesce(turned_away, 0) AS turned_away, coalesce(refused, 0) AS refused,
           sum(coalesce(tokens, 0)) OVER (PARTITION BY line) AS line_tokens, count(*) OVER (PARTITION BY line) AS among,
           row_number() OVER (PARTITION BY line ORDER BY tokens DESC NULLS LAST, tenant_id) AS by_use,
           row_number() OVER (PARTITION BY line ORDER BY coalesce(turned_away, 0) + coalesce(refused, 0) DESC,
                              tenant_id) AS by_suffering
    FROM used FULL JOIN away USING (line, tenant_id)
)
SELECT r.line, r.tenant_id, t.public_id, t.name, t.slug, r.tokens::bigint, r.requests::bigint, r.milliseconds::float,
       r.turned_away::bigint, r.refused::bigint, r.line_tokens::bigint, r.among
FROM ranked r JOIN tenants_tenant t ON t.id = r.tenant_id
WHERE r.by_use <= %(shown)s OR (r.by_suffering <= %(shown)s AND r.turned_away + r.refused > 0)
ORDER BY r.line, r.tokens DESC, r.tenant_id
"""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What a tenant used of a line, and how often it was turned away: by the line, or (`refused`) by its own limits.

    `milliseconds` is what a request took on average; None where that was not measured. `line_tokens` were used by all
    `among` tenants that used the line or were turned away.
    """

    line: str
    tenant_id: int
    tenant_ref: str
    name: str
    slug: str
    tokens: int
    requests: int
    milliseconds: float | None
    turned_away: int
    refused: int
    line_tokens: int
    among: int

    @property
    def share_percent(self) -> int:
        """Its part of the line's tokens, rounded down."""
        return 100 * self.tokens // self.line_tokens if self.line_tokens else 0


def neighbours(*, line_names: Collection[str], start: datetime, end: datetime, shown: int) -> list[Neighbour]:
    """The tenants of each line that use most of it or are turned away most, in [start, end); most tokens first."""
    asked: dict[str, Any] = {"lines": list(line_names), "start": start, "end": end, "shown": shown}
    with connection.cursor() as cursor:
        cursor.execute(NEIGHBOURS, asked)
        return [Neighbour(*row) for row in cursor.fetchall()]
