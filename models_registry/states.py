"""The lifecycles of a version and of a release.

A version:

    uploading --> validating --> ready --> archived
                       |
                       v
                   rejected

An upload that is cut off leaves no row: `uploading` rows are deleted, by the request itself or by the sweep.

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
    VALIDATING = "validating", "Validating"
    READY = "ready", "Ready"
    REJECTED = "rejected", "Rejected"
    ARCHIVED = "archived", "Archived"


VERSION_MOVES: Moves = {
    VersionState.UPLOADING: frozenset({VersionState.VALIDATING}),
    VersionState.VALIDATING: frozenset({VersionState.READY, VersionState.REJECTED}),
    VersionState.READY: frozenset({VersionState.ARCHIVED}),
    VersionState.REJECTED: frozenset(),
    VersionState.ARCHIVED: frozenset(),
}


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
