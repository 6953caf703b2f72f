"""Reading operations, and which tenants somebody should look at."""

from collections.abc import Collection

from django.db.models import Prefetch, Q, QuerySet

from core.errors import NotFound
from models_registry.states import ReleaseState
from provisioning.models import ManagedResource, Operation, OperationStep, PublishedConfig
from provisioning.queries.lines import served_tenants
from provisioning.states import ChangeState, OperationState, Phase
from tenants.models import Tenant
from tenants.states import TenantState


def operations(
    tenant_ids: Collection[int] | None, *, state: str | None = None, kind: str | None = None
) -> QuerySet[Operation]:
    """Operations with their steps and the steps' resources, newest first."""
    found = Operation.objects.visible_to(tenant_ids)
    if state:
        found = found.filter(state=state)
    if kind:
        found = found.filter(kind=kind)
    steps = OperationStep.objects.select_related("resource__line")
    related = ("tenant", "release__adapter", "release__version", "tier_change")
    return found.select_related(*related).prefetch_related(Prefetch("steps", queryset=steps)).order_by("-pk")


def operation(ref: str, *, tenant_ids: Collection[int] | None) -> Operation:
    """One operation by public id. Raises NotFound when absent or invisible."""
    found = operations(tenant_ids).filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no operation {ref}.")
    return found


def held_operations() -> QuerySet[Operation]:
    """Open operations that somebody told to wait."""
    return Operation.objects.filter(held_at__isnull=False, state__in=(OperationState.RUNNING, OperationState.FAILED))


def unsettled_tenant_ids() -> list[int]:
    """Tenants that somebody should look at: on their way, with something open, or not routed as they should be.

    When something shared is on its way and no tenant is, one served tenant stands for the pool.
    """
    moving = (TenantState.SIGNED_UP, TenantState.PROVISIONING, TenantState.PROVISIONING_FAILED, TenantState.OFFBOARDING)
    open_operations = Operation.objects.filter(state__in=(OperationState.RUNNING, OperationState.FAILED))
    open_operations = open_operations.exclude(release__state=ReleaseState.REFUSED)
    open_operations = open_operations.exclude(tier_change__state=ChangeState.RETURNED)
    restless = ManagedResource.objects.exclude(phase=Phase.READY).exclude(phase=Phase.GONE, stuck_reason="")
    current = PublishedConfig.objects.filter(is_current=True)
    wanted = (
        Q(state__in=moving)
        | Q(pk__in=open_operations.values("tenant_id"))
        | Q(pk__in=restless.filter(tenant__isnull=False).values("tenant_id"))
        | Q(adapters__releases__state=ReleaseState.PENDING)
        | Q(state=TenantState.SUSPENDED, pk__in=current.filter(document__status="active").values("tenant_id"))
        | Q(state=TenantState.ACTIVE, pk__in=current.filter(document__status="suspended").values("tenant_id"))
    )
    found = set(Tenant.objects.exclude(state=TenantState.OFFBOARDED).filter(wanted).values_list("pk", flat=True))
    found |= set(open_operations.values_list("tenant_id", flat=True))
    if not found and restless.filter(tenant=None).exists():
        found |= set(served_tenants().order_by("pk").values_list("pk", flat=True)[:1])
    return sorted(found)
