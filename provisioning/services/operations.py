"""Operations: what people follow. Opened, stepped and ended from the facts; nothing waits on them.

A step is done when its resource or service is; what was done stays done, also when the resource goes later.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from core.actors import SYSTEM, Actor
from core.clock import now, real_now
from core.crashpoints import boundary
from core.errors import Conflict
from core.locks import advisory_lock
from core.states import move
from events.record import record_event
from models_registry.models import Release
from models_registry.states import ReleaseState
from provisioning import queries
from provisioning.desired import foundation_slots
from provisioning.models import ManagedResource, Operation, OperationStep, PublishedConfig
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.states import OPERATION_MOVES, OperationState, Phase, StuckReason
from tenants.models import OffboardingStep, Tenant
from tenants.states import TenantState

Kind = Operation.Kind
OPEN = (OperationState.RUNNING, OperationState.FAILED)
AT_WORK = (Phase.CREATING, Phase.UPDATING, Phase.DELETING)


class NotRetryable(Conflict):
    """The operation has ended; a new one is needed."""

    code = "operation_not_retryable"
    title = "The operation cannot be retried"


@dataclass(frozen=True, slots=True)
class _Step:
    key: str
    title: str
    is_done: bool
    resource: ManagedResource | None = None

    @property
    def kind(self) -> str:
        """What steps it can be compared with."""
        if self.resource is None:
            return self.key
        return f"{'delete' if self.key.startswith('delete ') else 'make'} {self.resource.kind}"

    def began_at(self, *, is_next: bool) -> datetime | None:
        """Since when its own work is under way, if it is: AWS works on its resource, or all before it is done."""
        if self.is_done:
            return None
        if self.resource is not None:
            return self.resource.phase_since if self.resource.phase in AT_WORK else None
        return now() if is_next else None


def open_missing(*, tenant_id: int) -> None:
    """Open the operations that the facts ask for, before the facts change: a suspension that is done asks for none."""
    with boundary("commit open operations"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        _open_missing(tenant, queries.current_config(tenant_id))


def refresh(*, tenant_id: int, trouble: str = "") -> None:
    """Bring the steps of open operations up to date, and end those that are over.

    `trouble` is what AWS said when the last look was held up; it is shown at what is still open.
    """
    with boundary("commit operations"), transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        config = queries.current_config(tenant_id)
        still_open = Operation.objects.filter(tenant=tenant, state__in=OPEN).select_related("release__version")
        for operation in still_open.order_by("pk"):
            refused = operation.release is not None and operation.release.state == ReleaseState.REFUSED
            if refused and operation.state == OperationState.FAILED:
                continue
            _write_steps(operation, _steps(operation, tenant, config))
            _move_on(operation, tenant, config, trouble)


def retry_operation(*, operation_id: int, actor: Actor) -> Operation:
    """Look again now, and send again what failed: clears what the operation's resources are stuck on.

    Raises NotRetryable for an operation that has ended or whose release was refused.
    """
    with transaction.atomic(durable=True):
        locked = Operation.objects.select_for_update(of=("self",), no_key=True).select_related("tenant", "release")
        operation = locked.get(pk=operation_id)
        if not operation.is_retryable:
            raise NotRetryable(
                f"The operation has {operation.get_state_display().lower()}.", hint="Start a new one instead."
            )
        advisory_lock(WISHES_LOCK)
        slots = operation.steps.filter(resource__isnull=False).values("resource__slot")
        _forget_failures(ManagedResource.objects.filter(slot__in=slots))
        if operation.state == OperationState.FAILED:
            move(operation, to=OperationState.RUNNING, table=OPERATION_MOVES, detail="", finished_at=None)
        record_event("operation.retried", tenant=operation.tenant, subject=operation, actor=actor)
    return operation


# --- opening ----------------------------------------------------------------------------------------------------
def _open_missing(tenant: Tenant, config: PublishedConfig | None) -> None:
    status = config.document["status"] if config else ""
    wanted = {
        Kind.ONBOARD: tenant.state in (TenantState.PROVISIONING, TenantState.PROVISIONING_FAILED),
        Kind.SUSPEND: tenant.state == TenantState.SUSPENDED and status == "active",
        Kind.RESUME: tenant.state == TenantState.ACTIVE and status == "suspended",
        Kind.OFFBOARD: tenant.state == TenantState.OFFBOARDING,
    }
    there = set(Operation.objects.filter(tenant=tenant, state__in=OPEN).values_list("kind", flat=True))
    for kind, is_wanted in wanted.items():
        if is_wanted and kind not in there:
            _open(tenant, kind, f"{kind.label} {tenant.name}", None)
    releases = Release.objects.filter(adapter__tenant=tenant, operations=None).exclude(state=ReleaseState.SUPERSEDED)
    for release in releases.select_related("adapter", "version").order_by("pk"):
        if release.version_id is not None:
            # Somebody asks for it anew: what failed before must not refuse it unasked.
            advisory_lock(WISHES_LOCK)
            stuck = ManagedResource.objects.filter(adapter_version_id=release.version_id).exclude(stuck_reason="")
            _forget_failures(stuck)
        version = f" v{release.version.number}" if release.version else ""
        title = f"{release.get_kind_display()} {release.adapter.name}{version}"
        _open(tenant, Kind(release.kind), title, release)


def _open(tenant: Tenant, kind: Operation.Kind, title: str, release: Release | None) -> None:
    operation = Operation.objects.create(tenant=tenant, kind=kind, title=title[:200], release=release)
    record_event("operation.started", tenant=tenant, subject=operation, actor=SYSTEM, after={"kind": kind})


def _forget_failures(rows: QuerySet[ManagedResource]) -> None:
    """Look again now; a gone incarnation that failed stops standing in the way of a new one."""
    rows.update(stuck_reason=StuckReason.NONE, failed_digest="", failures=0, attempts=0, look_again_at=real_now())


# --- steps ------------------------------------------------------------------------------------------------------
def _steps(operation: Operation, tenant: Tenant, config: PublishedConfig | None) -> list[_Step]:
    status = config.document["status"] if config else ""
    match operation.kind:
        case Kind.ONBOARD:
            return _onboarding(tenant, config)
        case Kind.SUSPEND:
            return [_Step("publish", "Withdraw traffic in the runtime config", status == "suspended")]
        case Kind.RESUME:
            return [_Step("publish", "Route traffic in the runtime config", status == "active")]
        case Kind.OFFBOARD:
            return _leaving(operation, tenant, status)
    return _releasing(operation)


def _onboarding(tenant: Tenant, config: PublishedConfig | None) -> list[_Step]:
    lines = [queries.line_facts(line) for line in queries.lines_of(tenant.pk)]
    slots = foundation_slots(tenant.public_id, lines)
    newest = {row.slot: row for row in ManagedResource.objects.filter(slot__in=slots).order_by("incarnation", "pk")}
    steps = []
    for slot in slots:
        row = newest.get(slot)
        if row is not None:
            shared = "" if row.tenant_id else "Shared "
            title = f"{shared}{row.get_kind_display()}".capitalize()
            steps.append(_Step(slot, title, row.phase in (Phase.READY, Phase.UPDATING), row))
    steps.append(_Step("publish", "Publish the runtime config", config is not None))
    steps.append(_Step("activate", "Activate the tenant", tenant.activated_at is not None))
    return steps


def _leaving(operation: Operation, tenant: Tenant, status: str) -> list[_Step]:
    steps = [_Step("withdraw", "Withdraw traffic in the runtime config", status in ("", "withdrawn"))]
    followed = set(operation.steps.values_list("resource_id", flat=True))
    for row in ManagedResource.objects.filter(tenant=tenant).order_by("-pk"):
        if row.phase != Phase.GONE or row.pk in followed:
            title = f"Delete {row.get_kind_display().lower()} {row.name}"
            steps.append(_Step(f"delete {row.name}", title, row.phase == Phase.GONE, row))
    for step in OffboardingStep.objects.filter(tenant=tenant):
        steps.append(_Step(step.key, step.get_key_display(), step.done_at is not None))
    return steps


def _releasing(operation: Operation) -> list[_Step]:
    release = operation.release
    if release is None:
        raise ValueError(f"{operation.public_id} is a {operation.kind} without a release")
    is_followed = release.live_at is not None
    title = "Route to it" if release.version_id else "Take the route away"
    route = _Step("route", f"{title} in the runtime config", is_followed)
    if release.version_id is None:
        return [route]
    rows = ManagedResource.objects.filter(adapter_version_id=release.version_id)
    row = rows.order_by("-incarnation", "-pk").first()
    is_loaded = row is not None and row.phase in (Phase.READY, Phase.UPDATING)
    is_proved = row is not None and row.probed_at is not None
    return [
        _Step("component", "Load the adapter beside what serves now", is_loaded or is_followed, row),
        _Step("probe", "Prove that the adapter takes effect", is_proved or is_followed),
        route,
    ]


def _write_steps(operation: Operation, steps: Iterable[_Step]) -> None:
    kept = {step.key: step for step in operation.steps.all()}
    is_next = True
    for position, step in enumerate(steps):
        row = kept.get(step.key)
        if row is None:
            row = OperationStep(operation=operation, key=step.key, title=step.title)
        resource_id = step.resource.pk if step.resource else None
        done_at = now() if step.is_done and row.done_at is None else row.done_at
        began_at = row.began_at or (None if row.done_at else step.began_at(is_next=is_next))
        is_next = is_next and step.is_done
        facts = (position, resource_id, step.kind, began_at, done_at)
        if row._state.adding or (row.position, row.resource_id, row.kind, row.began_at, row.done_at) != facts:
            row.position, row.resource_id, row.kind, row.began_at, row.done_at = facts
            row.save()


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


_TOLD = {OperationState.SUCCEEDED: "operation.succeeded", OperationState.FAILED: "operation.failed"}


def _judge(operation: Operation, tenant: Tenant, config: PublishedConfig | None) -> tuple[OperationState, str]:
    """How the operation stands by the facts, and why."""
    if operation.release is not None:
        return _judge_release(operation.release)
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
    return (OperationState.SUCCEEDED if followed == status else OperationState.RUNNING), ""


_ONBOARDING = {
    TenantState.PROVISIONING: OperationState.RUNNING,
    TenantState.PROVISIONING_FAILED: OperationState.FAILED,
}


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
