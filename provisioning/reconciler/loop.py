"""One pass over a batch: claim, observe, plan, act, record.

Claim and record are transactions, everything that talks to AWS stands between them. A claim raises the row's fence
and every later write names it: a worker whose lease was taken over writes nothing.
"""

import logging
import os
import random
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Q, Value, When

from aws.errors import InvalidRequest
from core.actors import SYSTEM
from core.clock import now, real_now
from core.crashpoints import boundary
from core.locks import advisory_lock
from events.record import record_event
from models_registry.models import AdapterVersion
from provisioning.doors import Doors
from provisioning.models import ManagedResource
from provisioning.queries import held_operations
from provisioning.reconciler.access import note_pass
from provisioning.reconciler.act import Result, perform
from provisioning.reconciler.deadly import most_attempts_left, park, worth_claiming
from provisioning.reconciler.ledger import keep_ledger
from provisioning.reconciler.observe import Observation, observe
from provisioning.reconciler.outcome import Outcome, Pace, conclude
from provisioning.reconciler.plan import Action, Decision, Seen, Wanted, decide
from provisioning.reconciler.tokens import waits
from provisioning.specs import ENDPOINT, ENDPOINT_CONFIG, MODEL_PACKAGE, UNDECIDED, aws_settings, seen_settings
from provisioning.states import PHASE_MOVES, SERVING, Phase

log = logging.getLogger(__name__)

