"""Writes what a pass has taught: one UPDATE for all rows whose outcomes name the same columns, whatever their values.

A pass over a hundred rows so costs a few statements, not hundreds. Everything here happens inside the transaction of
the caller, who holds the lock on wishes and records.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import connection
from django.db.models import F, prefetch_related_objects

from core.actors import SYSTEM
from core.clock import now, real_now
from events.record import Happening, record_event, record_events
from models_registry.models import AdapterVersion
from provisioning.models import ManagedResource
from provisioning.reconciler import backoff
from provisioning.reconciler.calls import keep_calls
from provisioning.reconciler.ledger import keep_ledger
from provisioning.reconciler.observe import CHANGED_IN_PLACE, Listing
from provisioning.reconciler.outcome import Outcome
from provisioning.reconciler.plan import IN_SERVICE
from provisioning.specs import ENDPOINT, ENDPOINT_CONFIG, MODEL_PACKAGE
from provisioning.states import PHASE_MOVES, Phase

# A wish that changed during the pass is looked at again at once. The fence is the claim's: who lost the lease meanwhile
# writes nothing.
WRITE = """
    UPDATE provisioning_managedresource AS row
    SET {columns}, attempts = 0, lease_owner = NULL, lease_until = NULL,
        look_again_at = CASE WHEN row.generation > told.generation THEN %(now)s ELSE told.look_again_at END
    FROM json_to_recordset(%(told)s::json) AS told (
        id bigint, fence bigint, generation bigint, look_again_at timestamptz, {types}
    )
    WHERE row.id = told.id AND row.fence = told.fence
    RETURNING row.id
"""
# Who is settled and whom a list shows untouched needs no claim. One that somebody holds is left to them.
PUT_OFF = """
    WITH seen AS (
        SELECT * FROM json_to_recordset(%(seen)s::json) AS seen (name text, arn text, modified_at timestamptz)
    ), settled AS (
        SELECT row.id FROM provisioning_managedresource AS row JOIN seen USING (name)
        WHERE row.account = %(account)s AND row.region = %(region)s AND row.kind = %(kind)s
            AND row.is_wanted AND row.phase = %(ready)s AND row.aws_status = %(in_service)s AND row.arn = seen.arn
            AND row.observed_generation = row.generation AND row.stuck_reason = '' AND row.failures = 0
            AND row.lease_until IS NULL AND row.attempts = 0
            AND (NOT %(is_changed_in_place)s OR row.aws_modified_at = seen.modified_at)
        FOR NO KEY UPDATE OF row SKIP LOCKED
    )
    UPDATE provisioning_managedresource AS row
    SET look_again_at = %(now)s + (%(least)s + random() * %(more)s) * interval '1 second'
    FROM settled WHERE row.id = settled.id
"""


@dataclass(frozen=True, slots=True)
class _Before:
    """What a row was before it was written."""

    phase: str
    stuck_reason: str
    approval: str | None
    """What AWS showed of a package that was settled: another approval now is somebody else's decision."""


def write_outcomes(rows: Iterable[ManagedResource], outcomes: Mapping[int, Outcome]) -> int:
    """Write, keep the ledger, wake who waited, tell what is worth telling; how many rows were still ours.

    Raises ValueError for a phase that a row cannot come to.
    """
    at, real_at = now(), real_now()
    alike: dict[tuple[str, ...], list[tuple[ManagedResource, dict[str, Any]]]] = defaultdict(list)
    for row in rows:
        changes = _columns(row, outcomes[row.pk], at)
        alike[tuple(sorted(changes))].append((row, changes))
    written: list[tuple[ManagedResource, _Before]] = []
    for columns, members in alike.items():
        ours = _write(columns, members, outcomes, real_at)
        for row, changes in members:
            if row.pk in ours:
                approval_was = row.shown.get("approval", "") if is_changed_outside(row) else None
                before = _Before(row.phase, row.stuck_reason, approval_was)
                for column, value in changes.items():
                    setattr(row, column, value)
                written.append((row, before))
    written.sort(key=lambda each: each[0].pk)
    moved = [(row, before) for row, before in written if row.phase != before.phase]
    keep_ledger([(row, before.phase) for row, before in moved])
    _wake_neighbours([row for row, _ in moved])
    keep_calls([row for row, _ in written], outcomes)
    _prune_needs([row for row, _ in written])
    _tell(written)
    return len(written)


def put_off_settled(account: str, region: str, kind: str, listing: Listing, *, sweep_seconds: float) -> int:
    """Look again later at every settled resource that a list shows as it was, due or not; how many those were.

    The list was read for a few of them that were due; so a look at ten thousand costs a hundred pages, whoever looks.
    Each gets a time of its own: then few are due at first, and one worker's list does for all again. Packages are left
    out, because what is wished of them is theirs alone.
    """
    if kind == MODEL_PACKAGE:
        return 0
    seen = [
        {"name": each.name, "arn": each.arn, "modified_at": each.modified_at}
        for each in listing.values()
        if each.status == IN_SERVICE
    ]
    least, most = (backoff.resync_seconds(sweep_seconds, chance) for chance in (0, 1))
    facts: dict[str, str | float | datetime] = {
        "account": account,
        "region": region,
        "kind": kind,
        "seen": msgspec.json.encode(seen).decode(),
        "ready": Phase.READY,
        "in_service": IN_SERVICE,
        "is_changed_in_place": kind in CHANGED_IN_PLACE,
        "now": real_now(),
        "least": least,
        "more": most - least,
    }
    with connection.cursor() as cursor:
        cursor.execute(PUT_OFF, facts)
        return int(cursor.rowcount)


