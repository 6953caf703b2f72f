"""Proving that adapters take effect before they are routed, and refusing releases whose adapter does not."""

import logging
from collections.abc import Sequence

from aws.errors import AwsError, Unreachable
from core.actors import SYSTEM
from core.clock import now
from core.crashpoints import boundary
from models_registry.models import Release
from models_registry.queries import WantedRelease
from models_registry.services import releases
from models_registry.states import ReleaseState
from provisioning.models import ManagedResource, ServingLine
from provisioning.services import probing
from provisioning.services.desired_state import Wishes
from provisioning.services.probing import Verdict
from provisioning.states import Phase, StuckReason

log = logging.getLogger(__name__)

COMPONENT_FAILED = "component_failed"
NO_HOSTED_LINE = "no_hosted_line"
Unproved = tuple[ManagedResource, Release | None]


def refuse_unloadable(lines: Sequence[ServingLine], wanted: Sequence[WantedRelease]) -> bool:
    """Refuse releases that no line of the tier can load; whether there were any."""
    if any(line.is_hosted for line in lines):
        return False
    names = ", ".join(line.name for line in lines)
    detail = (
        f"The tier's lines ({names}) are APIs, which load no adapters. Move the tenant to a tier with a hosted line."
    )
    pending = _pending(wanted)
    for release in pending.values():
        _refuse(release, Verdict(NO_HOSTED_LINE, detail, {}))
    return bool(pending)


def _pending(wanted: Sequence[WantedRelease]) -> dict[int, Release]:
    """The releases that wait for their version to serve, by the version."""
    waiting = [each for each in wanted if each.release.state == ReleaseState.PENDING]
    return {each.version.pk: each.release for each in waiting if each.version is not None}


def unproved_components(
    wishes: Wishes, wanted: Sequence[WantedRelease]
) -> list[tuple[ManagedResource, Release | None]]:
    """Components that are ready and were never asked, or that failed under a pending release; with that release."""
    pending = _pending(wanted)
    rows = [row for row in [*wishes.rows.values(), *wishes.blocked] if row.adapter_version_id is not None]
    found = [(row, pending.get(row.adapter_version_id or 0)) for row in rows]
    return [(row, release) for row, release in found if _has_failed(row, release) or _is_unasked(row)]


def _has_failed(row: ManagedResource, release: Release | None) -> bool:
    return row.stuck_reason == StuckReason.TERMINAL and release is not None


def _is_unasked(row: ManagedResource) -> bool:
    return row.phase == Phase.READY and row.probed_at is None


def prove(components: Sequence[Unproved], refused: dict[int, str]) -> AwsError | None:
    """Ask components that are ready; refuse releases whose adapter fails or does nothing.

    Components that fail without a pending release are put into `refused` by pk, with the reason.
    Answers the last error of AWS that kept a component from being asked; an AWS that hangs is asked no more.
    """
    held_up: AwsError | None = None
    for row, release in components:
        if release is not None and _has_failed(row, release):
            evidence = {"component": row.name, "request_id": row.last_request_id}
            _refuse(release, Verdict(COMPONENT_FAILED, f"AWS could not load the adapter: {row.detail}", evidence))
        elif not isinstance(held_up, Unreachable):
            try:
                _judge(row, release, probing.probe(row), refused)
            except AwsError as error:
                held_up = error
    return held_up


def _judge(row: ManagedResource, release: Release | None, verdict: Verdict, refused: dict[int, str]) -> None:
    """Act on a probe's verdict; without a pending release the component is a live version's, made again."""
    if not verdict.code:
        row.probed_at = now()
        with boundary("commit probed"):
            ManagedResource.objects.filter(pk=row.pk).update(probed_at=row.probed_at)
    elif release is not None:
        _refuse(release, verdict)
    else:
        log.error("%s was made again and is not routed: %s", row.public_id, verdict.detail)
        refused[row.pk] = verdict.detail
        ManagedResource.objects.filter(pk=row.pk).update(detail=verdict.detail)


def _refuse(release: Release, verdict: Verdict) -> None:
    with boundary("commit refusal"):
        releases.refuse(
            release_id=release.pk,
            code=verdict.code,
            detail=verdict.detail,
            evidence=verdict.evidence,
            actor=SYSTEM,
        )
