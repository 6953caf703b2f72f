"""One deed for many tenants: a dry run, then each tenant by itself, so that one refusal stops nobody else.

A few tier changes run at a time, because each has old and new resources side by side. Where it stands is in rows: a
worker that dies is repaired by the next sweep.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db import transaction

from core.actors import Actor
from core.clock import now
from core.errors import Conflict, DomainError, Invalid, NotFound
from core.locks import one_at_a_time
from events.record import record_event
from provisioning.models import BulkItem, BulkOperation
from provisioning.services.operation_control import retry_operation
from provisioning.services.tier_changes import ChangePlan, change_tier, plan_change
from provisioning.states import OperationState
from tenants.models import Tenant, TierVersion
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tenants.states import TenantState

Kind, State = BulkOperation.Kind, BulkItem.State
MOST_TENANTS = 500
# Tier changes at a time: each holds twice its resources until the old ones have gone.
MOST_AT_ONCE = 5
ENDED = (State.DONE, State.SKIPPED, State.FAILED)


class BulkInvalid(Invalid):
    """Nobody is chosen, too many are, or the deed is not complete."""

    code = "bulk_invalid"
    title = "The bulk operation cannot be used"


class NothingFailed(Conflict):
    """There is nothing to try again."""

    code = "nothing_failed"
    title = "Nothing failed"


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """What would become of one tenant: `change`, `skip` or `blocked`, and why. `plan` is a tier change's dry run."""

    tenant: Tenant
    outcome: str
    detail: str
    plan: ChangePlan | None = None


def plan_bulk(*, kind: str, tenant_ids: Collection[int], tier_version_id: int | None) -> list[PlannedItem]:
    """The dry run: what would become of each tenant; nothing is written. Raises BulkInvalid."""
    _refuse_unusable(kind, tenant_ids, tier_version_id)
    tenants = Tenant.objects.filter(pk__in=tenant_ids).order_by("name", "pk")
    return [_planned(kind, tenant, tier_version_id) for tenant in tenants]


def start_bulk(
    *, kind: str, tenant_ids: Collection[int], tier_version_id: int | None, reason: str, actor: Actor
) -> BulkOperation:
    """Write down the deed and its tenants; workers carry it out. Raises BulkInvalid."""
    _refuse_unusable(kind, tenant_ids, tier_version_id)
    with transaction.atomic(durable=True):
        bulk = BulkOperation.objects.create(
            kind=kind,
            tier_version_id=tier_version_id,
            reason=reason,
            started_by=actor.name,
            actor={"kind": actor.kind, "ref": actor.ref, "name": actor.name, "request_id": actor.request_id},
        )
        chosen = Tenant.objects.filter(pk__in=tenant_ids).order_by("pk").values_list("pk", flat=True)
        BulkItem.objects.bulk_create(BulkItem(bulk=bulk, tenant_id=tenant_id) for tenant_id in chosen)
        after = {"kind": kind, "tenants": len(chosen)}
        record_event("bulk_operation.started", tenant=None, subject=bulk, actor=actor, reason=reason, after=after)
    return bulk


def retry_failed(*, bulk_id: int, actor: Actor) -> BulkOperation:
    """Try again those that failed, and only those. Raises NothingFailed."""
    with transaction.atomic(durable=True):
        bulk = BulkOperation.objects.select_for_update(no_key=True, of=("self",)).get(pk=bulk_id)
        failed = bulk.items.filter(state=State.FAILED)
        count = failed.update(state=State.WAITING, code="", detail="", ended_at=None)
        if not count:
            raise NothingFailed("No tenant of this bulk operation failed.")
        BulkOperation.objects.filter(pk=bulk.pk).update(finished_at=None)
        record_event("bulk_operation.retried", tenant=None, subject=bulk, actor=actor, after={"tenants": count})
    bulk.refresh_from_db()
    return bulk


def advance_bulk_operations() -> int:
    """Take every open bulk operation as far as it goes now; how many ended."""
    open_ones = BulkOperation.objects.filter(finished_at=None).order_by("pk").values_list("pk", flat=True)
    return sum(advance_bulk(bulk_id=bulk_id) for bulk_id in open_ones)


def advance_bulk(*, bulk_id: int) -> bool:
    """Look at what is under way, begin what may begin, and end the whole when every tenant has its outcome."""
    with one_at_a_time(f"bulk operation {bulk_id}") as is_ours:
        if not is_ours:
            return False
        bulk = BulkOperation.objects.select_related("tier_version").get(pk=bulk_id)
        for item in bulk.items.filter(state=State.WORKING).select_related("operation"):
            _look(item)
        room = MOST_AT_ONCE - bulk.items.filter(state=State.WORKING).count()
        for item in bulk.items.filter(state=State.WAITING).select_related("tenant", "operation"):
            if room <= 0:
                break
            room -= _begin(bulk, item)
        return _end(bulk)