THREADS = 8
# Wishes and records touch rows and their neighbours; one at a time, so that no two wait for each other.
WISHES_LOCK = "provisioning: wishes and records"
CHANGES = (Action.CREATE, Action.UPDATE, Action.DELETE)


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did: rows claimed, calls made that change AWS, rows recorded (the rest had lost their lease)."""

    claimed: int
    changes: int
    recorded: int


def run_pass(*, limit: int) -> PassReport:
    """Reconcile up to `limit` due rows once."""
    rows = claim(limit)
    if not rows:
        return PassReport(0, 0, 0)
    doors = Doors(row.account for row in rows)
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        observations = observe(rows, install=settings.INSTALL_NAME, threads=threads, doors=doors)
        decisions = {row.pk: _decide(row, observations[row.pk]) for row in rows}
        results = _act(rows, decisions, threads, doors)
    pace = Pace(sweep_seconds=settings.ENV.sweep_seconds, chance=random.random())
    outcomes = {
        row.pk: conclude(row, observations[row.pk], decisions[row.pk], results.get(row.pk), pace) for row in rows
    }
    recorded = record(rows, outcomes)
    note_pass(rows, observations, results)
    return PassReport(len(rows), sum(not result.wait_seconds for result in results.values()), recorded)


def claim(limit: int) -> list[ManagedResource]:
    """Take due rows whose lease is free, in the order in which they became due; each claim raises the fence.

    The claim also counts an attempt, before any work: see `deadly` for rows whose passes do not end.
    """
    with boundary("commit claim"), transaction.atomic(durable=True):
        at = real_now()
        due = (
            ManagedResource.objects.living()
            .filter(Q(lease_until=None) | Q(lease_until__lte=at), most_attempts_left(), look_again_at__lte=at)
            # Nothing is begun for a tenant with an operation on hold; what AWS works on is followed.
            .exclude(phase__in=(Phase.WISHED, Phase.READY), tenant_id__in=held_operations().values("tenant_id"))
            .order_by("look_again_at", "pk")
            .select_for_update(skip_locked=True, no_key=True)
            .values_list("pk", "attempts")[:limit]
        )
        claimed, deadly = worth_claiming(list(due))
        for row in park(deadly):
            _event("resource.stuck", row)
        ManagedResource.objects.filter(pk__in=claimed).update(
            attempts=F("attempts") + 1,
            fence=F("fence") + 1,
            lease_owner=f"{socket.gethostname()}:{os.getpid()}",
            lease_until=at + timedelta(seconds=settings.ENV.lease_seconds),
        )
        return list(
            ManagedResource.objects.filter(pk__in=claimed)
            .select_related("tenant", "line")
            .prefetch_related("needs", "needed_by")
            .order_by("pk")
        )


def record(rows: Iterable[ManagedResource], outcomes: Mapping[int, Outcome]) -> int:
    """Write what the pass taught, give the leases back, tell what is worth telling; how many rows were still ours."""
    with boundary("commit record"), transaction.atomic(durable=True):
        advisory_lock(WISHES_LOCK)
        return sum(_record(row, outcomes[row.pk]) for row in rows)


def _decide(row: ManagedResource, seen: Observation) -> Decision:
    if seen.error is not None:
        return Decision(Action.WAIT, "AWS did not answer.")
    return decide(_wanted(row, seen), _seen(row, seen))


def _wanted(row: ManagedResource, seen: Observation) -> Wanted:
    return Wanted(
        is_wanted=row.is_wanted,
        is_deleting=row.phase == Phase.DELETING,
        has_served=row.ready_at is not None or row.phase == Phase.UPDATING,
        settings=aws_settings(row.kind, row.settings),
        digest=row.digest,
        sent_digest=row.sent_digest if row.phase == Phase.UPDATING else "",
        was_seen_since_sent=bool(row.aws_status),
        failed_digest=row.failed_digest,
        takes_over=_takes_over(row, seen),
        stuck_reason=row.stuck_reason,
        detail=row.detail,
        parents_ready=all(parent.phase in SERVING for parent in row.needs.all()),
        is_needed=any(child.phase != Phase.GONE for child in row.needed_by.all()),
    )


def _takes_over(row: ManagedResource, seen: Observation) -> bool:
    """Whether the wish is to follow what AWS shows now: decided outside, of an adapter that accepts that."""
    return _is_changed_outside(row) and bool(row.settings["follows_outside"]) and _approval(row, seen) != UNDECIDED


def _is_changed_outside(row: ManagedResource) -> bool:
    """Whether a package that AWS shows otherwise than we wish was as we wish before: then it was not us."""
    is_settled = row.phase == Phase.READY and not row.stuck_reason and row.observed_generation == row.generation
    return row.kind == MODEL_PACKAGE and row.is_wanted and is_settled


def _approval(row: ManagedResource, seen: Observation) -> str:
    return str(seen_settings(row.kind, seen.sighting)["approval"]) if seen.sighting else ""


def _seen(row: ManagedResource, seen: Observation) -> Seen:
    sighting = seen.sighting
    if sighting is None:
        return Seen()
    return Seen(
        status=sighting.status,
        is_ours=seen.is_ours,
        settings=seen_settings(row.kind, sighting),
        failure=sighting.failure,
        failure_reason=sighting.failure_reason,
    )


def _act(
    rows: Iterable[ManagedResource], decisions: Mapping[int, Decision], threads: Executor, doors: Doors
) -> dict[int, Result]:
    """Make the changes that were decided and whose turn it is, in threads; boto3's sockets wait, Python does not."""
    acting = [row for row in rows if decisions[row.pk].action in CHANGES]
    turns = waits(acting, {row.pk: decisions[row.pk].action for row in acting})

    def change(row: ManagedResource) -> Result:
        action = decisions[row.pk].action
        if turns[row.pk]:
            return Result(wait_seconds=turns[row.pk])
        try:
            return perform(row, action, install=settings.INSTALL_NAME, send_until=_send_until(row), doors=doors)
        except Exception as bug:
            # One row that we cannot handle must not hold up the batch that it happens to be in, pass after pass.
            log.exception("%s of %s failed here", action, row.public_id)
            return Result(error=InvalidRequest(code="OurBug", message=repr(bug), operation=f"{action} {row.kind}"))

    return {row.pk: result for row, result in zip(acting, threads.map(change, acting), strict=True)}


