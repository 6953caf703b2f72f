"""Usage events: taken once by their id, for ever, and folded into buckets beside those of CloudWatch.

    request → events and what they add per quarter hour (one transaction) → folded into buckets (another, soon after)

A request touches no counter that another request touches too, so many may come at once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.ids import new_id
from metering import emitters
from metering.columns import array
from metering.event_rules import MOST_EVENTS, Refusal, Refused, SeriesKey, read_events
from metering.models import EventDelta, UsageBatch, UsageSeries
from metering.partitions import make_months
from tenants.models import Tenant

DELTAS_AT_ONCE = 20_000
ERRORS_TOLD = 100
LONGEST_REF = 64

# In the order of the ids, so that two batches with the same ones in other orders wait instead of deadlocking.
TAKE = """
WITH fresh AS (
    INSERT INTO metering_usageevent (tenant_id, event_id, series_id, batch_id, occurred_at, quantity)
    SELECT tenant_id, event_id, series_id, %s, occurred_at, quantity
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::timestamptz[], %s::bigint[])
        AS r(tenant_id, event_id, series_id, occurred_at, quantity)
    ORDER BY tenant_id, event_id COLLATE "C"
    ON CONFLICT (tenant_id, event_id) DO NOTHING
    RETURNING series_id, occurred_at, quantity
), added AS (
    INSERT INTO metering_eventdelta (series_id, quarter, quantity)
    SELECT series_id, date_bin('15 minutes', occurred_at, '2000-01-01Z'), sum(quantity) FROM fresh GROUP BY 1, 2
)
SELECT count(*) FROM fresh
"""

# What stands under the ids of a batch: whether this batch put it there, and whether it says the same.
LOOK = """
SELECT e.tenant_id, e.event_id, e.batch_id, e.series_id, extract(epoch FROM e.occurred_at)::text, e.quantity,
       extract(epoch FROM asked.occurred_at)::text
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) WITH ORDINALITY AS asked(tenant_id, event_id, occurred_at, n)
JOIN metering_usageevent e ON e.tenant_id = asked.tenant_id AND e.event_id = asked.event_id ORDER BY asked.n
"""

# A tenant whose grid is not known yet gets quarters, which fit every zone.
FOLD = """
WITH taken AS (
    DELETE FROM metering_eventdelta WHERE id = ANY(%(deltas)s) RETURNING series_id, quarter, quantity
), placed AS (
    SELECT s.tenant_id, s.meter, s.line, s.adapter_version, t.quarter, t.quantity, coalesce((
               SELECT c.bucket_seconds FROM metering_enrolment e JOIN metering_meteringscope c ON c.id = e.scope_id
               WHERE e.tenant_id = s.tenant_id AND e.starts_at <= t.quarter
                 AND (e.ends_at IS NULL OR e.ends_at > t.quarter) LIMIT 1), 900) AS seconds
    FROM taken t JOIN metering_usageseries s ON s.id = t.series_id
), summed AS (
    SELECT tenant_id, to_timestamp(floor(extract(epoch FROM quarter) / seconds) * seconds) AS bucket_start, meter, line,
           adapter_version, max(seconds) AS seconds, sum(quantity) AS quantity
    FROM placed GROUP BY 1, 2, 3, 4, 5
), changed AS (
    INSERT INTO metering_usagebucket AS b (tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds,
            quantity, source, fetched_at, request_id, revision, sealed_quantity, sealed_revision)
    SELECT tenant_id, meter, line, adapter_version, bucket_start, seconds, quantity, 'events', %(now)s, '', 1, 0, 0
    FROM summed ORDER BY tenant_id, bucket_start, meter, line, adapter_version
    ON CONFLICT (tenant_id, bucket_start, meter, line, adapter_version, source) DO UPDATE
        SET quantity = b.quantity + EXCLUDED.quantity, fetched_at = EXCLUDED.fetched_at, revision = b.revision + 1
    RETURNING old.id, old.bucket_start, old.revision, old.quantity, old.fetched_at
)
INSERT INTO metering_usagerevision (bucket_id, bucket_start, revision, quantity, fetched_at, request_id)
SELECT id, bucket_start, revision, quantity, fetched_at, '' FROM changed WHERE id IS NOT NULL
"""


class EventsRefused(Invalid):
    """At least one event of a batch that is all or nothing cannot be taken; none was."""

    code = "usage_events_refused"
    title = "Usage events refused"


class TooManyEvents(Invalid):
    """A batch has 1 to 1,000 events."""

    code = "usage_events_count"


class EventIdReused(Conflict):
    """An id was used before for another event. Ids are for ever; none of the batch was taken."""

    code = "event_id_reused"
    title = "Event id reused"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch; `duplicates` are indexes of events that were known already, word for word."""

    batch: str
    accepted: int
    duplicates: list[int]
    refusals: list[Refusal]


