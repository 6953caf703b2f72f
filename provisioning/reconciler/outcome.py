"""What a pass teaches about one row: the values to record. It computes, it does not write.

Settled: looked at again for drift. Wait: looked at again soon. Stuck: a reason that people read, looked at slowly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws import errors
from provisioning.models import ManagedResource
from provisioning.reconciler import backoff
from provisioning.reconciler.act import Result
from provisioning.reconciler.observe import Observation
from provisioning.reconciler.plan import CREATING, FAILED, Action, Decision
from provisioning.specs import MODEL_PACKAGE, seen_approval
from provisioning.states import Phase, StuckReason

UNRECOGNIZED_TRIES = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """The installation's sweep interval, and chance in [0, 1) for jitter."""

    sweep_seconds: float
    chance: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Columns to write, and after how many seconds (real time) to look again."""

    phase: str
    after_seconds: float
    changes: Mapping[str, Any] = field(default_factory=dict)


def conclude(row: ManagedResource, seen: Observation, decision: Decision, result: Result | None, pace: Pace) -> Outcome:
    """The outcome of a pass that looked, decided and, if it acted, got `result`."""
    if seen.error is not None:
        return _failed_call(row, row.phase, seen.error, pace)
    changes = _from_sighting(row, seen)
    if result is not None and result.error is not None:
        return _failed_call(row, _phase_seen(row, seen), result.error, pace, changes)
    poll = backoff.poll_seconds(pace.sweep_seconds)
    match decision.action:
        case Action.SETTLE:
            after = backoff.resync_seconds(pace.sweep_seconds, pace.chance)
            clear = {"stuck_reason": StuckReason.NONE, "detail": "", "failures": 0, "failed_digest": ""}
            settled = {"observed_generation": row.generation, "aws_modified_at": seen.modified_at}
            return Outcome(Phase.READY, after, {**changes, **clear, **settled})
        case Action.FORGET:
            return _gone(row, decision, pace, changes)
        case Action.STUCK:
            return _stuck(row, _phase_seen(row, seen), decision, pace, changes)
        case Action.WAIT:
            phase = _phase_seen(row, seen)
            if row.phase == Phase.READY and phase == Phase.UPDATING:
                # Not an update that we know of having sent: what comes of it is not one of ours that AWS undid.
                changes["sent_digest"] = ""
            return Outcome(phase, poll, {**changes, **_note(row, changes, decision.why)})
    return _accepted(row, decision, result, poll, changes)


def _accepted(
    row: ManagedResource, decision: Decision, result: Result | None, poll: float, changes: dict[str, Any]
) -> Outcome:
    """AWS took a create, an update or a delete (or the lease was too short to send it, or its turn comes later)."""
    if result is None or result.receipt is None:
        return Outcome(row.phase, result.wait_seconds if result else 0, changes)
    taken = {
        **changes,
        "last_request_id": result.receipt.request_id,
        "last_operation": f"{decision.action} {row.kind}",
        "aws_status": "",
        "failures": 0,
    }
    if decision.action == Action.CREATE:
        sent = {"arn": result.receipt.arn, "sent_digest": row.digest, "stuck_reason": StuckReason.NONE, "detail": ""}
        return Outcome(Phase.CREATING, poll, {**taken, **sent})
    if decision.action == Action.UPDATE:
        sent = {"sent_digest": row.digest, "stuck_reason": StuckReason.NONE, "detail": ""}
        return Outcome(Phase.UPDATING, poll, {**taken, **sent})
    if decision.has_failed:
        failed = {"stuck_reason": decision.stuck_reason, "detail": decision.why, "failed_digest": row.digest}
        return Outcome(Phase.DELETING, poll, {**taken, **failed, "failures": row.failures + 1})
    return Outcome(Phase.DELETING, poll, {**taken, "failures": row.failures})


def _gone(row: ManagedResource, decision: Decision, pace: Pace, changes: dict[str, Any]) -> Outcome:
    """The end of an incarnation. One that failed keeps its reason, and `look_again_at` says when to try a new one."""
    if row.failed_digest and row.stuck_reason:
        return Outcome(Phase.GONE, backoff.scarce_seconds(pace.sweep_seconds, row.failures, pace.chance), changes)
    ended = {"detail": decision.why, "stuck_reason": StuckReason.NONE, "failures": 0}
    return Outcome(Phase.GONE, 0, {**changes, **ended})


def _stuck(row: ManagedResource, phase: str, decision: Decision, pace: Pace, changes: dict[str, Any]) -> Outcome:
    """Told once, looked at slowly. What failed in AWS's hands is remembered by its digest."""
    remembered = {"failed_digest": row.digest} if decision.has_failed else {}
    after = backoff.scarce_seconds(pace.sweep_seconds, row.failures + 1, pace.chance)
    if decision.stuck_reason == StuckReason.TERMINAL:
        after = backoff.resync_seconds(pace.sweep_seconds, pace.chance)
    told = {"stuck_reason": decision.stuck_reason, "detail": decision.why, "failures": row.failures + 1}
    return Outcome(phase, after, {**changes, **told, **remembered})


