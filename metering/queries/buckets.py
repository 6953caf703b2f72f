"""Buckets with where each value came from, and what is known of which hour."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from core import clock
from core.periods import HOUR_SECONDS, floor_to_bucket
from metering import schedule
from metering.counting import COUNTS, JOIN_SOURCE
from metering.meters import describe_query
from metering.models import Enrolment, ParkedPoint, Seal, UnattributedUsage
from metering.queries.asking import ids_of, rows_of, visible
from metering.states import WindowState
from tenants.models import Tenant

# A window is overdue, and so a gap to show, when it has had two chances to be read.
OVERDUE_AFTER = 2 * schedule.READS[0]


@dataclass(frozen=True, slots=True)
class BucketView:
    """A bucket with its provenance: what was asked, when it was fetched, in which request, and how sure it is.

    `claimed` is what was sealed of it (in `sealed_buckets`: by that seal); `window_state` as in metering.states.
    `answer_sha256` is the digest of the answer that brought the value (`metering.evidence`), empty for the ledger.
    """

    tenant_id: int
    meter: str
    line: str
    adapter_version: str
    bucket_start: datetime
    bucket_seconds: int
    quantity: int
    revision: int
    claimed: int
    fetched_at: datetime
    request_id: str
    query: str
    window_state: str
    answer_sha256: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of a tenant's time about which nothing, or nothing final, is known."""

    tenant_id: int
    start: datetime
    end: datetime
    state: str
    problem: str

    def __str__(self) -> str:
        why = self.problem or {"": "not opened yet", WindowState.WAITING: "not read yet"}.get(
            self.state, "not final yet"
        )
        return f"{self.start:%Y-%m-%d %H:%M}Z to {self.end:%Y-%m-%d %H:%M}Z: {why}"


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far one scope has been read; `read_until` and `settled_until` have no gap before them."""

    scope: str
    account: str
    region: str
    bucket_seconds: int
    tenants: int
    read_until: datetime
    settled_until: datetime
    last_read_at: datetime | None
    overdue_windows: int
    problem: str


@dataclass(frozen=True, slots=True)
class Correction:
    """Usage that changed, or appeared, after its period was sealed: what the next seal of that period would claim."""

    tenant_id: int
    period_start: datetime
    period_end: datetime
    meter: str
    line: str
    adapter_version: str
    quantity: int


WINDOW_STATE = """
LEFT JOIN LATERAL (
    SELECT w.state FROM metering_enrolment e
    JOIN metering_collectionwindow w ON w.scope_id = e.scope_id
        AND w.starts_at = to_timestamp(floor(extract(epoch FROM b.bucket_start) / 3600) * 3600)
    WHERE e.tenant_id = b.tenant_id AND e.starts_at <= b.bucket_start
      AND (e.ends_at IS NULL OR e.ends_at > b.bucket_start)
    ORDER BY array_position(ARRAY['waiting', 'provisional', 'settled'], w.state::text) LIMIT 1
) known ON true
"""

BUCKETS = f""" SELECT b.tenant_id, b.meter, b.line, b.adapter_version, b.bucket_start, b.bucket_seconds,
b.quantity::bigint, b.revision, b.sealed_quantity::bigint, b.fetched_at, b.request_id, b.source, t.public_id,
coalesce(known.state, 'waiting'), coalesce(a.sha256, '') FROM metering_usagebucket b JOIN tenants_tenant t ON t.id =
b.tenant_id LEFT JOIN metering_sourceanswer a ON a.request_id = b.request_id AND a.fetched_at = b.fetched_at
{WINDOW_STATE} WHERE b.bucket_start >= %(start)s AND b.bucket_start < %(end)s AND (%(tenants)s::bigint[] IS NULL OR
b.tenant_id = ANY(%(tenants)s)) AND (%(meter)s::text IS NULL OR b.meter = %(meter)s) AND (%(line)s::text IS NULL OR
b.line = %(line)s) AND (%(adapter_version)s::text IS NULL OR b.adapter_version = %(adapter_version)s) ORDER BY
b.bucket_start, b.tenant_id, b.meter, b.line, b.adapter_version, b.id LIMIT %(limit)s
"""

SEALED = f""" SELECT b.tenant_id, b.meter, b.line, b.adapter_version, b.bucket_start, b.bucket_seconds,
v.quantity::bigint, c.bucket_revision, c.quantity::bigint, v.fetched_at, v.request_id, b.source, t.public_id,
coalesce(known.state, 'waiting'), coalesce(a.sha256, '') FROM metering_sealedbucket c JOIN metering_usagebucket b ON
b.id = c.bucket_id AND b.bucket_start = c.bucket_start CROSS JOIN LATERAL (
    SELECT b.quantity, b.fetched_at, b.request_id WHERE b.revision = c.bucket_revision
    UNION ALL
    SELECT r.quantity, r.fetched_at, r.request_id FROM metering_usagerevision r
    WHERE b.revision <> c.bucket_revision AND r.bucket_id = b.id AND r.bucket_start = b.bucket_start
        AND r.revision = c.bucket_revision
) v JOIN tenants_tenant t ON t.id = b.tenant_id LEFT JOIN metering_sourceanswer a ON a.request_id = v.request_id AND
a.fetched_at = v.fetched_at {WINDOW_STATE} WHERE c.seal_id = %(seal)s AND b.meter = %(meter)s AND
(%(line)s::text IS NULL OR b.line = %(line)s) AND
(%(adapter_version)s::text IS NULL OR b.adapter_version = %(adapter_version)s) AND
(%(tenants)s::bigint[] IS NULL OR b.tenant_id = ANY(%(tenants)s)) ORDER BY b.bucket_start, b.line, b.adapter_version,
b.id
"""

# Everything before a scope's watermark is settled. An hour is known or not for all tenants of a scope alike, so the
# hours are looked at per scope first: with 10,000 tenants that is two hundred times fewer.
READ = [str(WindowState.PROVISIONAL), str(WindowState.SETTLED)]
OF_SCOPES = """
WITH unknown AS MATERIALIZED (
    SELECT s.id AS scope_id, hour, coalesce(w.state, '') AS state, coalesce(w.problem, '') AS problem
    FROM metering_meteringscope s
    CROSS JOIN LATERAL generate_series(greatest(s.settled_until, %(start)s), %(end)s - interval '1 microsecond',
                                       interval '1 hour') AS hour
    LEFT JOIN LATERAL (
        SELECT w.state, w.problem FROM metering_collectionwindow w WHERE w.scope_id = s.id AND w.starts_at = hour
        LIMIT 1) w ON true
    WHERE (w.state IS NULL OR NOT (w.state = ANY(%(good)s)))
      AND (%(tenants)s::bigint[] IS NULL OR s.id IN (
          SELECT scope_id FROM metering_enrolment WHERE tenant_id = ANY(%(tenants)s)))
)
"""
OF_TENANTS = """
unknown u JOIN metering_enrolment e ON e.scope_id = u.scope_id AND e.starts_at <= u.hour
    AND (e.ends_at IS NULL OR e.ends_at > u.hour)
