"""What a tenant's tier and the tenant itself say about its lines: allowances, the ladder, the choice, the rules."""

from collections.abc import Sequence

from core import clock
from models_registry.models import AdapterVersion
from models_registry.states import Approval, VersionState
from provisioning import queries
from provisioning.config_policy import LineRules, TenantRules
from provisioning.models import EulaAcceptance, LineChoice, RoutingPolicy, ServingLine, TierRoute
from provisioning.runtime_config import Allowance
from tenants.models import Tenant


def allowances_of(tenant_id: int) -> dict[str, Allowance]:
    """What the tenant may use of each line of its tier before the next one answers, by line; unlimited ones are left
    out."""
    routes = TierRoute.objects.filter(
        tier_version__assignments__tenant_id=tenant_id,
        tier_version__assignments__period__contains=clock.now(),
        allowance_tokens__isnull=False,
    ).select_related("line")
    return {route.line.name: Allowance(route.allowance_window, route.allowance_tokens or 0) for route in routes}


def routing_policy_of(tenant_id: int) -> RoutingPolicy:
    """How data planes of the tenant's tier version go from line to line; the defaults when nobody said."""
    found = RoutingPolicy.objects.filter(
        tier_version__assignments__tenant_id=tenant_id, tier_version__assignments__period__contains=clock.now()
    ).first()
    return found or RoutingPolicy()


def chosen_lines(tenant_id: int, lines: Sequence[ServingLine]) -> list[ServingLine]:
    """The lines without adapters in the tenant's own order, where its tier lets it choose and it did; else all of them.

    A line that was chosen and is no more the tier's is left out; when none is left, the tier's order holds.
    """
    choice = LineChoice.objects.filter(tenant_id=tenant_id).first()
    if choice is None or not routing_policy_of(tenant_id).tenant_chooses:
        return list(lines)
    by_name = {line.name: line for line in lines}
    return [by_name[name] for name in choice.line_names if name in by_name] or list(lines)


def tenant_rules(tenant: Tenant) -> TenantRules:
    """What decides about the tenant's routes: see `provisioning.config_policy`."""
    lines = {line.name: line for line in queries.lines_of(tenant.pk)}
    servable = AdapterVersion.objects.filter(
        adapter__tenant=tenant,
        state=VersionState.READY,
        approval__in=(Approval.NOT_REQUIRED, Approval.APPROVED),
    )
    accepted = EulaAcceptance.objects.filter(tenant=tenant).values_list("model_name", "eula_url")
    return TenantRules(
        allowed_regions=tuple(tenant.allowed_regions),
        lines={name: line_rules(line) for name, line in lines.items()},
        servable=set(servable.values_list("public_id", flat=True)),
        accepted=set(accepted),
    )


def line_rules(line: ServingLine) -> LineRules:
    """A line as the policy check knows it."""
    return LineRules(line.name, line.kind, line.region, line.model_name, line.model_id, line.eula_url)
