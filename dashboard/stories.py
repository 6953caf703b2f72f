"""Events as people read them: with the tenant's name instead of its id."""

from collections.abc import Iterable
from typing import Any

from tenants.queries import list_tenants


def with_tenant_names(events: Iterable[Any]) -> list[Any]:
    """The same events, each with `tenant_name` (empty for what concerns no tenant); one query for all names."""
    found = list(events)
    tenants = list_tenants(tenant_ids={event.tenant_pk for event in found if event.tenant_pk})
    names = {tenant.pk: tenant.name for tenant in tenants}
    for event in found:
        event.tenant_name = names.get(event.tenant_pk, "")
    return found
