"""Operations: what people follow. Opened, stepped and ended from the facts; nothing waits on them.

A step is done when its resource or service is; what was done stays done, also when the resource goes later. What people
do to an operation (retry, cancel, hold) is in `operation_control`.
"""

from collections.abc import Iterable, Iterator, Sequence

from django.db import transaction
from django.db.models import QuerySet

from core.actors import SYSTEM
from core.clock import now, real_now
from core.crashpoints import boundary
from core.locks import advisory_lock
from core.states import move
from events.queries import search_events
from events.record import record_event
from models_registry.models import Release
from models_registry.states import ReleaseState
from provisioning import queries
from provisioning.models import ManagedResource, Operation, PublishedConfig, TierChange
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.services.operation_steps import steps_of, write_steps
from provisioning.states import OPERATION_MOVES, ChangeState, OperationState, StuckReason
from tenants.models import Tenant
from tenants.states import TenantState

Kind = Operation.Kind
OPEN = (OperationState.RUNNING, OperationState.FAILED)
# The event by which somebody asked for it.
_ASKED = {
    Kind.ONBOARD: "tenant.signed_up",
    Kind.SUSPEND: "tenant.suspended",
    Kind.RESUME: "tenant.resumed",
    Kind.OFFBOARD: "tenant.offboarding_started",
}


