"""Sealing: what a period's usage was, closed for invoices.

A seal claims every bucket's change since the last seal, once: the first seal of a period claims it whole, a later one
only what came late, which becomes a credit or debit note. A sealed quantity never changes.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.ids import new_id
from core.locks import advisory_lock, shared_lock
from events.record import Happening, record_events
from metering import queries
from metering.counting import COUNTS, JOIN_SOURCE
from metering.models import Enrolment, ParkedPoint, Seal, UsageGap
from metering.services.events import fold_events
from metering.states import GapState

GAPS_TOLD = 100
# A tenant-month is some thousand buckets; a statement over more tenants would come near the statement timeout.
TENANTS_PER_STATEMENT = 20

# One statement seals a set of tenants. The buckets are locked in key order first, so that a collector that writes them
# at the same moment comes wholly before (claimed here) or wholly after (a correction).
SEAL = f"""
WITH due AS (
    SELECT b.* FROM metering_usagebucket b {JOIN_SOURCE}
    WHERE b.tenant_id = ANY(%(tenants)s) AND b.bucket_start >= %(start)s AND b.bucket_start < %(end)s
      AND (b.sealed_revision = 0 OR b.quantity <> b.sealed_quantity) AND {COUNTS}
    ORDER BY b.tenant_id, b.bucket_start, b.meter, b.line, b.adapter_version, b.source
    FOR NO KEY UPDATE OF b
), summed AS (
    SELECT tenant_id, count(*) AS bucket_count, encode(sha256(convert_to(string_agg(concat_ws(',', meter, line,
               adapter_version, extract(epoch FROM bucket_start)::bigint, bucket_seconds, source, revision,
               quantity - sealed_quantity), E'\\n'
               ORDER BY bucket_start, meter, line, adapter_version, source), 'UTF8')), 'hex') AS sha256
    FROM due GROUP BY tenant_id
), wanted AS (
    SELECT * FROM unnest(%(tenants)s::bigint[], %(public_ids)s::text[], %(revisions)s::int[])
        AS w(tenant_id, public_id, revision)
), sealed AS (
    INSERT INTO metering_seal (public_id, created_at, tenant_id, period_start, period_end, revision, bucket_count,
    sha256, sealed_at) SELECT w.public_id, %(now)s, w.tenant_id, %(start)s, %(end)s, w.revision,
    coalesce(s.bucket_count, 0), coalesce(s.sha256, encode(sha256(''::bytea), 'hex')), %(now)s FROM wanted w LEFT JOIN
    summed s ON s.tenant_id = w.tenant_id WHERE w.revision = 1 OR s.bucket_count > 0 RETURNING id, tenant_id
), claims AS (
    INSERT INTO metering_sealedbucket (seal_id, bucket_id, bucket_start, bucket_revision, quantity)
    SELECT sealed.id, due.id, due.bucket_start, due.revision, due.quantity - due.sealed_quantity
    FROM due JOIN sealed ON sealed.tenant_id = due.tenant_id
), days AS (
    INSERT INTO metering_sealedday (seal_id, day, meter, line, adapter_version, quantity)
    SELECT sealed.id, (due.bucket_start AT TIME ZONE t.billing_timezone)::date, due.meter, due.line,
           due.adapter_version, sum(due.quantity - due.sealed_quantity)
    FROM due JOIN sealed ON sealed.tenant_id = due.tenant_id JOIN tenants_tenant t ON t.id = due.tenant_id
    GROUP BY 1, 2, 3, 4, 5
), marked AS (
    UPDATE metering_usagebucket b SET sealed_quantity = due.quantity, sealed_revision = due.revision
    FROM due JOIN sealed ON sealed.tenant_id = due.tenant_id WHERE b.id = due.id AND b.bucket_start = due.bucket_start
)
SELECT id FROM sealed
"""


class UsageIncomplete(Conflict):
    """Part of the period is unknown or may still change, so no invoice can be built on it."""

    code = "usage_incomplete"
    title = "Usage is not complete yet"
    retryable = True


class SealOverlaps(Conflict):
    """Another period that shares days with this one was sealed for the tenant."""

    code = "seal_overlaps"
    title = "An overlapping period is sealed"


class PeriodOffGrid(Invalid):
    """The period does not begin and end on the edges of the tenant's usage buckets."""

    code = "period_off_grid"


def seal_usage(
    *, tenant_ids: Collection[int], period_start: datetime, period_end: datetime, actor: Actor
) -> list[Seal]:
    """Seal the period's usage of a set of tenants; return each tenant's newest seal, in order of the tenant.

    Doing it again returns the same seals, unless late usage came in: that is claimed by a further revision. Raises
    UsageIncomplete with the exact hours that are missing, PeriodOffGrid, or SealOverlaps; nothing is sealed then.
    """
    tenants = sorted(set(tenant_ids))
    fold_events(tenant_ids=tenants)
    with transaction.atomic(durable=True):
        # Which source counts must not change between two tenants of one sealing.
        shared_lock("metering.sources")
        for tenant_id in tenants:
            advisory_lock(f"metering.seal.{tenant_id}")
        _refuse_off_grid(tenants, period_start, period_end)
        _refuse_overlap(tenants, period_start, period_end)
        _refuse_incomplete(tenants, period_start, period_end)
        made = _seal(tenants, period_start, period_end)
        newest = _newest(tenants, period_start, period_end)
        record_events("usage.sealed", [_sealed(seal) for seal in newest if seal.pk in made], actor=actor)
    return newest


