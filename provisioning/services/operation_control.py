"""What people do to an operation: try again, cancel and undo, hold and continue."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from core.actors import Actor
from core.clock import now, real_now
from core.errors import Conflict
from core.locks import advisory_lock
from core.states import move
from events.record import record_event
from models_registry.services import releases
from provisioning import queries
from provisioning.models import ManagedResource, Operation
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.services.operations import forget_failures
from provisioning.services.tier_changes import try_again, turn_back
from provisioning.states import OPERATION_MOVES, ChangeState, OperationState
from tenants.models import Tenant
from tenants.services import lifecycle, offboarding

Kind = Operation.Kind


class NotRetryable(Conflict):
    """The operation has ended; a new one is needed."""

    code = "operation_not_retryable"
    title = "The operation cannot be retried"


class NotCancellable(Conflict):
    """Too late, or there is nothing to go back to."""

    code = "operation_not_cancellable"
    title = "The operation cannot be cancelled"


class NotHoldable(Conflict):
    """It has ended, waits already, or is over in one step."""

    code = "operation_not_holdable"
    title = "The operation cannot be held"


class NotHeld(Conflict):
    """Nobody told it to wait."""

    code = "operation_not_held"
    title = "The operation is not on hold"


def retry_operation(*, operation_id: int, actor: Actor) -> Operation:
    """Look again now, and send again what failed: clears what the operation's resources are stuck on.

    A tier change that went back goes forward again. Raises NotRetryable for an operation that has ended or whose
    release was refused.
    """
    with transaction.atomic(durable=True):
        operation = _locked(operation_id)
        if not operation.is_retryable:
            raise NotRetryable(
                f"The operation has {operation.get_state_display().lower()}.", hint="Start a new one instead."
            )
        advisory_lock(WISHES_LOCK)
        slots = operation.steps.filter(resource__isnull=False).values("resource__slot")
        forget_failures(ManagedResource.objects.filter(slot__in=slots))
        change = operation.tier_change
        if change is not None and change.state == ChangeState.RETURNED:
            try_again(change)
            operation.steps.all().delete()  # it goes the whole way again
        if operation.state == OperationState.FAILED:
            move(operation, to=OperationState.RUNNING, table=OPERATION_MOVES, detail="", finished_at=None)
        record_event("operation.retried", tenant=operation.tenant, subject=operation, actor=actor)
    return operation


def cancel_operation(*, operation_id: int, reason: str, actor: Actor) -> Operation:
    """Undo what was done so far by the opposite deed, and end the operation as cancelled.

    A tier change goes back to the old tier, a release to the version that is live (or to none), a suspension is
    resumed and a resumption suspended, and an onboarding becomes a departure. Raises NotCancellable with the reason.
    """
    operation = Operation.objects.select_related("tenant", "release__adapter", "tier_change").get(pk=operation_id)
    _refuse_cancelling(operation)
    if operation.tier_change is not None:
        return _cancel_change(operation_id, reason, actor)
    _UNDO[Kind(operation.kind)](operation, f"Cancelled: {reason}", actor)
    with transaction.atomic(durable=True):
        operation = _locked(operation_id)
        if operation.is_open:
            detail = f"Cancelled by {actor.name}: {reason}"
            move(operation, to=OperationState.CANCELLED, table=OPERATION_MOVES, detail=detail, finished_at=now())
            _tell("operation.cancelled", operation, actor, reason)
    return operation


def hold_operation(*, operation_id: int, reason: str, actor: Actor) -> Operation:
    """Begin nothing more for its tenant until somebody continues it; what AWS was asked for already ends.

    A suspension or a departure of the tenant is not held up by it, unless it is the departure that is held.
    Raises NotHoldable.
    """
    with transaction.atomic(durable=True):
        operation = _locked(operation_id)
        if not operation.is_holdable:
            raise NotHoldable(f"{operation.title} is {operation.get_state_display().lower()} and cannot wait.")
        operation.held_at, operation.held_by, operation.hold_reason = now(), actor.name, reason
        operation.save(update_fields=["held_at", "held_by", "hold_reason"])
        _tell("operation.held", operation, actor, reason)
    return operation


def continue_operation(*, operation_id: int, actor: Actor) -> Operation:
    """End the hold; the work goes on at once. Raises NotHeld."""
    with transaction.atomic(durable=True):
        operation = _locked(operation_id)
        if not operation.is_held:
            raise NotHeld(f"{operation.title} does not wait for anybody.")
        operation.held_at = None
        operation.save(update_fields=["held_at"])
        advisory_lock(WISHES_LOCK)
        ManagedResource.objects.filter(tenant=operation.tenant).living().update(look_again_at=real_now())
        _tell("operation.continued", operation, actor, operation.hold_reason)
    return operation


def _locked(operation_id: int) -> Operation:
    """The operation, its tenant locked first as everywhere."""
    tenant_id = Operation.objects.values_list("tenant_id", flat=True).get(pk=operation_id)
    Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
    related = ("tenant", "release", "tier_change__tenant")
    return Operation.objects.select_for_update(of=("self",), no_key=True).select_related(*related).get(pk=operation_id)


def _refuse_cancelling(operation: Operation) -> None:
    why = operation.why_not_cancellable
    if why:
        raise NotCancellable(f"{operation.title} cannot be cancelled.", hint=why)


def _cancel_change(operation_id: int, reason: str, actor: Actor) -> Operation:
    with transaction.atomic(durable=True):
        operation = _locked(operation_id)
        _refuse_cancelling(operation)
        change = queries.open_change(operation.tenant_id)
        if change is None:
            raise NotCancellable(f"{operation.title} has ended.")
        turn_back(change, detail=f"Cancelled by {actor.name}: {reason}", is_cancelled=True)
        operation.held_at = None  # going back must not wait
        operation.save(update_fields=["held_at"])
        _tell("operation.cancel_requested", operation, actor, reason)
    return operation


def _undo_release(operation: Operation, reason: str, actor: Actor) -> None:
    release = operation.release
    if release is None:
        raise ValueError(f"{operation.public_id} has no release")
    live = release.adapter.live_version_id
    if live is None:
        releases.withdraw(adapter_id=release.adapter_id, reason=reason, actor=actor)
    else:
        releases.roll_back(adapter_id=release.adapter_id, to_version_id=live, reason=reason, actor=actor)


def _undo_onboarding(operation: Operation, reason: str, actor: Actor) -> None:
    offboarding.begin_offboarding(tenant_id=operation.tenant_id, reason=reason, actor=actor)


def _undo_suspension(operation: Operation, reason: str, actor: Actor) -> None:
    lifecycle.resume_tenant(tenant_id=operation.tenant_id, reason=reason, actor=actor)


def _undo_resumption(operation: Operation, reason: str, actor: Actor) -> None:
    lifecycle.suspend_tenant(tenant_id=operation.tenant_id, reason=reason, actor=actor)


_UNDO: dict[Kind, Callable[[Operation, str, Actor], Any]] = {
    Kind.ONBOARD: _undo_onboarding,
    Kind.SUSPEND: _undo_suspension,
    Kind.RESUME: _undo_resumption,
    Kind.RELEASE: _undo_release,
    Kind.ROLL_BACK: _undo_release,
    Kind.WITHDRAW: _undo_release,
}


def _tell(name: str, operation: Operation, actor: Actor, reason: str) -> None:
    record_event(name, tenant=operation.tenant, subject=operation, actor=actor, reason=reason)
