"""The way of a tier change, one step per call: prepared, traffic moved, proved along the published config, old gone.

Every step is taken from what is, so dying anywhere is repaired by the next call. Traffic tells the truth: the tenant is
on the new tier version from the moment in which the config with the new lines was current, and back on the old one from
the moment in which that was.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from aws.errors import AwsError, ModelError
from core.actors import SYSTEM
from core.clock import now, real_now
from core.crashpoints import boundary
from core.states import move
from models_registry.queries import WantedRelease
from provisioning import queries
from provisioning.models import ManagedResource, PublishedConfig, TierChange
from provisioning.queries import Standing
from provisioning.runtime_config import targets_of
from provisioning.services import probing
from provisioning.services.desired_state import Wishes
from provisioning.services.tier_changes import leftovers, needed_slots, turn_back
from provisioning.specs import BASE_COMPONENT
from provisioning.states import CHANGE_MOVES, SERVING, ChangeState
from tenants.models import Tenant
from tenants.services.tiers import assign_tier

# As long as AWS may be out of reach right after traffic moved, before traffic goes back to where it was answered.
PATIENCE = timedelta(minutes=5)
# A line's name and the account where a tenant has it; empty for ours.
LinePlace = tuple[str, str]


def prepare(tenant: Tenant, wishes: Wishes, wanted: Sequence[WantedRelease], refused: Mapping[int, str]) -> bool:
    """Let traffic go to the new lines once everything there serves and answers; turn back when something cannot.
    Whether either was decided.

    `refused` are components by pk whose adapter has no effect, with the reason. Raises AwsError when a component cannot
    be asked now: the next look asks again.
    """
    change = wishes.standing.change
    if change is None or change.state != ChangeState.PREPARING:
        return False
    needed = needed_slots(tenant, wishes.standing.by_version[change.to_version_id], wanted)
    rows = [wishes.rows[slot] for slot in needed if slot in wishes.rows]
    trouble = _trouble(rows, [row for row in wishes.blocked if row.slot in needed], refused)
    if not trouble and (len(rows) < len(needed) or not all(_serves(row) for row in rows)):
        return False
    trouble = trouble or _ask(rows)
    with boundary("commit tier change prepared"):
        if trouble:
            _turn_back(change, trouble)
        else:
            _move(change, ChangeState.CUTTING_OVER, prepared_at=now())
    return True


def follow(tenant: Tenant) -> None:
    """Draw the consequences of where traffic is now: whose tier version it is, and what may go.

    Raises AwsError when the new lines cannot be asked now.
    """
    standing = queries.standing_of(tenant.pk)
    change = standing.change
    if change is None:
        return
    match change.state:
        case ChangeState.CUTTING_OVER:
            _follow_forward(change, standing)
        case ChangeState.REMOVING:
            _finish(change, ChangeState.DONE)
        case ChangeState.RETURNING:
            _follow_back(change, standing)


def abandon(tenant: Tenant) -> None:
    """The tenant leaves: whatever its change has made goes with everything else."""
    change = queries.open_change(tenant.pk)
    if change is not None:
        with boundary("commit tier change abandoned"), transaction.atomic(durable=True):
            fresh = _locked(change)
            if fresh is not None:
                if fresh.state == ChangeState.RETURNING:
                    fresh.detail = f"{fresh.detail} The tenant leaves."
                move(
                    fresh,
                    to=ChangeState.RETURNED,
                    table=CHANGE_MOVES,
                    detail=fresh.detail or "The tenant leaves.",
                    ended_at=now(),
                )


# --- forward ----------------------------------------------------------------------------------------------------
def _follow_forward(change: TierChange, standing: Standing) -> None:
    config = _config_without(change, _only_on(standing, change.from_version_id))
    if config is None:
        return
    _record_the_turn(change, standing, otherwise=now())
    try:
        trouble = _ask_along(config)
    except AwsError as error:
        if change.cut_over_at is None or now() - change.cut_over_at < PATIENCE:
            raise
        trouble = f"The new lines could not be asked for {PATIENCE}: {error}"
    with boundary("commit cut-over proved"):
        if trouble:
            _turn_back(change, trouble)
        else:
            _move(change, ChangeState.REMOVING, drain_until=_drained())


def _record_the_turn(change: TierChange, standing: Standing, *, otherwise: datetime | None) -> None:
    """The tenant is on the new version since traffic moved; `otherwise` when no route had to move at all."""
    at = change.cut_over_at or _moved_at(change, _only_on(standing, change.to_version_id)) or otherwise
    if at is None:
        return
    with boundary("commit tier assigned"):
        assign_tier(
            tenant_id=change.tenant_id, tier_version_id=change.to_version_id, at=at, reason=change.reason, actor=SYSTEM
        )
    with boundary("commit cut over"):
        _note(change, cut_over_at=at)


def _moved_at(change: TierChange, only_new: Collection[LinePlace]) -> datetime | None:
    """When data planes were first told to use what only the new lines have, in this try."""
    written = PublishedConfig.objects.filter(tenant_id=change.tenant_id, written_at__gte=change.prepared_at or now())
    for config in written.order_by("version"):
        if not _routed(config).isdisjoint(only_new):
            return config.written_at
    return None


def _ask_along(config: PublishedConfig) -> str:
    """Ask every route as a kit would; what does not answer, or nothing. A suspended tenant's routes answer nobody."""
    names = {target.component for _, _, target in targets_of(config.document) if target.component}
    return _ask(list(ManagedResource.objects.filter(name__in=names).order_by("pk")))


