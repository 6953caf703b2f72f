"""Phases of a managed resource, and why one can be stuck.

    wished --> creating --> ready <--> updating
       |          |           |           |
       |          v           v           v
       |       deleting <-----+-----------+
       v          |
      gone <------+        (from anywhere, when AWS says that the object does not exist)

A gone row goes back to deleting when an inventory finds its object after all and a person orders its deletion.

The phase is what AWS last showed us; being stuck is a condition beside it, with a reason that a person can read.
A gone row stays: its name is never used again.
"""

from django.db import models

from core.states import Moves


class Phase(models.TextChoices):
    """Where a resource is in its life."""

    WISHED = "wished", "Wished"
    CREATING = "creating", "Creating"
    READY = "ready", "Ready"
    UPDATING = "updating", "Updating"
    DELETING = "deleting", "Deleting"
    GONE = "gone", "Gone"


# A resource in one of these answers: one that is being updated goes on serving as it was.
SERVING = (Phase.READY, Phase.UPDATING)

PHASE_MOVES: Moves = {
    Phase.WISHED: frozenset({Phase.CREATING, Phase.READY, Phase.UPDATING, Phase.DELETING, Phase.GONE}),
    Phase.CREATING: frozenset({Phase.READY, Phase.UPDATING, Phase.DELETING, Phase.GONE}),
    Phase.READY: frozenset({Phase.UPDATING, Phase.DELETING, Phase.GONE}),
    Phase.UPDATING: frozenset({Phase.READY, Phase.DELETING, Phase.GONE}),
    Phase.DELETING: frozenset({Phase.GONE}),
    Phase.GONE: frozenset({Phase.DELETING}),
}


class StuckReason(models.TextChoices):
    """What a stuck resource waits for."""

    NONE = "", "Not stuck"
    QUOTA = "quota", "Account quota reached"
    AUTH = "auth", "Access denied"
    ACCESS_LOST = "access_lost", "Access to the account lost"
    CONFLICT = "conflict", "The name is taken by an object that is not ours"
    CAPACITY = "capacity", "No capacity in AWS"
    TERMINAL = "terminal", "Refused or failed; a person is needed"


WHAT_TO_DO: dict[str, str] = {
    StuckReason.QUOTA: "Raise the quota in Service Quotas or free instances; it is tried again by itself.",
    StuckReason.AUTH: "Check the control plane's credentials and policies; it is tried again by itself.",
    StuckReason.ACCESS_LOST: "The account's owner must restore the role of the account page, with its trust policy and "
    "external id. What runs there goes on, nothing moves to another account, and it is tried again by itself.",
    StuckReason.CONFLICT: "Somebody else's object has this name. Rename or delete it, then retry.",
    StuckReason.CAPACITY: "AWS has no such instances free. It is tried again by itself; another type may be available.",
    StuckReason.TERMINAL: "Read the reason, change what is wrong, then retry.",
}

TRIED_AGAIN = (
    "It is tried again by itself and nothing is lost. If it lasts, look at AWS's health page, at the network to AWS "
    "and at the control plane's credentials."
)


class OperationState(models.TextChoices):
    """How an operation stands."""

    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    SUPERSEDED = "superseded", "Superseded"


_ENDS = frozenset({OperationState.SUCCEEDED, OperationState.CANCELLED, OperationState.SUPERSEDED})
OPERATION_MOVES: Moves = {
    OperationState.RUNNING: _ENDS | {OperationState.FAILED},
    OperationState.FAILED: _ENDS | {OperationState.RUNNING},
    OperationState.SUCCEEDED: frozenset(),
    OperationState.CANCELLED: frozenset(),
    OperationState.SUPERSEDED: frozenset(),
}


class ChangeState(models.TextChoices):
    """How far a tier change is. Until `cutting_over` traffic is on the old lines, from then on on the new.

    preparing --> cutting_over --> removing --> done
        ^  |            |             |
        |  +-------> returning <      |      (removing is past the point of return)
        |               |             |
        +---------- returned <--------+      (only when the tenant leaves meanwhile)
    """

    PREPARING = "preparing", "Making the new resources"
    CUTTING_OVER = "cutting_over", "Moving traffic"
    REMOVING = "removing", "Removing the old resources"
    RETURNING = "returning", "Going back"
    DONE = "done", "Done"
    RETURNED = "returned", "Back on the old tier"


OPEN_CHANGES = [ChangeState.PREPARING, ChangeState.CUTTING_OVER, ChangeState.REMOVING, ChangeState.RETURNING]
CHANGE_MOVES: Moves = {
    ChangeState.PREPARING: frozenset({ChangeState.CUTTING_OVER, ChangeState.RETURNING, ChangeState.RETURNED}),
    ChangeState.CUTTING_OVER: frozenset({ChangeState.REMOVING, ChangeState.RETURNING, ChangeState.RETURNED}),
    ChangeState.REMOVING: frozenset({ChangeState.DONE, ChangeState.RETURNED}),
    ChangeState.RETURNING: frozenset({ChangeState.RETURNED}),
    ChangeState.RETURNED: frozenset({ChangeState.PREPARING}),
    ChangeState.DONE: frozenset(),
}