def record_usage_events(
    *,
    events: Sequence[Any],
    tenant_ids: Collection[int] | None,
    default_tenant_id: int | None,
    all_or_nothing: bool,
    actor: Actor,
) -> Taken:
    """Take a batch of events; those whose id is known already with the same content are counted as duplicates.

    `tenant_ids` are the tenants the caller may report for, `default_tenant_id` the one of events that name none. With
    `all_or_nothing` raises EventsRefused or EventIdReused, and takes none, when one cannot be taken; without, the
    refusals are in the answer. Raises TooManyEvents.
    """
    if not 0 < len(events) <= MOST_EVENTS:
        raise TooManyEvents(f"A batch has 1 to {MOST_EVENTS} events; this one has {len(events)}.")
    with transaction.atomic(durable=True):
        resolver = _Resolver(events, tenant_ids, default_tenant_id)
        read = read_events(events, now=clock.now(), resolve=resolver.series_of)
        if read.refusals and all_or_nothing:
            raise EventsRefused(
                f"{len(read.refusals)} of {len(events)} events cannot be taken, so none was.",
                hint="Mend them, or send the batch with mode partial to have the others taken.",
                errors=_told(read.refusals),
            )
        if not read.ids:
            return Taken("", 0, [], read.refusals)
        tenants = [resolver.tenant_of[series] for series in read.series]
        batch = UsageBatch.objects.create(
            public_id=new_id(UsageBatch.PREFIX), reported_by=actor.name, reported_by_ref=actor.ref,
            request_id=actor.request_id[:100], accepted=len(read.ids),
        )  # fmt: skip
        columns = [array(column) for column in (tenants, read.ids, read.series, read.instants, read.quantities)]
        with connection.cursor() as cursor:
            cursor.execute(TAKE, [batch.pk, *columns])
            accepted: int = cursor.fetchone()[0]
        if accepted == len(read.ids):
            return Taken(batch.public_id, accepted, [], read.refusals)
        duplicates, reused = _known_before(batch.pk, tenants, read)
        if reused and all_or_nothing:
            raise EventIdReused(
                f"{len(reused)} of {len(events)} ids were used before for other events, so none was taken.",
                hint="An id stands for one event for ever. Give a new event a new id.",
                errors=_told(reused),
            )
        UsageBatch.objects.filter(pk=batch.pk).update(accepted=accepted)
    return Taken(batch.public_id, accepted, duplicates, sorted([*read.refusals, *reused], key=lambda each: each.index))


def fold_events(*, tenant_ids: Collection[int] | None = None) -> int:
    """Add what events brought to the buckets; return how many pieces were folded. Running it twice at once is safe."""
    folded = 0
    while True:
        months = EventDelta.objects.datetimes("quarter", "month")
        make_months(months)
        with transaction.atomic(durable=True):
            count = fold_within(tenant_ids=tenant_ids)
        folded += count
        if count < DELTAS_AT_ONCE:
            return folded


