"""What should serve from when: wishes from people, and what provisioning found to be true.

A wish becomes live only when the data plane has been told to route to it; the served intervals are written then, so
that the ledger tells what answered, not what somebody wanted.
"""

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Exists, OuterRef

from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.prepared import insert, run
from core.states import move
from events.record import record_event
from models_registry.canary import Plan, errors_of
from models_registry.models import Adapter, AdapterVersion, Canary, CanaryInterval, Release, ServedInterval
from models_registry.queries import newest_release, previous_served
from models_registry.services.adapters import lock_adapter, refuse_leaving
from models_registry.services.approvals import refuse_unapproved
from models_registry.services.retirement import refuse_retired
from models_registry.states import RELEASE_MOVES, ReleaseState, VersionState

_OPEN = (ReleaseState.PENDING, ReleaseState.LIVE)
_TAKE_SEQUENCE = (
    "UPDATE models_registry_adapter SET next_sequence = next_sequence + 1 WHERE id = %s RETURNING next_sequence - 1"
)


class VersionNotReady(Conflict):
    """Only a version that passed the gate and is not archived can be released."""

    code = "version_not_ready"
    title = "The version cannot be released"


class NothingToRollBackTo(Conflict):
    """No earlier version has served, so there is nothing to go back to."""

    code = "nothing_to_roll_back_to"
    title = "Nothing to roll back to"


class NothingReleased(Conflict):
    """There is no release that could be withdrawn."""

    code = "nothing_released"
    title = "Nothing is released"


class PlanInvalid(Invalid):
    """The plan of a release in steps makes no sense."""

    code = "plan_invalid"
    title = "The plan cannot be followed"


class NothingToCompareWith(Conflict):
    """A release in steps shares the requests with what serves now, and nothing does."""

    code = "nothing_to_compare_with"
    title = "Nothing to compare with"


def release_version(
    *, version_id: int, reason: str, plan: Plan | None = None, decided_at: datetime | None = None, actor: Actor
) -> Release:
    """Wish that a version serves; it goes live when provisioning has proved it. Answers the release.

    With a `plan` it gets its shares of the requests first, and goes live after the last one. Quiet when the newest wish
    is for this version already. A decision that may be carried out more than once says when it was made, `decided_at`:
    whatever was wished of the adapter since then stands. Raises VersionNotReady, VersionRetired, VersionNotApproved,
    TenantLeaving, PlanInvalid, and NothingToCompareWith for a plan while nothing serves.
    """
    _refuse_bad_plan(plan)
    with transaction.atomic(durable=True):
        adapter = _lock(AdapterVersion.objects.values_list("adapter_id", flat=True).get(pk=version_id))
        version = AdapterVersion.objects.select_related("replacement").get(pk=version_id)
        newest = newest_release(adapter.pk)
        if newest is not None and decided_at is not None and newest.requested_at >= decided_at:
            newest.adapter = adapter
            return newest
        if newest is None or newest.version_id != version.pk:
            _refuse_unready(adapter, version)
            refuse_retired(adapter, version)
            refuse_unapproved(adapter, version, has_served=False)
            if plan is not None and adapter.live_version_id is None:
                raise NothingToCompareWith(
                    f"Nothing of {adapter.name} serves now.", hint="Release it without a plan: all requests at once."
                )
        if version.pk == adapter.live_version_id:
            plan = None  # there is no other version to share with
        return _wish(adapter, newest, version, Release.Kind.RELEASE, reason, actor, plan)


def roll_back(*, adapter_id: int, to_version_id: int | None = None, reason: str, actor: Actor) -> Release:
    """Wish that an earlier version serves again: the named one, or the one that served before.

    While a newer release is still on its way, "before" is the version that is live now. Quiet when the newest wish is
    for that version already, and when a roll back is on its way and none other is named: two people who press the
    button at once want the same. Seven statements: a lock, two reads, and four rows written. Raises
    NothingToRollBackTo, VersionNotReady, VersionNotApproved and TenantLeaving; a retired version may serve again.
    """
    with transaction.atomic(durable=True):
        adapter = _lock(adapter_id)
        newest = newest_release(adapter.pk)
        version, has_served = (
            _earlier(adapter, newest) if to_version_id is None else _of_adapter(adapter, to_version_id)
        )
        if newest is None or newest.version_id != version.pk:
            _refuse_unready(adapter, version)
            refuse_unapproved(adapter, version, has_served=has_served)
        return _wish(adapter, newest, version, Release.Kind.ROLL_BACK, reason, actor)