def is_changed_outside(row: ManagedResource) -> bool:
    """Whether a package that AWS shows otherwise than we wish was as we wish before: then it was not us."""
    return row.kind == MODEL_PACKAGE and row.is_settled


def _columns(row: ManagedResource, outcome: Outcome, at: datetime) -> dict[str, Any]:
    if outcome.phase != row.phase and outcome.phase not in PHASE_MOVES[row.phase]:
        raise ValueError(f"{row.public_id}: {row.phase} cannot become {outcome.phase}")
    changes: dict[str, Any] = {**outcome.changes, "phase": outcome.phase}
    if outcome.phase != row.phase:
        changes["phase_since"] = at
        if outcome.phase == Phase.READY and row.ready_at is None:
            changes["ready_at"] = at
        if outcome.phase == Phase.GONE:
            changes["gone_at"] = at
    return changes


def _write(
    columns: Iterable[str],
    members: Iterable[tuple[ManagedResource, Mapping[str, Any]]],
    outcomes: Mapping[int, Outcome],
    at: datetime,
) -> set[int]:
    """Write the same columns of several rows; the primary keys of those whose lease was still ours."""
    told = [
        {
            **changes,
            "id": row.pk,
            "fence": row.fence,
            "generation": row.generation,
            "look_again_at": at + timedelta(seconds=outcomes[row.pk].after_seconds),
        }
        for row, changes in members
    ]
    fields = ManagedResource._meta
    statement = WRITE.format(
        columns=", ".join(f"{column} = told.{column}" for column in columns),
        types=", ".join(f"{column} {fields.get_field(column).db_type(connection)}" for column in columns),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {"now": at, "told": msgspec.json.encode(told).decode()})
        return {pk for (pk,) in cursor.fetchall()}


def _wake_neighbours(moved: Iterable[ManagedResource]) -> None:
    """Who waits for one of these to be ready, or to be gone, is looked at now."""
    ready = [row.pk for row in moved if row.phase == Phase.READY]
    if ready:
        waiting = ManagedResource.objects.filter(needs__in=ready, phase__in=(Phase.WISHED, Phase.READY))
        waiting.update(look_again_at=real_now())
    gone = [row.pk for row in moved if row.phase == Phase.GONE]
    if gone:
        unwanted = ManagedResource.objects.living().filter(needed_by__in=gone, is_wanted=False)
        unwanted.update(look_again_at=real_now())


def _prune_needs(written: Iterable[ManagedResource]) -> None:
    """An endpoint that is seen on its new config no longer needs the old one, which may then be deleted.

    One whose wish changed during the pass needs a config that the pass knows nothing of: that is pruned when it is seen
    settled again.
    """
    configs = {row.pk: row.settings["config_name"] for row in written if row.kind == ENDPOINT and row.is_settled}
    if not configs:
        return
    needs = ManagedResource.needs.through.objects
    as_seen = {"from_managedresource__generation": F("from_managedresource__observed_generation")}
    of_configs = needs.filter(from_managedresource__in=configs, to_managedresource__kind=ENDPOINT_CONFIG, **as_seen)
    found = of_configs.values_list("pk", "from_managedresource_id", "to_managedresource__name")
    old = [pk for pk, endpoint, name in found if name != configs[endpoint]]
    if old:
        needs.filter(pk__in=old).delete()


def _tell(written: Iterable[tuple[ManagedResource, _Before]]) -> None:
    news: dict[str, list[ManagedResource]] = defaultdict(list)
    for row, before in written:
        if row.phase == Phase.READY and before.phase != Phase.READY and not row.stuck_reason:
            news["resource.ready"].append(row)
        if row.phase == Phase.GONE and before.phase != Phase.GONE:
            news["resource.gone"].append(row)
        if row.stuck_reason and row.stuck_reason != before.stuck_reason:
            news["resource.stuck"].append(row)
    for name, rows in news.items():
        tell(name, rows)
    for row, before in written:
        if before.approval is not None and row.shown["approval"] not in (before.approval, row.settings["approval"]):
            _tell_of_approval(row)


def tell(name: str, rows: Iterable[ManagedResource]) -> None:
    """Record one event of that name for each row."""
    subjects = list(rows)
    if not subjects:
        return
    prefetch_related_objects(subjects, "tenant")
    record_events(name, [_happening(row) for row in subjects], actor=SYSTEM)


def _happening(row: ManagedResource) -> Happening:
    facts = {"kind": row.kind, "name": row.name, "phase": row.phase, "stuck_reason": row.stuck_reason}
    return Happening(tenant=row.tenant, subject=row, reason=row.detail, after=facts)


def _tell_of_approval(row: ManagedResource) -> None:
    """Somebody decided in SageMaker's registry about a version that our wish says otherwise of."""
    version = AdapterVersion.objects.select_related("adapter").get(public_id=row.identity["adapter_version"])
    data = {
        "id": version.public_id,
        "adapter": version.adapter.public_id,
        "number": version.number,
        "approval_in_sagemaker": row.shown["approval"],
        "approval": version.approval,
        "by": row.shown["by"],
        "is_taken_over": row.settings["follows_outside"],
    }
    record_event(
        "adapter.approval_changed_outside",
        tenant=row.tenant,
        subject=version,
        actor=SYSTEM,
        reason=row.shown["note"],
        before={"approval": row.settings["approval"]},
        after={"approval": row.shown["approval"], "by": row.shown["by"], "package": row.arn},
        data=data,
    )