# --- one tenant -------------------------------------------------------------------------------------------------
def _begin(bulk: BulkOperation, item: BulkItem) -> bool:
    """Do the deed for one tenant; whether it is under way now. A refusal is its outcome."""
    actor = Actor(**bulk.actor)
    item.attempts += 1
    try:
        match bulk.kind:
            case Kind.SUSPEND:
                _switch(item, TenantState.SUSPENDED)
                suspend_tenant(tenant_id=item.tenant_id, reason=bulk.reason, actor=actor)
            case Kind.RESUME:
                _switch(item, TenantState.ACTIVE)
                resume_tenant(tenant_id=item.tenant_id, reason=bulk.reason, actor=actor)
            case Kind.CHANGE_TIER:
                _change(bulk, item, actor)
    except DomainError as refusal:
        if item.state != State.SKIPPED:
            item.state, item.code, item.detail = State.FAILED, refusal.code, refusal.detail
    _save(item)
    return item.state == State.WORKING


def _switch(item: BulkItem, to: TenantState) -> None:
    item.state = State.SKIPPED if item.tenant.state == to else State.DONE


def _change(bulk: BulkOperation, item: BulkItem, actor: Actor) -> None:
    if bulk.tier_version_id is None:
        raise ValueError(f"{bulk.public_id} changes the tier to none")
    if item.operation is not None and item.operation.is_retryable:
        retry_operation(operation_id=item.operation.pk, actor=actor)
        item.state = State.WORKING
        return
    if item.tenant.assignments.filter(period__endswith=None, tier_version_id=bulk.tier_version_id).exists():
        item.state, item.detail = State.SKIPPED, f"On {bulk.tier_version} already."
        return
    item.operation = change_tier(
        tenant_id=item.tenant_id, tier_version_id=bulk.tier_version_id, reason=bulk.reason, actor=actor
    )
    item.state = State.WORKING


def _look(item: BulkItem) -> None:
    operation = item.operation
    if operation is None or operation.state == OperationState.RUNNING:
        return
    is_done = operation.state == OperationState.SUCCEEDED
    item.state = State.DONE if is_done else State.FAILED
    item.code, item.detail = ("", "") if is_done else (f"operation_{operation.state}", operation.detail)
    _save(item)


def _save(item: BulkItem) -> None:
    item.ended_at = now() if item.state in ENDED else None
    item.save(update_fields=["operation", "state", "code", "detail", "attempts", "ended_at"])


def _end(bulk: BulkOperation) -> bool:
    with transaction.atomic(durable=True):
        locked = BulkOperation.objects.select_for_update(no_key=True, of=("self",)).get(pk=bulk.pk)
        if locked.finished_at is not None or locked.items.exclude(state__in=ENDED).exists():
            return False
        BulkOperation.objects.filter(pk=bulk.pk).update(finished_at=now())
        outcome = dict(Counter(locked.items.values_list("state", flat=True)))
        record_event("bulk_operation.finished", tenant=None, subject=locked, actor=Actor(**bulk.actor), after=outcome)
    return True


# --- the dry run ------------------------------------------------------------------------------------------------
def _planned(kind: str, tenant: Tenant, tier_version_id: int | None) -> PlannedItem:
    if kind == Kind.CHANGE_TIER and tier_version_id is not None:
        return _planned_change(tenant, tier_version_id)
    to, other = (
        (TenantState.SUSPENDED, TenantState.ACTIVE)
        if kind == Kind.SUSPEND
        else (TenantState.ACTIVE, TenantState.SUSPENDED)
    )
    if tenant.state == to:
        return PlannedItem(tenant, "skip", f"It is {to.label.lower()} already.")
    if tenant.state != other:
        return PlannedItem(tenant, "blocked", f"It is {tenant.get_state_display().lower()}.")
    return PlannedItem(tenant, "change", f"It becomes {to.label.lower()}.")


def _planned_change(tenant: Tenant, tier_version_id: int) -> PlannedItem:
    try:
        plan = plan_change(tenant_id=tenant.pk, tier_version_id=tier_version_id)
    except NotFound as error:
        return PlannedItem(tenant, "blocked", error.detail)
    if plan.from_version == plan.to_version:
        return PlannedItem(tenant, "skip", f"On {plan.to_version} already.", plan)
    if plan.obstacles:
        return PlannedItem(tenant, "blocked", " ".join(each.detail for each in plan.obstacles), plan)
    detail = f"{plan.counted('make')} resources made, {plan.counted('remove')} removed."
    return PlannedItem(tenant, "change", detail, plan)


def counts(planned: Sequence[PlannedItem]) -> dict[str, int]:
    """How many would change, be skipped, and are blocked."""
    return {outcome: sum(each.outcome == outcome for each in planned) for outcome in ("change", "skip", "blocked")}


def _refuse_unusable(kind: str, tenant_ids: Collection[int], tier_version_id: int | None) -> None:
    if kind not in Kind.values:
        raise BulkInvalid(f"There is no bulk operation {kind}.", hint=f"Choose one of {', '.join(Kind.values)}.")
    if not tenant_ids:
        raise BulkInvalid("No tenant is chosen.", hint="Choose at least one.")
    if len(tenant_ids) > MOST_TENANTS:
        raise BulkInvalid(f"{len(tenant_ids)} tenants are chosen.", hint=f"At most {MOST_TENANTS} at a time.")
    if (kind == Kind.CHANGE_TIER) != (tier_version_id is not None):
        raise BulkInvalid("A tier change needs a tier version, and nothing else has one.")
    if tier_version_id is not None and TierVersion.objects.filter(pk=tier_version_id, published_at=None).exists():
        raise BulkInvalid("The tier version is a draft.", hint="Publish it first.")