def withdraw(*, adapter_id: int, reason: str, actor: Actor) -> Release:
    """Wish that no version of the adapter serves. Raises NothingReleased when none does or is about to."""
    with transaction.atomic(durable=True):
        adapter = _lock(adapter_id)
        newest = newest_release(adapter.pk)
        if newest is None:
            raise NothingReleased(f"Nothing of {adapter.name} is released.")
        return _wish(adapter, newest, None, Release.Kind.WITHDRAW, reason, actor)


def record_live(*, release_ids: Collection[int], at: datetime, actor: Actor) -> list[Release]:
    """Provisioning says: since `at` the data plane routes to these releases. Answers those that became live now.

    Closes what served before, opens the new interval, and supersedes every older release. One that was overtaken by a
    newer live release is superseded itself. Quiet for what is live already.
    """
    return _record(release_ids, at, actor, withdrawn=False)


def record_withdrawn(*, release_ids: Collection[int], at: datetime, actor: Actor) -> list[Release]:
    """Provisioning says: since `at` nothing is routed to the adapters of these withdrawals any more."""
    return _record(release_ids, at, actor, withdrawn=True)


def refuse(*, release_id: int, code: str, detail: str, evidence: dict[str, Any], actor: Actor) -> Release:
    """Provisioning says: this release was not made live, and why; what served before goes on. Quiet unless pending."""
    with transaction.atomic(durable=True):
        release = Release.objects.select_related("adapter__tenant").get(pk=release_id)
        _lock_row(release.adapter_id)
        release.refresh_from_db(fields=["state"])
        if release.state == ReleaseState.PENDING:
            changes = {"refusal_code": code, "refusal_detail": detail, "evidence": evidence}
            move(release, to=ReleaseState.REFUSED, table=RELEASE_MOVES, **changes)
            record_event(
                "adapter.release_refused",
                tenant=release.adapter.tenant,
                subject=release,
                actor=actor,
                reason=detail,
                after={"code": code},
                data={"id": release.public_id, "adapter": release.adapter.public_id, "code": code},
            )
    return release


def end_serving(*, tenant_id: int, at: datetime, actor: Actor) -> int:
    """A departed tenant's routes are gone since `at`: close every open interval. Answers how many there were."""
    with transaction.atomic(durable=True):
        adapters = list(Adapter.objects.filter(tenant_id=tenant_id).order_by("pk").select_for_update(no_key=True))
        ended = 0
        for adapter in adapters:
            ended += _close_served(adapter, at)
            for release in Release.objects.filter(adapter=adapter, state__in=_OPEN):
                move(release, to=ReleaseState.SUPERSEDED, table=RELEASE_MOVES)
            if adapter.live_version_id is not None:
                Adapter.objects.filter(pk=adapter.pk).update(live_version=None)
                record_event("adapter.withdrawn", tenant=adapter.tenant, subject=adapter, actor=actor)
    return ended


def follow_traffic(*, tenant_id: int, is_routed: bool, at: datetime) -> int:
    """Since `at` data planes route to this tenant again, or (suspended) not any more: keep what served when true.

    Withdrawn traffic closes every open interval; the releases stay live and get a new one when it is back. Answers how
    many intervals that touched; quiet when the ledger says so already.
    """
    with transaction.atomic(durable=True):
        touched = 0
        for adapter in Adapter.objects.filter(tenant_id=tenant_id).order_by("pk").select_for_update(no_key=True):
            touched += _reopen_served(adapter, at) if is_routed else _close_served(adapter, at)
    return touched


