"""One pass over a batch: claim, observe, plan, act, record.

Claim and record are transactions, everything that talks to AWS stands between them. A claim raises the row's fence
and every later write names it: a worker whose lease was taken over writes nothing.
"""

import logging
import os
import random
import socket
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, prefetch_related_objects

from aws.errors import InvalidRequest
from core.clock import real_now
from core.crashpoints import boundary
from core.locks import advisory_lock
from provisioning.doors import Doors
from provisioning.models import ManagedResource
from provisioning.queries import held_operations
from provisioning.reconciler.access import note_pass
from provisioning.reconciler.act import Result, perform
from provisioning.reconciler.deadly import most_attempts_left, park, worth_claiming
from provisioning.reconciler.observe import Key, Listing, Observation, observe
from provisioning.reconciler.outcome import Outcome, Pace, conclude
from provisioning.reconciler.plan import Action, Decision, Seen, Wanted, decide
from provisioning.reconciler.recording import is_changed_outside, put_off_settled, tell, write_outcomes
from provisioning.reconciler.tokens import waits
from provisioning.specs import UNDECIDED, aws_settings, seen_settings
from provisioning.states import SERVING, Phase

log = logging.getLogger(__name__)

THREADS = 8
# Wishes and records touch rows and their neighbours; one at a time, so that no two wait for each other.
WISHES_LOCK = "provisioning: wishes and records"
# What no pass reads: a claim costs what its columns cost.
NOT_READ = ("line", "adapter_version", "slot", "slug", "incarnation", "identity_digest", "last_operation",
            "last_request_id", "phase_since", "gone_at", "probed_at")  # fmt: skip
CHANGES = (Action.CREATE, Action.UPDATE, Action.DELETE)


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass did: rows claimed, calls made that change AWS, rows recorded (the rest had lost their lease).

    `waiting`: rows that would have changed AWS and whose turn comes later.
    """

    claimed: int
    changes: int
    recorded: int
    waiting: int = 0


def run_pass(*, limit: int) -> PassReport:
    """Reconcile up to `limit` due rows once.

    Those whose last call failed come after the others are recorded: a place that hangs holds up only such as failed.
    """
    rows = claim(limit)
    doors = Doors({row.account for row in rows}) if rows else None
    healthy, failing = [row for row in rows if not row.failures], [row for row in rows if row.failures]
    reports = [_reconcile(part, doors) for part in (healthy, failing) if part and doors]
    return PassReport(
        claimed=len(rows),
        changes=sum(report.changes for report in reports),
        recorded=sum(report.recorded for report in reports),
        waiting=sum(report.waiting for report in reports),
    )


def _reconcile(rows: Sequence[ManagedResource], doors: Doors) -> PassReport:
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        observed = observe(rows, install=settings.INSTALL_NAME, threads=threads, doors=doors)
        observations = observed.of_rows
        decisions = {row.pk: _decide(row, observations[row.pk]) for row in rows}
        results = _act(rows, decisions, threads, doors)
    pace = Pace(sweep_seconds=settings.ENV.sweep_seconds, chance=random.random())
    outcomes = {
        row.pk: conclude(row, observations[row.pk], decisions[row.pk], results.get(row.pk), pace) for row in rows
    }
    recorded = record(rows, outcomes, listings=observed.listings)
    note_pass(rows, observations, results)
    waiting = sum(result.wait_seconds > 0 for result in results.values())
    return PassReport(len(rows), len(results) - waiting, recorded, waiting)


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
            .defer(*NOT_READ)[:limit]
        )
        found = {row.pk: row for row in due}
        chosen, deadly = worth_claiming([(row.pk, row.attempts) for row in found.values()])
        tell("resource.stuck", park(deadly))
        owner, until = f"{socket.gethostname()}:{os.getpid()}", at + timedelta(seconds=settings.ENV.lease_seconds)
        ManagedResource.objects.filter(pk__in=chosen).update(
            attempts=F("attempts") + 1, fence=F("fence") + 1, lease_owner=owner, lease_until=until
        )
        claimed = [found[pk] for pk in sorted(chosen)]
        for row in claimed:  # locked, so these are the values that were written
            row.attempts, row.fence = row.attempts + 1, row.fence + 1
            row.lease_owner, row.lease_until = owner, until
        prefetch_related_objects([row for row in claimed if not row.is_settled], "tenant", "needs", "needed_by")
        return claimed


def record(
    rows: Iterable[ManagedResource], outcomes: Mapping[int, Outcome], *, listings: Mapping[Key, Listing] | None = None
) -> int:
    """Write what the pass taught, give the leases back, tell what is worth telling; how many rows were still ours."""
    with boundary("commit record"), transaction.atomic(durable=True):
        advisory_lock(WISHES_LOCK)
        recorded = write_outcomes(rows, outcomes)
        for (account, region, kind, _), listing in (listings or {}).items():
            put_off_settled(account, region, kind, listing, sweep_seconds=settings.ENV.sweep_seconds)
        return recorded


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
    return is_changed_outside(row) and bool(row.settings["follows_outside"]) and _approval(row, seen) != UNDECIDED


def _approval(row: ManagedResource, seen: Observation) -> str:
    return str(seen_settings(row.kind, seen.sighting)["approval"]) if seen.sighting else ""


def _seen(row: ManagedResource, seen: Observation) -> Seen:
    sighting = seen.sighting
    if sighting is None:
        return Seen()
    return Seen(
        status=sighting.status,
        is_ours=seen.is_ours,
        settings=aws_settings(row.kind, row.settings) if seen.is_as_settled else seen_settings(row.kind, sighting),
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