def fold_within(*, tenant_ids: Collection[int] | None) -> int:
    """Like `fold_events` within the caller's transaction, up to some number at once; the months must exist."""
    due = (
        EventDelta.objects.all() if tenant_ids is None else EventDelta.objects.filter(series__tenant_id__in=tenant_ids)
    )
    due = due.select_for_update(no_key=True, skip_locked=tenant_ids is None, of=("self",)).order_by("pk")
    deltas = list(due.values_list("pk", flat=True)[:DELTAS_AT_ONCE])
    if deltas:
        with connection.cursor() as cursor:
            cursor.execute(FOLD, {"deltas": deltas, "now": clock.now()})
    return len(deltas)


class _Resolver:
    """Which series an event counts towards; a new one only for what a config of the tenant ever routed."""

    def __init__(
        self, events: Sequence[Any], tenant_ids: Collection[int] | None, default_tenant_id: int | None
    ) -> None:
        named = [event.get("tenant") for event in events if isinstance(event, dict)]
        refs = {ref for ref in named if isinstance(ref, str) and len(ref) <= LONGEST_REF and ref.isprintable()}
        wanted = Q(public_id__in=refs) | Q(external_id__in=[ref[4:] for ref in refs if ref.startswith("ext:")])
        self._tenants: dict[str | None, Tenant] = {}
        for tenant in Tenant.objects.visible_to(tenant_ids).filter(wanted | Q(pk=default_tenant_id)):
            self._tenants[tenant.public_id] = tenant
            self._tenants[f"ext:{tenant.external_id}"] = tenant
            if tenant.pk == default_tenant_id:
                self._tenants[None] = tenant
        rows = UsageSeries.objects.filter(tenant__in=[tenant.pk for tenant in self._tenants.values()])
        self._series = {(row.tenant_id, row.meter, row.line, row.adapter_version): row.pk for row in rows}
        self.tenant_of = {series: key[0] for key, series in self._series.items()}

    def series_of(self, key: SeriesKey) -> int | Refused:
        """The number of the series, or why there is none."""
        tenant = self._tenants.get(key.tenant)
        if tenant is None and key.tenant is None:
            return Refused("tenant", "tenant_missing", "Say whose usage it is: the key is not bound to one tenant.")
        if tenant is None:
            return Refused("tenant", "tenant_unknown", "There is no such tenant.")
        if tenant.offboarded_at is not None:
            return Refused("tenant", "tenant_offboarded", f"{tenant.name} has left; nothing can be reported for it.")
        known = self._series.get((tenant.pk, key.meter, key.line, key.adapter_version))
        return known if known is not None else self._new(tenant, key)

    def _new(self, tenant: Tenant, key: SeriesKey) -> int | Refused:
        routed = {(each.emitter.adapter_version, each.emitter.line) for each in emitters.emissions([tenant.pk])}
        if (key.adapter_version, key.line) not in routed:
            return Refused("line", "route_unknown", f"No config of {tenant.name} routed that version on that line.")
        row, _ = UsageSeries.objects.get_or_create(
            tenant=tenant, meter=key.meter, line=key.line, adapter_version=key.adapter_version
        )
        self.tenant_of[row.pk] = tenant.pk
        return row.pk


def _known_before(batch_id: int, tenants: list[int], read: Any) -> tuple[list[int], list[Refusal]]:
    with connection.cursor() as cursor:
        cursor.execute(LOOK, [tenants, read.ids, read.instants])
        standing = cursor.fetchall()
    duplicates: list[int] = []
    reused: list[Refusal] = []
    first_here: set[tuple[int, str]] = set()
    for at, (tenant, id_, owner, series, instant, quantity, asked_instant) in enumerate(standing):
        if owner == batch_id and (tenant, id_) not in first_here:
            first_here.add((tenant, id_))
        elif (series, instant, quantity) == (read.series[at], asked_instant, read.quantities[at]):
            duplicates.append(read.indexes[at])
        else:
            detail = f"The id {id_} was used before for another event."
            reused.append(Refusal(read.indexes[at], "id", "event_id_reused", detail))
    return duplicates, reused


def _told(refusals: Sequence[Refusal]) -> list[FieldError]:
    return [
        FieldError(f"/events/{each.index}" + (f"/{each.field}" if each.field else ""), each.code, each.detail)
        for each in refusals[:ERRORS_TOLD]
    ]