WHERE (%(tenants)s::bigint[] IS NULL OR e.tenant_id = ANY(%(tenants)s))
  AND NOT EXISTS (SELECT 1 FROM metering_usagegap g WHERE g.tenant_id = e.tenant_id AND g.state = 'accepted'
                  AND g.starts_at <= u.hour AND g.ends_at > u.hour)
"""
UNKNOWN_HOURS = f"""
{OF_SCOPES}
SELECT DISTINCT ON (e.tenant_id, u.hour) e.tenant_id, u.hour, u.state, u.problem
FROM {OF_TENANTS}
ORDER BY e.tenant_id, u.hour, array_position(ARRAY['', 'waiting', 'provisional'], u.state)
"""

UNKNOWN_TO_ANY = f"{OF_SCOPES} SELECT DISTINCT u.hour FROM {OF_TENANTS}"

FRESHNESS = """
SELECT s.key, s.account, s.region, s.bucket_seconds,
       (SELECT count(*) FROM metering_enrolment e WHERE e.scope_id = s.id),
       coalesce(open.first_waiting, newest.ends_at, s.starts_at), s.settled_until, newest.fetched_at,
       coalesce(open.overdue, 0), coalesce(open.problem, '')
FROM metering_meteringscope s
LEFT JOIN LATERAL (
    SELECT min(w.starts_at) FILTER (WHERE w.state = 'waiting') AS first_waiting,
           count(*) FILTER (WHERE w.state = 'waiting' AND w.ends_at <= %s) AS overdue, max(w.problem) AS problem
    FROM metering_collectionwindow w WHERE w.scope_id = s.id AND w.state <> 'settled') open ON true
