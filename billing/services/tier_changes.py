"""A tier change with its price: what resources and money it would take, and nobody moves to a tier without a price."""

from collections.abc import Collection
from dataclasses import dataclass

from billing.queries.segments import NoRateCard
from billing.queries.tier_change import PriceChange, price_change
from core.actors import Actor
from provisioning.models import BulkOperation, Operation
from provisioning.services import bulk, switching, tier_changes
from provisioning.services.bulk import PlannedItem
from provisioning.services.tier_changes import ChangePlan, Obstacle
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Proposal:
    """A dry run: the plan of provisioning, and the price, or why there is none."""

    plan: ChangePlan
    price: PriceChange | None
    no_price: Obstacle | None

    @property
    def obstacles(self) -> list[Obstacle]:
        """Everything that stands against the change."""
        return [*self.plan.obstacles, *([self.no_price] if self.no_price else [])]


def propose_tier_change(*, tenant_id: int, tier_version_id: int) -> Proposal:
    """What changing to this tier version would make, remove and cost, and what stands against it; nothing is written.

    Raises what `provisioning.services.tier_changes.plan_change` raises.
    """
    plan = tier_changes.plan_change(tenant_id=tenant_id, tier_version_id=tier_version_id)
    price, refusal = _price(tenant_id, tier_version_id)
    return Proposal(plan, price, refusal)


def change_tier(*, tenant_id: int, tier_version_id: int, reason: str, actor: Actor) -> Operation:
    """Begin the change. Raises NoRateCard when the tier has no price for the tenant, and TierChangeRefused."""
    price_change(tenant_id=tenant_id, tier_version_id=tier_version_id)
    return tier_changes.change_tier(tenant_id=tenant_id, tier_version_id=tier_version_id, reason=reason, actor=actor)


def switch_operation(*, operation_id: int, tier_version_id: int, reason: str, actor: Actor) -> Operation:
    """Let an operation go on with another tier version's lines. Raises NoRateCard, and what `switching` raises."""
    tenant_id = Operation.objects.values_list("tenant_id", flat=True).get(pk=operation_id)
    price_change(tenant_id=tenant_id, tier_version_id=tier_version_id)
    return switching.switch_operation(
        operation_id=operation_id, tier_version_id=tier_version_id, reason=reason, actor=actor
    )


@dataclass(frozen=True, slots=True)
class ProposedItem:
    """One tenant of a bulk dry run, with the price of a tier change."""

    item: PlannedItem
    price: PriceChange | None

    @property
    def tenant(self) -> Tenant:
        """Whose outcome it is."""
        return self.item.tenant


def propose_bulk(*, kind: str, tenant_ids: Collection[int], tier_version_id: int | None) -> list[ProposedItem]:
    """The dry run of a bulk operation with prices; a tenant without a price is blocked. Raises BulkInvalid."""
    planned = bulk.plan_bulk(kind=kind, tenant_ids=tenant_ids, tier_version_id=tier_version_id)
    return [_proposed(item, tier_version_id) for item in planned]


def start_bulk(
    *, kind: str, tenant_ids: Collection[int], tier_version_id: int | None, reason: str, actor: Actor
) -> BulkOperation:
    """Begin a bulk operation. Raises BulkInvalid, and NoRateCard naming the tenants that the tier has no price for."""
    if tier_version_id is not None:
        missing = [
            refusal for tenant_id in tenant_ids for _, refusal in [_price(tenant_id, tier_version_id)] if refusal
        ]
        if missing:
            raise NoRateCard(" ".join(dict.fromkeys(each.detail for each in missing)), hint=missing[0].hint)
    return bulk.start_bulk(
        kind=kind, tenant_ids=tenant_ids, tier_version_id=tier_version_id, reason=reason, actor=actor
    )


def _proposed(item: PlannedItem, tier_version_id: int | None) -> ProposedItem:
    if tier_version_id is None or item.outcome == "skip":
        return ProposedItem(item, None)
    price, refusal = _price(item.tenant.pk, tier_version_id)
    if refusal is not None:
        detail = f"{item.detail} {refusal.detail}" if item.outcome == "blocked" else refusal.detail
        item = PlannedItem(item.tenant, "blocked", detail, item.plan)
    return ProposedItem(item, price)


def _price(tenant_id: int, tier_version_id: int) -> tuple[PriceChange | None, Obstacle | None]:
    try:
        return price_change(tenant_id=tenant_id, tier_version_id=tier_version_id), None
    except NoRateCard as error:
        return None, Obstacle(error.code, error.detail, error.hint)
