"""What is observed beside what is desired: one word per tenant, from the phases of its own resources."""

from collections.abc import Collection, Iterable
from typing import Protocol

from provisioning.queries import resources_of
from provisioning.states import Phase


class Seen(Protocol):
    """What this module reads of a managed resource."""

    tenant_id: int | None
    phase: str
    stuck_reason: str
    is_wanted: bool


def observed_word(resources: Iterable[Seen]) -> str:
    """`stuck`, `applying`, `in_sync` or `nothing`: the most urgent thing that is true of these resources."""
    living = [each for each in resources if each.phase != Phase.GONE]
    if any(each.stuck_reason for each in living):
        return "stuck"
    if any(each.phase != Phase.READY or not each.is_wanted for each in living):
        return "applying"
    return "in_sync" if living else "nothing"


def observed_by_tenant(tenant_ids: Collection[int]) -> dict[int, str]:
    """The word of each tenant, in one query for all of them. Shared resources belong to nobody and are left out."""
    grouped: dict[int, list[Seen]] = {tenant_id: [] for tenant_id in tenant_ids}
    for resource in resources_of(tenant_ids=tenant_ids):
        if resource.tenant_id in grouped:
            grouped[resource.tenant_id].append(resource)
    return {tenant_id: observed_word(resources) for tenant_id, resources in grouped.items()}