LEFT JOIN LATERAL (
    SELECT max(w.ends_at) AS ends_at, max(w.fetched_at) AS fetched_at FROM metering_collectionwindow w
    WHERE w.scope_id = s.id AND w.starts_at >= s.settled_until - interval '1 hour') newest ON true
ORDER BY s.key
"""

CORRECTIONS = f"""
SELECT p.tenant_id, p.period_start, p.period_end, b.meter, b.line, b.adapter_version,
       sum(b.quantity - b.sealed_quantity)::bigint
FROM (SELECT DISTINCT tenant_id, period_start, period_end FROM metering_seal
      WHERE %(tenants)s::bigint[] IS NULL OR tenant_id = ANY(%(tenants)s)) p
JOIN metering_usagebucket b ON b.tenant_id = p.tenant_id AND b.bucket_start >= p.period_start
    AND b.bucket_start < p.period_end AND b.quantity <> b.sealed_quantity
{JOIN_SOURCE} WHERE {COUNTS}
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 4, 5, 6
"""


def buckets(
    *,
    tenant_ids: Collection[int] | None,
    start: datetime,
    end: datetime,
    meter: str | None = None,
    line: str | None = None,
    adapter_version: str | None = None,
    limit: int = 5000,
) -> list[BucketView]:
    """The buckets that begin in [start, end), oldest first, with where each value came from."""
    asked = {
        "tenants": ids_of(tenant_ids), "start": start, "end": end, "meter": meter, "line": line,
        "adapter_version": adapter_version, "limit": limit,
    }  # fmt: skip
    return [_bucket_view(row) for row in rows_of(BUCKETS, asked)]


def sealed_buckets(
    *,
    seal_id: int,
    tenant_ids: Collection[int] | None,
    meter: str,
    line: str | None = None,
    adapter_version: str | None = None,
) -> list[BucketView]:
    """The buckets behind a seal's quantity, as they were when it was made; their `claimed` adds up to it."""
    asked = {
        "seal": seal_id, "tenants": ids_of(tenant_ids), "meter": meter, "line": line,
        "adapter_version": adapter_version,
    }  # fmt: skip
    return [_bucket_view(row) for row in rows_of(SEALED, asked)]


def gaps(*, tenant_ids: Collection[int] | None, as_of: datetime | None = None) -> list[Gap]:
    """Stretches that should have been read by now and were not, per tenant: unknown usage, not zero usage."""
    until, first = _read_by_now(tenant_ids, as_of)
    found = unknown(tenant_ids=tenant_ids, start=first, end=until, good=READ) if first else []
    found += [Gap(tenant_id, since, until, "", "") for tenant_id, since in _never_enrolled(tenant_ids, until)]
    return found


def unknown_hours(*, tenant_ids: Collection[int] | None) -> set[datetime]:
    """The hours that should have been read by now and were not for at least one tenant, by their starts."""
    until, first = _read_by_now(tenant_ids, None)
    asked = {"tenants": ids_of(tenant_ids), "start": first, "end": until, "good": READ}
    hours = {hour for (hour,) in rows_of(UNKNOWN_TO_ANY, asked)} if first else set()
    since = min((since for _, since in _never_enrolled(tenant_ids, until)), default=until)
    while since < until:
        hours.add(since)
        since += schedule.WINDOW
    return hours