def _reopen_served(adapter: Adapter, at: datetime) -> int:
    """Open an interval for the live release of an adapter that has none open; inside the transaction."""
    if ServedInterval.objects.filter(adapter=adapter, during__endswith__isnull=True).exists():
        return 0
    live = Release.objects.filter(adapter=adapter, state=ReleaseState.LIVE).exclude(version=None).first()
    if live is None or live.version_id is None:
        return 0
    start = _after_last_start(adapter, at)
    ServedInterval.objects.create(
        adapter=adapter, version_id=live.version_id, release=live, during=DateTimeTZRange(start, None, "[)")
    )
    return 1


def _refuse_unready(adapter: Adapter, version: AdapterVersion) -> None:
    """Raises VersionNotReady for a version that has not passed the gate or is archived."""
    if version.state != VersionState.READY:
        hint = "Restore it first." if version.state == VersionState.ARCHIVED else "Release a version that is ready."
        raise VersionNotReady(f"Version {version} of {adapter.name} is {version.state}.", hint=hint)


def _wish(
    adapter: Adapter,
    newest: Release | None,
    version: AdapterVersion | None,
    kind: Release.Kind,
    reason: str,
    actor: Actor,
    plan: Plan | None = None,
) -> Release:
    """Write a release down, unless the newest wish is the same; inside the caller's transaction and adapter lock.

    A wish that is still on its way ends with it: should the newer one be refused, what serves now goes on, and not
    what nobody wants any more.
    """
    if newest is not None and newest.version_id == (version.pk if version else None):
        newest.adapter = adapter
        return newest
    if newest is not None and newest.state == ReleaseState.PENDING:
        move(newest, to=ReleaseState.SUPERSEDED, table=RELEASE_MOVES)
    release = Release(
        adapter=adapter,
        version=version,
        kind=kind,
        sequence=_take_sequence(adapter.pk),
        reason=reason,
        requested_by=actor.name,
    )
    insert(release)
    if plan is None:
        # Known, so that whoever shows the release does not ask.
        Release._meta.get_field("canary").set_cached_value(release, None)
    else:
        Canary.objects.create(release=release, **{**asdict(plan), "steps": list(plan.steps)})
    record_event(
        _REQUESTED[kind],
        tenant=adapter.tenant,
        subject=release,
        actor=actor,
        reason=reason,
        after={"adapter": adapter.public_id, "version": version.number if version else None}
        | ({"steps": list(plan.steps)} if plan is not None else {}),
    )
    return release


_REQUESTED = {
    Release.Kind.RELEASE: "adapter.release_requested",
    Release.Kind.ROLL_BACK: "adapter.roll_back_requested",
    Release.Kind.WITHDRAW: "adapter.withdraw_requested",
}
_DONE = {
    Release.Kind.RELEASE: "adapter.released",
    Release.Kind.ROLL_BACK: "adapter.rolled_back",
    Release.Kind.WITHDRAW: "adapter.withdrawn",
}


def _earlier(adapter: Adapter, newest: Release | None) -> tuple[AdapterVersion, bool]:
    """What a roll back without a name goes back to, and whether it has served."""
    live_id = adapter.live_version_id
    if newest is not None and (newest.kind, newest.state) == (Release.Kind.ROLL_BACK, ReleaseState.PENDING):
        if newest.version is not None:
            return newest.version, True
    elif live_id is not None and newest is not None and newest.version_id != live_id:
        return AdapterVersion.objects.get(pk=live_id), True
    else:
        interval = previous_served(adapter.pk, live_id)
        if interval is not None:
            return interval.version, True
    raise NothingToRollBackTo(
        f"No earlier version of {adapter.name} has served.", hint="Release the version that you want instead."
    )


def _of_adapter(adapter: Adapter, version_id: int) -> tuple[AdapterVersion, bool]:
    has_served = Exists(ServedInterval.objects.filter(version=OuterRef("pk")))
    version = AdapterVersion.objects.annotate(has_served=has_served).filter(pk=version_id, adapter=adapter).first()
    if version is None:
        raise NothingToRollBackTo(f"That version is not one of {adapter.name}.")
    return version, version.has_served


