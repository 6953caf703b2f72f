"""The lifecycles of a version, of its approval, and of a release.

A version:

    uploading --> validating --> ready <--> archived
                    ^    |
                    |    v
    importing ------+  rejected
        |                ^
        +----------------+

An upload that is cut off leaves no row: `uploading` rows are deleted, by the request itself or by the sweep. An import
was asked for and then left alone, so one that fails stays, rejected with the reason.

Its approval, once it is ready (not asked for where the tier's policy is `none`):

    pending ------+--> approved <--> rejected
    not_required -+

A release:

    pending --> live --> superseded
      |  |                   ^
      |  +-------------------+
      v
    refused
"""

from django.db import models

from core.states import Moves


class VersionState(models.TextChoices):
    """How far an upload has come."""

    UPLOADING = "uploading", "Uploading"
    IMPORTING = "importing", "Importing"
    VALIDATING = "validating", "Validating"
    READY = "ready", "Ready"
    REJECTED = "rejected", "Rejected"
    ARCHIVED = "archived", "Archived"


VERSION_MOVES: Moves = {
    VersionState.UPLOADING: frozenset({VersionState.VALIDATING}),
    VersionState.IMPORTING: frozenset({VersionState.VALIDATING, VersionState.REJECTED}),
    VersionState.VALIDATING: frozenset({VersionState.READY, VersionState.REJECTED}),
    VersionState.READY: frozenset({VersionState.ARCHIVED}),
    VersionState.REJECTED: frozenset(),
    VersionState.ARCHIVED: frozenset({VersionState.READY}),
}
UNNUMBERED = (VersionState.UPLOADING, VersionState.IMPORTING, VersionState.VALIDATING, VersionState.REJECTED)
"""A version gets its number when it passes the gate."""
UNDECIDED = (VersionState.UPLOADING, VersionState.IMPORTING, VersionState.VALIDATING)
"""What is still on its way."""


class Approval(models.TextChoices):
    """What people decided about a version that passed the gate."""

    NOT_REQUIRED = "not_required", "Not required"
    PENDING = "pending", "Waits for approval"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Not approved"


_DECIDED = frozenset({Approval.APPROVED, Approval.REJECTED})
APPROVAL_MOVES: Moves = {
    Approval.NOT_REQUIRED: _DECIDED,
    Approval.PENDING: _DECIDED,
    Approval.APPROVED: frozenset({Approval.REJECTED}),
    Approval.REJECTED: frozenset({Approval.APPROVED}),
}


class OutsideApprovals(models.TextChoices):
    """What an approval that somebody gave in SageMaker's registry, and not here, is worth for an adapter."""

    UNDO = "undo", "Undo it: only what is decided here counts"
    ACCEPT = "accept", "Take it over"
    RELEASE = "release", "Take it over, and release what was approved"


class ReleaseState(models.TextChoices):
    """How far the wish that a version should serve has come."""

    PENDING = "pending", "Pending"
    LIVE = "live", "Live"
    REFUSED = "refused", "Refused"
    SUPERSEDED = "superseded", "Superseded"


RELEASE_MOVES: Moves = {
    ReleaseState.PENDING: frozenset({ReleaseState.LIVE, ReleaseState.REFUSED, ReleaseState.SUPERSEDED}),
    ReleaseState.LIVE: frozenset({ReleaseState.SUPERSEDED}),
    ReleaseState.REFUSED: frozenset(),
    ReleaseState.SUPERSEDED: frozenset(),
}


def adapter_state(*, latest: object, live: object) -> str:
    """`live` when a version answers, else `idle` when one could be released, else `empty`; None is no version."""
    if live is not None:
        return "live"
    return "idle" if latest is not None else "empty"