def _failed_call(
    row: ManagedResource, phase: str, error: errors.AwsError, pace: Pace, changes: dict[str, Any] | None = None
) -> Outcome:
    """A call to AWS was refused or lost; see the classes of aws.errors."""
    failures = row.failures + 1
    noted: dict[str, Any] = {
        **(changes or {}),
        "failures": failures,
        "detail": f"{error.operation}: {error.message or error.code}",
        "last_request_id": error.request_id,
        "last_operation": error.operation,
    }
    sweep, chance = pace.sweep_seconds, pace.chance
    match error:
        case errors.AlreadyExists() | errors.Missing():
            # A name that is taken, or a parent that does not show yet: look again, then decide.
            after = backoff.error_seconds(sweep, failures, chance) if failures > 1 else 0.0
            return Outcome(phase, after, noted)
        case errors.QuotaReached():
            stuck, after = StuckReason.QUOTA, backoff.scarce_seconds(sweep, failures, chance)
        case errors.CapacityUnavailable():
            stuck, after = StuckReason.CAPACITY, backoff.scarce_seconds(sweep, failures, chance)
        case errors.AccessLost():
            # Nothing is known and nothing was done: the row stays as it is, and waits for the role.
            stuck, after = StuckReason.ACCESS_LOST, backoff.denied_seconds(sweep, chance)
        case errors.AccessDenied():
            stuck, after = StuckReason.AUTH, backoff.denied_seconds(sweep, chance)
        case errors.InProgress():
            return Outcome(phase, backoff.poll_seconds(sweep), {**noted, "failures": row.failures})
        case errors.Unrecognized() if failures >= UNRECOGNIZED_TRIES:
            stuck, after = StuckReason.TERMINAL, backoff.resync_seconds(sweep, chance)
        case errors.Retryable():
            return Outcome(phase, backoff.error_seconds(sweep, failures, chance), noted)
        case _:
            stuck, after = StuckReason.TERMINAL, backoff.resync_seconds(sweep, chance)
            noted["failed_digest"] = row.digest
    return Outcome(phase, after, {**noted, "stuck_reason": stuck})


def _from_sighting(row: ManagedResource, seen: Observation) -> dict[str, Any]:
    sighting = seen.sighting
    regained = row.stuck_reason == StuckReason.ACCESS_LOST and not row.failed_digest
    if sighting is None or not seen.is_ours:
        return {"stuck_reason": StuckReason.NONE} if regained else {}
    changes: dict[str, Any] = {"arn": sighting.arn, "aws_status": sighting.status}
    if row.kind == MODEL_PACKAGE:
        changes["shown"] = {
            "approval": seen_approval(sighting),
            "by": sighting.approval_by,
            "note": sighting.approval_note,
        }
    if sighting.status == CREATING:
        changes["creating_sightings"] = row.creating_sightings + 1
    if regained or (row.stuck_reason in (StuckReason.AUTH, StuckReason.CONFLICT) and not row.failed_digest):
        changes["stuck_reason"] = StuckReason.NONE  # AWS let us look, and it is ours
    return changes


def _phase_seen(row: ManagedResource, seen: Observation) -> str:
    """The phase that a sighting proves; without one, the row's own."""
    sighting = seen.sighting
    if sighting is None or not seen.is_ours or row.phase == Phase.DELETING:
        return row.phase
    if sighting.status == CREATING:
        return Phase.CREATING if row.phase == Phase.WISHED else row.phase
    if sighting.status in ("Updating", "SystemUpdating", "RollingBack"):
        return Phase.UPDATING
    if sighting.status == "Deleting":
        return Phase.DELETING
    if sighting.status == FAILED:
        return row.phase
    # At rest. An update that was undone leaves the row serving its old settings.
    return Phase.READY if row.phase in (Phase.UPDATING, Phase.READY) and row.aws_status else row.phase


def _note(row: ManagedResource, changes: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {} if changes.get("stuck_reason", row.stuck_reason) else {"detail": why}
