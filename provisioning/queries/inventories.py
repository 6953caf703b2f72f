"""Reading what inventories of AWS found."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from core.errors import NotFound
from provisioning.models.findings import FindingKind, InventoryFinding, InventoryLook


def findings(tenant_ids: Collection[int] | None, *, kind: str | None = None) -> QuerySet[InventoryFinding]:
    """What the last inventory saw that should not be so, newest first; None means all, the pool's included."""
    found = InventoryFinding.objects.visible_to(tenant_ids).still_there()
    found = found.filter(kind=kind) if kind else found
    return found.select_related("tenant", "resource").order_by("-pk")


def finding(ref: str, *, tenant_ids: Collection[int] | None) -> InventoryFinding:
    """One finding by public id, resolved ones included. Raises NotFound when absent or invisible."""
    rows = InventoryFinding.objects.visible_to(tenant_ids).select_related("tenant", "resource")
    found = rows.filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no finding {ref}.")
    return found


def orphans_with(orphan: InventoryFinding) -> list[InventoryFinding]:
    """An orphan and the orphans that run on it, directly or not: the orphan first, then nearest first."""
    place = {"account": orphan.account, "region": orphan.region, "kind": FindingKind.ORPHAN}
    others = list(
        InventoryFinding.objects.still_there().filter(**place).exclude(pk=orphan.pk).select_related("resource")
    )
    chain, names = [orphan], {orphan.name}
    while above := [each for each in others if each not in chain and names & set(each.needs)]:
        chain += above
        names |= {each.name for each in above}
    return chain


@dataclass(frozen=True, slots=True)
class LastInventory:
    """When all accounts were last listed completely, and what they held together, by kind."""

    at: datetime
    counts: Mapping[str, int]


def last_inventory() -> LastInventory | None:
    """None before the first time. An account that could not be entered since makes it as old as its last listing."""
    looks = list(InventoryLook.objects.all())
    if not looks:
        return None
    counts = sum((Counter(look.counts) for look in looks), Counter())
    return LastInventory(at=min(look.at for look in looks), counts=dict(counts))