def _record(release_ids: Collection[int], at: datetime, actor: Actor, *, withdrawn: bool) -> list[Release]:
    became: list[Release] = []
    with transaction.atomic(durable=True):
        wanted = Release.objects.filter(pk__in=release_ids)
        adapter_ids = wanted.values_list("adapter_id", flat=True)
        adapters = Adapter.objects.filter(pk__in=adapter_ids).order_by("pk").select_for_update(no_key=True)
        for adapter in adapters:
            for release in wanted.filter(adapter=adapter).select_related("version").order_by("sequence"):
                if (release.version_id is None) != withdrawn:
                    raise ValueError(f"{release.public_id} is a {release.kind}: the other recording service takes it")
                if release.state == ReleaseState.PENDING and _go_live(adapter, release, at, actor):
                    became.append(release)
    return became


def _go_live(adapter: Adapter, release: Release, at: datetime, actor: Actor) -> bool:
    """Make one pending release the live one; inside the transaction, with the adapter locked."""
    overtaken = Release.objects.filter(adapter=adapter, state=ReleaseState.LIVE, sequence__gt=release.sequence)
    if overtaken.exists():
        move(release, to=ReleaseState.SUPERSEDED, table=RELEASE_MOVES)
        return False
    at = _after_last_start(adapter, at)
    _close_served(adapter, at)
    older = Release.objects.filter(adapter=adapter, state__in=_OPEN, sequence__lt=release.sequence)
    for superseded in older:
        move(superseded, to=ReleaseState.SUPERSEDED, table=RELEASE_MOVES)
    move(release, to=ReleaseState.LIVE, table=RELEASE_MOVES, live_at=at)
    if release.version is not None:
        ServedInterval.objects.create(
            adapter=adapter, version=release.version, release=release, during=DateTimeTZRange(at, None, "[)")
        )
    before = adapter.live_version
    adapter.live_version = release.version
    Adapter.objects.filter(pk=adapter.pk).update(live_version=release.version)
    record_event(
        _DONE[Release.Kind(release.kind)],
        tenant=adapter.tenant,
        subject=release,
        actor=actor,
        reason=release.reason,
        before=_named(before),
        after=_named(release.version),
        data={"id": release.public_id, "adapter": adapter.public_id} | (_named(release.version) or {}),
    )
    return True


def _named(version: AdapterVersion | None) -> dict[str, Any] | None:
    return {"version": version.public_id, "number": version.number} if version else None


def _after_last_start(adapter: Adapter, at: datetime) -> datetime:
    """`at`, or just after the last interval's start when clocks of two workers disagree: no interval is empty."""
    last = ServedInterval.objects.filter(adapter=adapter).order_by("-during").first()
    if last is None:
        return at
    earliest: datetime = last.during.upper or last.during.lower + timedelta(microseconds=1)
    return max(at, earliest)


def _close_served(adapter: Adapter, at: datetime) -> int:
    return close_open(ServedInterval, adapter, at) + close_open(CanaryInterval, adapter, at)


def close_open(intervals: type[ServedInterval] | type[CanaryInterval], adapter: Adapter, at: datetime) -> int:
    """End an adapter's open intervals; how many there were. Inside the caller's transaction and adapter lock."""
    closed = 0
    for interval in intervals._default_manager.filter(adapter=adapter, during__endswith__isnull=True):
        # Clocks of two workers may disagree; an interval is never empty.
        end = max(at, interval.during.lower + timedelta(microseconds=1))
        ended = DateTimeTZRange(interval.during.lower, end, "[)")
        closed += intervals._default_manager.filter(pk=interval.pk).update(during=ended)
    return closed


def _refuse_bad_plan(plan: Plan | None) -> None:
    errors = [FieldError(f"/plan/{field}", "invalid", told) for field, told in (errors_of(plan) if plan else [])]
    if errors:
        raise PlanInvalid(" ".join(error.detail for error in errors), errors=errors)


def _lock(adapter_id: int) -> Adapter:
    """The adapter, locked, of a tenant that stays; the tenant is locked first, as everywhere."""
    adapter = lock_adapter(adapter_id)
    refuse_leaving(adapter.tenant)
    return adapter


def _lock_row(adapter_id: int) -> None:
    Adapter.objects.select_for_update(no_key=True).get(pk=adapter_id)


def _take_sequence(adapter_id: int) -> int:
    ((taken,),) = run(_TAKE_SEQUENCE, [adapter_id])
    return int(taken)
