"""A release in steps: what people and the watch do to one, and what data planes were told of its shares.

The shares themselves are wishes like the release: provisioning publishes them, and only then does time begin to count.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import F

from core import clock
from core.actors import Actor
from core.errors import Conflict
from events.record import record_event
from models_registry.models import Adapter, Canary, CanaryInterval, Release
from models_registry.services import releases
from models_registry.services.adapters import lock_adapter
from models_registry.states import ReleaseState

ABORTED = "canary_aborted"


class NoCanary(Conflict):
    """The release has no plan, or has ended: there is no step to pause, go on with or abort."""

    code = "no_canary"
    title = "The release is not under way in steps"


class NotPaused(Conflict):
    """The canary is not paused, so it goes on by itself."""

    code = "not_paused"
    title = "The canary is not paused"


def pause_canary(*, release_id: int, reason: str, actor: Actor) -> Release:
    """Keep the share as it is until somebody goes on; the alarms go on watching. Quiet when it is paused."""
    with transaction.atomic(durable=True):
        release, canary = _locked(release_id)
        if canary.paused_at is None:
            Canary.objects.filter(pk=canary.pk).update(paused_at=clock.now(), paused_by=actor.name)
            _tell("adapter.canary_paused", release, canary, actor, reason)
    return release


def go_on(*, release_id: int, skip_bake: bool = False, reason: str = "", actor: Actor) -> Release:
    """End a pause: the bake time of the share begins anew. With `skip_bake` the next share follows at once instead,
    paused or not. Raises NotPaused when there is nothing to end, and NoCanary."""
    with transaction.atomic(durable=True):
        release, canary = _locked(release_id)
        if canary.paused_at is None and not skip_bake:
            raise NotPaused(
                f"{release.version} goes on by itself.", hint="To take the next share now, skip the bake time."
            )
        since = clock.now() if canary.step_since is not None else None
        Canary.objects.filter(pk=canary.pk).update(paused_at=None, paused_by="", step_since=since)
        _tell("adapter.canary_continued", release, canary, actor, reason)
        if skip_bake:
            _take_next(release, canary, {}, actor, reason)
    return release


def abort_canary(*, release_id: int, reason: str, actor: Actor) -> Release:
    """End the release as refused; what serves beside it gets every request again. Raises NoCanary."""
    with transaction.atomic(durable=True):
        release, canary = _locked(release_id)
    detail = f"{actor.name} aborted it at {canary.percent} %{f': {reason}' if reason else '.'}"
    return releases.refuse(release_id=release.pk, code=ABORTED, detail=detail, evidence=canary.seen, actor=actor)


def take_next_step(*, release_id: int, from_step: int, evidence: Mapping[str, Any], actor: Actor) -> bool:
    """The watch says: the share was good. False when the canary ended, was paused, or is another step's meanwhile."""
    with transaction.atomic(durable=True):
        try:
            release, canary = _locked(release_id)
        except NoCanary:
            return False
        if canary.step != from_step or canary.paused_at is not None or canary.step_since is None:
            return False
        _take_next(release, canary, evidence, actor, "")
    return True


def note_look(*, release_id: int, step: int, evidence: Mapping[str, Any]) -> None:
    """Keep what the last look at a step found, for people to see; quiet when the step has changed meanwhile."""
    of_step = Canary.objects.filter(release_id=release_id, step=step, release__state=ReleaseState.PENDING)
    of_step.update(seen=dict(evidence), looked_at=clock.now())


def follow_shares(*, tenant_id: int, shares: Mapping[str, int], at: datetime) -> int:
    """Provisioning says: since `at` data planes give these versions (by public id) these per cents, no other a share.

    Keeps what served when, and starts the time of a step whose share is there. Answers how many intervals it touched;
    quiet when all is said already.
    """
    touched = 0
    with transaction.atomic(durable=True):
        for adapter in Adapter.objects.filter(tenant_id=tenant_id).order_by("pk").select_for_update(no_key=True):
            # The release may have ended since: until data planes are told so, its version has its share.
            of_plan = Release.objects.filter(adapter=adapter, version__public_id__in=shares, canary__isnull=False)
            release = of_plan.select_related("version").order_by("-sequence").first()
            touched += _follow(adapter, release, shares, at)
    return touched


def _follow(adapter: Adapter, release: Release | None, shares: Mapping[str, int], at: datetime) -> int:
    """One adapter's share, inside the transaction, the adapter locked."""
    standing = CanaryInterval.objects.filter(adapter=adapter, during__endswith__isnull=True).first()
    if release is None or release.version is None:
        return releases.close_open(CanaryInterval, adapter, at) if standing is not None else 0
    percent = shares[release.version.public_id]
    if standing is not None and (standing.release_id, standing.percent) == (release.pk, percent):
        return 0
    releases.close_open(CanaryInterval, adapter, at)
    last = CanaryInterval.objects.filter(adapter=adapter).order_by("-during").first()
    start = max(at, last.during.upper) if last else at
    CanaryInterval.objects.create(
        adapter=adapter,
        version=release.version,
        release=release,
        percent=percent,
        during=DateTimeTZRange(start, None, "[)"),
    )
    # A share that was away meanwhile (a suspended tenant's) begins its time anew.
    Canary.objects.filter(release=release).update(step_since=start)
    return 1


def _take_next(release: Release, canary: Canary, evidence: Mapping[str, Any], actor: Actor, reason: str) -> None:
    Canary.objects.filter(pk=canary.pk).update(step=F("step") + 1, step_since=None, seen=dict(evidence))
    before = canary.percent
    canary.step += 1
    _tell("adapter.canary_advanced", release, canary, actor, reason, before={"percent": before}, evidence=evidence)


def _locked(release_id: int) -> tuple[Release, Canary]:
    """The release and its canary, the tenant and the adapter locked before. Raises NoCanary."""
    lock_adapter(Release.objects.values_list("adapter_id", flat=True).get(pk=release_id))
    release = Release.objects.select_related("adapter__tenant", "version").get(pk=release_id)
    canary = Canary.objects.filter(release=release).first()
    if canary is None or release.state != ReleaseState.PENDING:
        raise NoCanary(f"{release.adapter.name}: the release is {release.state}.", hint="Look at what serves now.")
    return release, canary


def _tell(
    name: str,
    release: Release,
    canary: Canary,
    actor: Actor,
    reason: str,
    *,
    before: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    record_event(
        name,
        tenant=release.adapter.tenant,
        subject=release,
        actor=actor,
        reason=reason,
        before=dict(before) if before else None,
        after={"percent": canary.percent},
        data={
            "id": release.public_id,
            "adapter": release.adapter.public_id,
            "version": release.version.public_id if release.version else None,
            "percent": canary.percent,
            **({"evidence": dict(evidence)} if evidence else {}),
        },
    )