def _sealed(seal: Seal) -> Happening:
    facts = {"revision": seal.revision, "buckets": seal.bucket_count, "sha256": seal.sha256}
    return Happening(tenant=seal.tenant, subject=seal, after=facts)


def _refuse_off_grid(tenants: list[int], start: datetime, end: datetime) -> None:
    grids = Enrolment.objects.filter(tenant_id__in=tenants, starts_at__lt=end).exclude(ends_at__lte=start)
    for seconds in grids.order_by().values_list("scope__bucket_seconds", flat=True).distinct():
        if start.timestamp() % seconds or end.timestamp() % seconds:
            raise PeriodOffGrid(
                f"The period {start.isoformat()} to {end.isoformat()} cuts through a {seconds}-second usage bucket.",
                hint="Use the billing month of the tenant's zone, or edges on its buckets.",
            )


def _refuse_overlap(tenants: list[int], start: datetime, end: datetime) -> None:
    others = Seal.objects.filter(tenant_id__in=tenants, period_start__lt=end, period_end__gt=start)
    other = others.exclude(period_start=start, period_end=end).select_related("tenant").first()
    if other is not None:
        raise SealOverlaps(
            f"{other.tenant.name}: {other.period_start.isoformat()} to {other.period_end.isoformat()} "
            f"is sealed already ({other.public_id}).",
            hint="Seal exactly that period again to claim what came late, or a period beside it.",
        )


def _refuse_incomplete(tenants: list[int], start: datetime, end: datetime) -> None:
    problems: list[tuple[int, str]] = []
    enrolled = set(Enrolment.objects.filter(tenant_id__in=tenants).values_list("tenant_id", flat=True))
    problems += [(tenant_id, "not metered yet") for tenant_id in tenants if tenant_id not in enrolled]
    if end > clock.now():
        problems += [(tenant_id, f"the period ends only at {end.isoformat()}") for tenant_id in tenants]
    problems += [(gap.tenant_id, str(gap)) for gap in queries.unsettled(tenant_ids=tenants, start=start, end=end)]
    accepted = UsageGap.objects.filter(
        tenant=OuterRef("tenant"), state=GapState.ACCEPTED,
        starts_at__lte=OuterRef("bucket_start"), ends_at__gt=OuterRef("bucket_start"),
    )  # fmt: skip
    parked = ParkedPoint.objects.filter(
        ~Exists(accepted), tenant_id__in=tenants, bucket_start__gte=start, bucket_start__lt=end
    )
    problems += [
        (point.tenant_id, f"{point.meter} at {point.bucket_start.isoformat()} is {point.value}: {point.reason}")
        for point in parked.order_by("bucket_start")[:GAPS_TOLD]
    ]
    if not problems:
        return
    raise UsageIncomplete(
        f"{len(problems)} stretch(es) of usage are not final: {'; '.join(text for _, text in problems[:3])}.",
        hint="Usage settles 72 hours after its hour. `manage.py meter gaps` lists what is missing, "
        "`manage.py meter collect` reads what is due. A gap that nobody can fill can be accepted on purpose.",
        errors=[
            FieldError(f"/tenants/{tenant_id}", "usage_incomplete", text) for tenant_id, text in problems[:GAPS_TOLD]
        ],
    )


def _seal(tenants: list[int], start: datetime, end: datetime) -> set[int]:
    revisions = dict(
        Seal.objects.filter(tenant_id__in=tenants, period_start=start, period_end=end)
        .order_by("revision")
        .values_list("tenant_id", "revision")
    )
    made: set[int] = set()
    with connection.cursor() as cursor:
        for first in range(0, len(tenants), TENANTS_PER_STATEMENT):
            some = tenants[first : first + TENANTS_PER_STATEMENT]
            asked: dict[str, Any] = {
                "tenants": some,
                "public_ids": [new_id(Seal.PREFIX) for _ in some],
                "revisions": [revisions.get(tenant_id, 0) + 1 for tenant_id in some],
                "start": start,
                "end": end,
                "now": clock.now(),
            }
            cursor.execute(SEAL, asked)
            made |= {row[0] for row in cursor.fetchall()}
    return made


def _newest(tenants: list[int], start: datetime, end: datetime) -> list[Seal]:
    seals = Seal.objects.filter(tenant_id__in=tenants, period_start=start, period_end=end).select_related("tenant")
    return list(seals.order_by("tenant_id", "-revision").distinct("tenant_id"))
