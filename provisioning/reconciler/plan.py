"""What to do about one resource, given what is wished and what was seen. Pure; one decision per pass.

| wished      | seen                        | action                                                      |
|-------------|-----------------------------|-------------------------------------------------------------|
| yes         | nothing                     | CREATE once its parents are ready, else WAIT                |
| yes, served | nothing                     | FORGET: it vanished; a new incarnation is wished            |
| yes         | somebody else's             | STUCK conflict, nothing is touched                          |
| yes         | InService as wished         | SETTLE                                                      |
| yes         | InService otherwise         | UPDATE, or STUCK when this very change was sent and undone  |
| yes, follows| InService, changed outside  | WAIT: the wish is about to follow                           |
| yes         | Creating, Updating, ...     | WAIT                                                        |
| yes         | Failed                      | DELETE: a failed object keeps its reservation               |
| no          | nothing, or not ours        | FORGET                                                      |
| no          | something needs it          | WAIT                                                        |
| no          | being changed               | WAIT                                                        |
| no          | at rest                     | DELETE                                                      |

What failed is not sent again until the wish changes or somebody retries (`failed_digest`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aws.gateway import FailureClass

IN_SERVICE = "InService"
CREATING = "Creating"
FAILED = "Failed"
CHANGING = frozenset({CREATING, "Updating", "SystemUpdating", "RollingBack", "Deleting"})
BROKEN = frozenset({"OutOfService", "UpdateRollbackFailed"})

# Failures that pass by themselves, with the reason that people see; AWS's own failure is a want of capacity to them.
PASSING: Mapping[FailureClass, str] = {"capacity": "capacity", "quota": "quota", "service": "capacity"}


class Action(StrEnum):
    """The one thing a pass does about a resource."""

    SETTLE = "settle"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    WAIT = "wait"
    FORGET = "forget"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the row wishes and remembers."""

    is_wanted: bool
    is_deleting: bool
    has_served: bool
    settings: Mapping[str, Any]
    digest: str
    sent_digest: str = ""
    was_seen_since_sent: bool = False
    failed_digest: str = ""
    stuck_reason: str = ""
    detail: str = ""
    takes_over: bool = False
    parents_ready: bool = True
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What AWS shows: `status` is empty when it said that the object does not exist."""

    status: str = ""
    is_ours: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    failure: FailureClass = ""
    failure_reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, why, and for STUCK or a failed object's DELETE the reason that people are shown."""

    action: Action
    why: str = ""
    stuck_reason: str = ""
    has_failed: bool = False


def decide(wanted: Wanted, seen: Seen) -> Decision:
    """The one action for this pass; see the table above."""
    if not wanted.is_wanted or wanted.is_deleting:
        return _towards_absence(wanted, seen)
    if not seen.status:
        return _from_nothing(wanted)
    if not seen.is_ours:
        return Decision(Action.STUCK, "An object with this name exists and does not carry our tags.", "conflict")
    if seen.status in CHANGING:
        return Decision(Action.WAIT, f"AWS says {seen.status}.")
    if seen.status == IN_SERVICE:
        return _in_service(wanted, seen)
    if seen.status == FAILED:
        return Decision(Action.DELETE, seen.failure_reason or "AWS says Failed.", _reason(seen.failure), True)
    if seen.status in BROKEN:
        why = f"AWS says {seen.status}: {seen.failure_reason or 'no reason given'}"
        return Decision(Action.STUCK, why, "terminal", True)
    return Decision(Action.WAIT, f"AWS says {seen.status}, which we do not know.")


def _from_nothing(wanted: Wanted) -> Decision:
    if wanted.has_served:
        return Decision(Action.FORGET, "It vanished from AWS; a new one is made.")
    if wanted.failed_digest == wanted.digest:
        return Decision(Action.STUCK, wanted.detail, wanted.stuck_reason or "terminal", True)
    if not wanted.parents_ready:
        return Decision(Action.WAIT, "Waits for what it runs on.")
    return Decision(Action.CREATE)


def _in_service(wanted: Wanted, seen: Seen) -> Decision:
    if dict(wanted.settings) == dict(seen.settings):
        return Decision(Action.SETTLE)
    if wanted.failed_digest == wanted.digest:
        return Decision(Action.STUCK, wanted.detail, wanted.stuck_reason or "terminal", True)
    if wanted.takes_over:
        return Decision(Action.WAIT, "It was changed in AWS, which is about to be taken over here.")
    if wanted.sent_digest == wanted.digest and not wanted.was_seen_since_sent:
        return Decision(Action.WAIT, "AWS took the change; it does not show yet.")
    if wanted.sent_digest == wanted.digest:
        # A failed update ends InService on the old settings, sometimes without any reason given.
        why = f"AWS undid the change: {seen.failure_reason or 'no reason given'}"
        return Decision(Action.STUCK, why, _reason(seen.failure or "terminal"), True)
    if not wanted.parents_ready:
        return Decision(Action.WAIT, "Waits for what it will run on.")
    return Decision(Action.UPDATE)


def _towards_absence(wanted: Wanted, seen: Seen) -> Decision:
    if not seen.status:
        return Decision(Action.FORGET, "AWS says that it does not exist.")
    if not seen.is_ours:
        return Decision(Action.FORGET, "The object with this name does not carry our tags; ours does not exist.")
    if wanted.is_needed:
        return Decision(Action.WAIT, "Waits until nothing runs on it.")
    if seen.status in CHANGING:
        return Decision(Action.WAIT, f"AWS says {seen.status} and takes no deletion now.")
    return Decision(Action.DELETE)


def _reason(failure: FailureClass) -> str:
    return PASSING.get(failure, "terminal")