def open_missing(*, tenant_id: int) -> tuple[Tenant, list[Operation]]:
    """Open the operations that the facts ask for, before the facts change: a suspension that is done asks for none.

    Gives the tenant as it is then, and all of its operations that are open.
    """
    with boundary("commit open operations"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        there = list(Operation.objects.filter(tenant=tenant, state__in=OPEN))
        return tenant, [*there, *_open_missing(tenant, there, queries.current_config(tenant_id))]


def is_held(tenant: Tenant, operations: Iterable[Operation]) -> bool:
    """Whether nothing more may be begun for a tenant: one of its open operations is on hold.

    A suspension and a departure go on, because traffic must not flow when it should not; a held departure waits.
    """
    goes_on = tenant.state in (TenantState.SUSPENDED, TenantState.OFFBOARDING)
    return any(each.is_held and (each.kind == Kind.OFFBOARD or not goes_on) for each in operations)


def refresh(*, tenant_id: int, trouble: str = "") -> None:
    """Bring the steps of open operations up to date, and end those that are over.

    `trouble` is what AWS said when the last look was held up; it is shown at what is still open.
    """
    with boundary("commit operations"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        config = queries.current_config(tenant_id)
        still_open = Operation.objects.filter(tenant=tenant, state__in=OPEN)
        still_open = still_open.select_related("release__version", "release__canary", "tier_change__tenant")
        for operation in still_open.order_by("pk"):
            refused = operation.release is not None and operation.release.state == ReleaseState.REFUSED
            returned = operation.tier_change is not None and operation.tier_change.state == ChangeState.RETURNED
            if operation.state == OperationState.FAILED and (refused or returned):
                continue
            write_steps(operation, steps_of(operation, tenant, config))
            _move_on(operation, tenant, config, trouble)


# --- opening ----------------------------------------------------------------------------------------------------
def _open_missing(tenant: Tenant, there: Sequence[Operation], config: PublishedConfig | None) -> Iterator[Operation]:
    status = config.document["status"] if config else ""
    wanted = {
        Kind.ONBOARD: tenant.state in (TenantState.PROVISIONING, TenantState.PROVISIONING_FAILED),
        Kind.SUSPEND: tenant.state == TenantState.SUSPENDED and status == "active",
        Kind.RESUME: tenant.state == TenantState.ACTIVE and status == "suspended",
        Kind.OFFBOARD: tenant.state == TenantState.OFFBOARDING,
    }
    for kind, is_wanted in wanted.items():
        if is_wanted and kind not in {each.kind for each in there}:
            asked = search_events(tenant_ids=[tenant.pk], name=_ASKED[kind]).first()
            yield _open(tenant, kind, f"{kind.label} {tenant.name}", None, asked.actor_name if asked else "")
    releases = Release.objects.filter(adapter__tenant=tenant, operations=None).exclude(state=ReleaseState.SUPERSEDED)
    for release in releases.select_related("adapter", "version").order_by("pk"):
        if release.version_id is not None:
            # Somebody asks for it anew: what failed before must not refuse it unasked.
            advisory_lock(WISHES_LOCK)
            stuck = ManagedResource.objects.filter(adapter_version_id=release.version_id).exclude(stuck_reason="")
            forget_failures(stuck)
        version = f" v{release.version.number}" if release.version else ""
        title = f"{release.get_kind_display()} {release.adapter.name}{version}"
        yield _open(tenant, Kind(release.kind), title, release, release.requested_by)


def _open(tenant: Tenant, kind: Operation.Kind, title: str, release: Release | None, started_by: str) -> Operation:
    operation = Operation.objects.create(
        tenant=tenant, kind=kind, title=title[:200], release=release, started_by=started_by
    )
    record_event("operation.started", tenant=tenant, subject=operation, actor=SYSTEM, after={"kind": kind})
    return operation


def forget_failures(rows: QuerySet[ManagedResource]) -> None:
    """Look again now; a gone incarnation that failed stops standing in the way of a new one."""
    rows.update(stuck_reason=StuckReason.NONE, failed_digest="", failures=0, attempts=0, look_again_at=real_now())


# --- ending -----------------------------------------------------------------------------------------------------
def _move_on(operation: Operation, tenant: Tenant, config: PublishedConfig | None, trouble: str) -> None:
    to, detail = _judge(operation, tenant, config)
    detail = detail or trouble
    if to == operation.state:
        if detail != operation.detail:
            Operation.objects.filter(pk=operation.pk).update(detail=detail)
        return
    ended = now() if to != OperationState.RUNNING else None
    move(operation, to=to, table=OPERATION_MOVES, detail=detail, finished_at=ended)
    if to == OperationState.SUCCEEDED:
        operation.steps.filter(done_at=None).update(done_at=ended)
    if to in _TOLD:
        record_event(_TOLD[to], tenant=tenant, subject=operation, actor=SYSTEM, reason=detail)


_TOLD = {
    OperationState.SUCCEEDED: "operation.succeeded",
    OperationState.FAILED: "operation.failed",
    OperationState.CANCELLED: "operation.cancelled",
}


def _judge(operation: Operation, tenant: Tenant, config: PublishedConfig | None) -> tuple[OperationState, str]:
    """How the operation stands by the facts, and why."""
    if operation.release is not None:
        return _judge_release(operation.release)
    if operation.tier_change is not None:
        return _judge_change(operation.tier_change, tenant)
    if operation.kind == Kind.OFFBOARD:
        return (OperationState.SUCCEEDED if tenant.state == TenantState.OFFBOARDED else OperationState.RUNNING), ""
    if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED):
        return OperationState.SUPERSEDED, "The tenant leaves."
    if operation.kind == Kind.ONBOARD:
        return _ONBOARDING.get(TenantState(tenant.state), OperationState.SUCCEEDED), tenant.state_reason
    followed = config.document["status"] if config else ""
    wanted = {Kind.SUSPEND: (TenantState.SUSPENDED, "suspended"), Kind.RESUME: (TenantState.ACTIVE, "active")}
    state, status = wanted[Kind(operation.kind)]
    if tenant.state != state:
        return OperationState.SUPERSEDED, "The opposite was asked for."
    if operation.kind == Kind.SUSPEND and queries.is_put_away(tenant):
        status = "" if ManagedResource.objects.filter(tenant=tenant).living().exists() else status
    return (OperationState.SUCCEEDED if followed == status else OperationState.RUNNING), ""


_ONBOARDING = {
    TenantState.PROVISIONING: OperationState.RUNNING,
    TenantState.PROVISIONING_FAILED: OperationState.FAILED,
}


def _judge_change(change: TierChange, tenant: Tenant) -> tuple[OperationState, str]:
    match change.state:
        case ChangeState.DONE:
            return OperationState.SUCCEEDED, ""
        case ChangeState.RETURNED if change.is_cancelled:
            return OperationState.CANCELLED, change.detail
        case ChangeState.RETURNED if tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED):
            return OperationState.SUPERSEDED, "The tenant leaves."
        case ChangeState.RETURNED:
            return OperationState.FAILED, f"Back on {change.from_version}: {change.detail}"
        case ChangeState.RETURNING:
            return OperationState.RUNNING, f"Going back to {change.from_version}: {change.detail}"
    return OperationState.RUNNING, ""


def _judge_release(release: Release) -> tuple[OperationState, str]:
    if release.state == ReleaseState.REFUSED:
        request = release.evidence.get("request_id") if release.evidence else None
        asked = f" (request {request})" if request else ""
        return OperationState.FAILED, f"{release.refusal_code}: {release.refusal_detail}{asked}"
    if release.live_at is not None:
        return OperationState.SUCCEEDED, ""
    if release.state == ReleaseState.SUPERSEDED:
        return OperationState.SUPERSEDED, "A newer decision took its place."
    return OperationState.RUNNING, ""