# --- back -------------------------------------------------------------------------------------------------------
def _follow_back(change: TierChange, standing: Standing) -> None:
    if change.drain_until is None:
        if change.cut_over_at is None:
            # Traffic may have moved before somebody cancelled: then the tenant was on the new tier for that while.
            _record_the_turn(change, standing, otherwise=None)
        config = _config_without(change, _only_on(standing, change.to_version_id))
        if config is None:
            return
        if change.cut_over_at is not None:
            with boundary("commit tier assigned back"):
                assign_tier(
                    tenant_id=change.tenant_id,
                    tier_version_id=change.from_version_id,
                    at=max(config.written_at or now(), change.cut_over_at),
                    reason=change.detail,
                    actor=SYSTEM,
                )
        with boundary("commit traffic back"):
            _note(change, drain_until=_drained() if change.cut_over_at else real_now())
    _finish(change, ChangeState.RETURNED)


# --- both -------------------------------------------------------------------------------------------------------
def _finish(change: TierChange, to: ChangeState) -> None:
    """End the change once requests under way have ended and what should go has gone."""
    if change.is_draining or leftovers(change):
        return
    with boundary("commit tier change ended"):
        _move(change, to, ended_at=now())


def _config_without(change: TierChange, left: Collection[LinePlace]) -> PublishedConfig | None:
    """The config that data planes follow, if it routes to none of the lines that traffic is to leave."""
    config = queries.current_config(change.tenant_id)
    if config is None or config.written_at is None:
        return None
    return config if _routed(config).isdisjoint(left) else None


def _routed(config: PublishedConfig) -> set[LinePlace]:
    """Lines and accounts that a config routes to."""
    told = [target for _, _, target in targets_of(config.document)]
    return {(target.line, target.account if target.role_arn else "") for target in told}


def _only_on(standing: Standing, version_id: int) -> set[LinePlace]:
    """The lines, with the account where the tenant has them, that one version of a change has and the other has not."""
    named = {version: {(line.name, line.account) for line in lines} for version, lines in standing.by_version.items()}
    return named.pop(version_id).difference(*named.values())


def _trouble(rows: Sequence[ManagedResource], blocked: Sequence[ManagedResource], refused: Mapping[int, str]) -> str:
    stuck = [row for row in [*rows, *blocked] if row.stuck_reason]
    said = [f"{row.get_kind_display()} {row.name}: {row.detail}{_request(row)}" for row in stuck]
    said += [f"{row.get_kind_display()} {row.name}: {refused[row.pk]}" for row in rows if row.pk in refused]
    return "; ".join(said)


def _request(row: ManagedResource) -> str:
    return f" (request {row.last_request_id})" if row.last_request_id else ""


def _serves(row: ManagedResource) -> bool:
    return row.phase in SERVING and (row.adapter_version_id is None or row.probed_at is not None)


def _ask(rows: Sequence[ManagedResource]) -> str:
    """Ask base components and adapters one short question each; what a container refuses, or nothing.

    Raises the AwsErrors that say nothing about the container.
    """
    for row in rows:
        if row.kind == BASE_COMPONENT or row.adapter_version_id is not None:
            try:
                probing.answer_of(row)
            except ModelError as error:
                return f"{row.name} does not answer: {error.answer or error.message}"
    return ""


def _drained() -> datetime:
    return real_now() + timedelta(seconds=settings.ENV.drain_seconds)


def _turn_back(change: TierChange, detail: str) -> None:
    with transaction.atomic(durable=True):
        fresh = _locked(change)
        if fresh is not None and fresh.state == change.state:
            turn_back(fresh, detail=detail, is_cancelled=False)


def _move(change: TierChange, to: ChangeState, **columns: Any) -> None:
    """Move on unless somebody else has moved the change meanwhile: a cancel wins, and the next look sees it."""
    with transaction.atomic(durable=True):
        fresh = _locked(change)
        if fresh is not None and fresh.state == change.state:
            move(fresh, to=to, table=CHANGE_MOVES, **columns)


def _note(change: TierChange, **columns: Any) -> None:
    with transaction.atomic(durable=True):
        fresh = _locked(change)
        if fresh is not None and fresh.state == change.state:
            TierChange.objects.filter(pk=fresh.pk).update(**columns)
            for name, value in columns.items():
                setattr(change, name, value)


def _locked(change: TierChange) -> TierChange | None:
    """The open change as it is now, the tenant locked first as everywhere."""
    Tenant.objects.select_for_update(no_key=True).get(pk=change.tenant_id)
    return queries.open_change(change.tenant_id)