def _read_by_now(tenant_ids: Collection[int] | None, as_of: datetime | None) -> tuple[datetime, datetime | None]:
    """Until when everything should have been read, and since when there is anything to read."""
    until = floor_to_bucket((as_of or clock.now()) - OVERDUE_AFTER, HOUR_SECONDS)
    enrolled = Enrolment.objects.filter(visible(tenant_ids), starts_at__lt=until).order_by("starts_at")
    return until, enrolled.values_list("starts_at", flat=True).first()


def _never_enrolled(tenant_ids: Collection[int] | None, until: datetime) -> list[tuple[int, datetime]]:
    """Tenants since whose sign-up no collector has run, and the hour of it."""
    new = Tenant.objects.visible_to(tenant_ids).filter(enrolments=None, signed_up_at__lt=until).order_by("pk")
    rows = new.values_list("pk", "signed_up_at")
    return [(tenant_id, floor_to_bucket(at, HOUR_SECONDS)) for tenant_id, at in rows]


def unsettled(*, tenant_ids: Collection[int], start: datetime, end: datetime) -> list[Gap]:
    """Stretches of [start, end) that may still change: what sealing that period waits for."""
    return unknown(tenant_ids=tenant_ids, start=start, end=end, good=(WindowState.SETTLED,))


def unknown(*, tenant_ids: Collection[int] | None, start: datetime, end: datetime, good: Collection[str]) -> list[Gap]:
    """The hours within [start, end) whose windows are missing or in none of the `good` states, joined to stretches."""
    asked = {
        "tenants": ids_of(tenant_ids), "start": floor_to_bucket(start, HOUR_SECONDS), "end": end,
        "good": [str(state) for state in good],
    }  # fmt: skip
    return _join(
        Gap(tenant_id, hour, hour + schedule.WINDOW, state, problem)
        for tenant_id, hour, state, problem in rows_of(UNKNOWN_HOURS, asked)
    )


def freshness(*, as_of: datetime | None = None) -> list[Freshness]:
    """How far usage has been read and settled, per scope."""
    return [Freshness(*row) for row in rows_of(FRESHNESS, [(as_of or clock.now()) - OVERDUE_AFTER])]


def corrections(*, tenant_ids: Collection[int] | None) -> list[Correction]:
    """Usage that differs from what its period's seals claim, including what was never claimed."""
    return [Correction(*row) for row in rows_of(CORRECTIONS, {"tenants": ids_of(tenant_ids)})]


def seals(*, tenant_ids: Collection[int] | None) -> QuerySet[Seal]:
    """Seals, newest first."""
    return Seal.objects.filter(visible(tenant_ids)).select_related("tenant").order_by("-pk")


def parked_points(*, tenant_ids: Collection[int] | None) -> QuerySet[ParkedPoint]:
    """Values that cannot be counts and hold up sealing."""
    return ParkedPoint.objects.filter(visible(tenant_ids)).select_related("tenant").order_by("-bucket_start")


def unattributed() -> QuerySet[UnattributedUsage]:
    """Usage that is nobody's, newest first; for operators, who may see all tenants."""
    return UnattributedUsage.objects.order_by("-bucket_start", "pk")


def _join(found: Iterable[Gap]) -> list[Gap]:
    joined: list[Gap] = []
    for gap in found:
        last = joined[-1] if joined else None
        if last and (last.tenant_id, last.end, last.state, last.problem) == (
            gap.tenant_id, gap.start, gap.state, gap.problem,
        ):  # fmt: skip
            joined[-1] = replace(last, end=gap.end)
        else:
            joined.append(gap)
    return joined


def _bucket_view(row: tuple[Any, ...]) -> BucketView:
    *key, quantity, revision, claimed, fetched_at, request_id, source, public_id, window_state, answer_sha256 = row
    tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds = key
    return BucketView(
        tenant_id=tenant_id,
        meter=meter,
        line=line,
        adapter_version=adapter_version,
        bucket_start=bucket_start,
        bucket_seconds=bucket_seconds,
        quantity=quantity,
        revision=revision,
        claimed=claimed,
        fetched_at=fetched_at,
        request_id=request_id,
        query=describe_query(source, meter, public_id, adapter_version, line, bucket_seconds),
        window_state=window_state,
        answer_sha256=answer_sha256,
    )
