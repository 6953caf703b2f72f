"""Where each of a tenant's names should answer now. Reads rows and values, answers routes."""

from collections.abc import Mapping, Sequence
from typing import Any

from models_registry.models import AdapterVersion
from models_registry.queries import WantedRelease
from provisioning import queries
from provisioning.desired import adapter_slot, base_slot, endpoint_slot
from provisioning.models import AwsAccount, ManagedResource, Scope, ServingLine
from provisioning.runtime_config import BASE_ROUTE, Route
from provisioning.services.desired_state import Wishes
from provisioning.states import Phase
from tenants.models import Tenant

SERVING = (Phase.READY, Phase.UPDATING)
PLACE = ("region", "account", "role_arn", "external_id")


def routes_of(
    tenant: Tenant, lines: Sequence[ServingLine], wishes: Wishes, wanted: Sequence[WantedRelease]
) -> dict[str, Route]:
    """The routes that data planes should have.

    A version is routed once its component serves and its probe has passed; until then the live version stays where
    it is, and a route that was published stays while what it points to exists.
    """
    line, published = lines[0], _published(tenant.pk)
    routes: dict[str, Route] = {}
    if line.component_scope == Scope.TENANT:
        route = _base_route(tenant, line, wishes) or published.get(BASE_ROUTE)
        if route is not None:
            routes[BASE_ROUTE] = route
    for each in wanted:
        if each.version is None:
            continue
        route = (
            _version_route(tenant, line, wishes, each, each.version)
            or (each.live_version and _version_route(tenant, line, wishes, each, each.live_version))
            or _kept(published.get(each.adapter.name), each)
        )
        if route:
            routes[each.adapter.name] = route
    return routes


def _base_route(tenant: Tenant, line: ServingLine, wishes: Wishes) -> Route | None:
    facts = queries.line_facts(line)
    endpoint, base = (
        wishes.rows.get(endpoint_slot(tenant.public_id, facts)),
        wishes.rows.get(base_slot(tenant.public_id, facts)),
    )
    if endpoint is None or base is None or base.phase not in SERVING:
        return None
    return Route(line=line.name, endpoint=endpoint.name, component=base.name, place=place_of(line))


def _version_route(
    tenant: Tenant, line: ServingLine, wishes: Wishes, each: WantedRelease, version: AdapterVersion
) -> Route | None:
    slot = adapter_slot(tenant.public_id, queries.line_facts(line), each.adapter.public_id, version.public_id)
    row = wishes.rows.get(slot)
    if row is None or row.phase not in SERVING or row.probed_at is None:
        return None
    return Route(
        line=line.name,
        endpoint=row.identity["endpoint_name"],
        component=row.name,
        adapter=each.adapter.public_id,
        adapter_version=version.public_id,
        version_number=version.number,
        place=place_of(line),
    )


def place_of(line: ServingLine) -> dict[str, str]:
    """What a data plane has to know to reach a line that is not at home; nothing for one that is."""
    facts = queries.line_facts(line)
    place = {"region": line.region} if facts.needs_copies else {}
    if line.account:
        account = AwsAccount.objects.registered().get(account_id=line.account)
        place |= {"account": line.account, "role_arn": account.role_arn, "external_id": account.external_id}
    return place


def _published(tenant_id: int) -> dict[str, Route]:
    """The routes that data planes follow now, except those whose component is gone or going."""
    config = queries.current_config(tenant_id)
    if config is None:
        return {}
    document: Mapping[str, Any] = config.document
    rows = ManagedResource.objects.filter(name__in=config.routed_names, is_wanted=True)
    there = set(rows.exclude(phase__in=(Phase.DELETING, Phase.GONE)).values_list("name", flat=True))
    return {
        name: Route(
            line=route["line"],
            endpoint=route["endpoint"],
            component=route["component"],
            adapter=route["adapter"],
            adapter_version=route["adapter_version"],
            version_number=route["version_number"],
            place={key: route[key] for key in PLACE if key in route},
        )
        for name, route in document["routes"].items()
        if {route["endpoint"], route["component"]} <= there
    }


def _kept(route: Route | None, each: WantedRelease) -> Route | None:
    """A published route, if it still is this adapter's."""
    return route if route is not None and route.adapter == each.adapter.public_id else None