def _send_until(row: ManagedResource) -> datetime:
    """Half of the lease: the other half is for boto3's own retries and the record."""
    if row.lease_until is None:
        raise ValueError(f"{row} is not claimed")
    return row.lease_until - timedelta(seconds=settings.ENV.lease_seconds / 2)


def _record(row: ManagedResource, outcome: Outcome) -> bool:
    if outcome.phase != row.phase and outcome.phase not in PHASE_MOVES[row.phase]:
        raise ValueError(f"{row.public_id}: {row.phase} cannot become {outcome.phase}")
    changes = _columns(row, outcome)
    still_ours = ManagedResource.objects.filter(pk=row.pk, fence=row.fence)
    if not still_ours.update(**changes):
        return False
    was_phase, was_stuck = row.phase, row.stuck_reason
    approval_was = row.shown.get("approval", "") if _is_changed_outside(row) else None
    del changes["look_again_at"]  # an expression; nothing below reads it
    for column, value in changes.items():
        setattr(row, column, value)
    keep_ledger(row, was_phase=was_phase)
    if row.phase != was_phase:
        _wake_neighbours(row)
    _prune_needs(row)
    _tell(row, was_phase=was_phase, was_stuck=was_stuck)
    if approval_was is not None and row.shown["approval"] not in (approval_was, row.settings["approval"]):
        _tell_of_approval(row)
    return True


def _columns(row: ManagedResource, outcome: Outcome) -> dict[str, Any]:
    changes: dict[str, Any] = {
        **outcome.changes,
        "phase": outcome.phase,
        "look_again_at": _next_look(row, outcome),
        "attempts": 0,
        "lease_owner": None,
        "lease_until": None,
    }
    if outcome.phase != row.phase:
        changes["phase_since"] = now()
        if outcome.phase == Phase.READY and row.ready_at is None:
            changes["ready_at"] = now()
        if outcome.phase == Phase.GONE:
            changes["gone_at"] = now()
    return changes


def _next_look(row: ManagedResource, outcome: Outcome) -> Case:
    """When the outcome says so; at once, when the wish changed during the pass."""
    planned = real_now() + timedelta(seconds=outcome.after_seconds)
    return Case(When(generation__gt=row.generation, then=Value(real_now())), default=Value(planned))


def _wake_neighbours(row: ManagedResource) -> None:
    """Who waits for this row to be ready, or to be gone, is looked at now."""
    if row.phase == Phase.READY:
        row.needed_by.filter(phase__in=(Phase.WISHED, Phase.READY)).update(look_again_at=real_now())
    if row.phase == Phase.GONE:
        row.needs.filter(is_wanted=False).exclude(phase=Phase.GONE).update(look_again_at=real_now())


def _prune_needs(row: ManagedResource) -> None:
    """An endpoint that is seen on its new config no longer needs the old one, which may then be deleted."""
    settled = row.phase == Phase.READY and not row.stuck_reason and row.observed_generation == row.generation
    if row.kind == ENDPOINT and settled:
        old = [
            parent
            for parent in row.needs.all()
            if parent.kind == ENDPOINT_CONFIG and parent.name != row.settings["config_name"]
        ]
        if old:
            row.needs.remove(*old)


def _tell(row: ManagedResource, *, was_phase: str, was_stuck: str) -> None:
    if row.phase == Phase.READY and was_phase != Phase.READY and not row.stuck_reason:
        _event("resource.ready", row)
    if row.phase == Phase.GONE and was_phase != Phase.GONE:
        _event("resource.gone", row)
    if row.stuck_reason and row.stuck_reason != was_stuck:
        _event("resource.stuck", row)


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


def _event(name: str, row: ManagedResource) -> None:
    facts = {"kind": row.kind, "name": row.name, "phase": row.phase, "stuck_reason": row.stuck_reason}
    record_event(name, tenant=row.tenant, subject=row, actor=SYSTEM, reason=row.detail, after=facts)
