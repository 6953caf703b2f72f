"""Where each of a tenant's names should answer now. Reads rows and values, answers routes.

The route `base` leads to models without adapters: the tenant's own base components and its inference profiles, in the
order of its tier or of its own choice. A route of an adapter's name leads to that adapter's component on every hosted
line that has it; an api line cannot load adapters and is no target there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models_registry.models import AdapterVersion
from models_registry.queries import WantedRelease
from provisioning import queries
from provisioning.desired import adapter_slot, base_slot, endpoint_slot, profile_slot
from provisioning.models import AwsAccount, ManagedResource, PublishedConfig, Scope, ServingLine
from provisioning.runtime_config import API, BASE_ROUTE, HOSTED, Allowance, Route, Target
from provisioning.runtime_config import routes_of as routes_in
from provisioning.services import line_rules
from provisioning.services.desired_state import Wishes
from provisioning.states import SERVING, Phase
from tenants.models import Tenant

EVERYTHING = 100
Allowances = Mapping[str, Allowance]


def routes_of(
    tenant: Tenant,
    lines: Sequence[ServingLine],
    wishes: Wishes,
    wanted: Sequence[WantedRelease],
    config: PublishedConfig | None,
) -> dict[str, Route]:
    """The routes that data planes should have, when `config` is what they follow now.

    A version is routed once its component serves and its probe has passed; until then the live version stays where
    it is, and a route that was published stays while what it points to exists. One that is released in steps comes
    first with the weight of its share, and the live version after it: it takes the rest, and what the new one does not
    answer.
    """
    published, allowances = _published(config), line_rules.allowances_of(tenant.pk)
    routes: dict[str, Route] = {}
    base = [
        target
        for line in line_rules.chosen_lines(tenant.pk, lines)
        if (target := _base_target(tenant, line, wishes) or _kept_base(published.get(BASE_ROUTE), line))
    ]
    if base:
        routes[BASE_ROUTE] = Route(_with_allowances(base, allowances))
    for each in wanted:
        if each.version is None:
            continue
        targets = _version_targets(tenant, lines, wishes, each, each.version)
        if each.live_version and (not targets or each.percent < EVERYTHING):
            old = _version_targets(tenant, lines, wishes, each, each.live_version)
            targets = [*(replace(first, weight=each.percent) for first in targets[:1]), *old]
        kept = _kept(published.get(each.adapter.name), each)
        if targets:
            routes[each.adapter.name] = Route(_with_allowances(targets, allowances), each.adapter.public_id)
        elif kept:
            routes[each.adapter.name] = kept
    return routes


def _base_target(tenant: Tenant, line: ServingLine, wishes: Wishes) -> Target | None:
    """Where a line answers without an adapter; None when it does not now. The pool's base is nobody's to call."""
    facts = queries.line_facts(line)
    if not line.is_hosted:
        row = wishes.rows.get(profile_slot(tenant.public_id, facts))
        if row is None or row.phase not in SERVING or not row.arn:
            return None
        target = Target(line.name, API, row.account, row.region, profile=row.name, model=row.arn)
        return replace(target, **role_of(line))
    endpoint = wishes.rows.get(endpoint_slot(tenant.public_id, facts))
    base = wishes.rows.get(base_slot(tenant.public_id, facts))
    if line.component_scope != Scope.TENANT or endpoint is None or base is None or base.phase not in SERVING:
        return None
    target = Target(line.name, HOSTED, base.account, base.region, endpoint=endpoint.name, component=base.name)
    return replace(target, **role_of(line))


def role_of(line: ServingLine) -> dict[str, Any]:
    """The role by which a data plane enters the account that the line is in; nothing for our own account."""
    if not line.account:
        return {}
    account = AwsAccount.objects.registered().get(account_id=line.account)
    return {"role_arn": account.role_arn, "external_id": account.external_id}


def _version_targets(
    tenant: Tenant, lines: Sequence[ServingLine], wishes: Wishes, each: WantedRelease, version: AdapterVersion
) -> list[Target]:
    """Every hosted line on which a version serves, in the tier's order."""
    targets = []
    for line in lines:
        if not line.is_hosted:
            continue
        slot = adapter_slot(tenant.public_id, queries.line_facts(line), each.adapter.public_id, version.public_id)
        row = wishes.rows.get(slot)
        if row is None or row.phase not in SERVING or row.probed_at is None:
            continue
        targets.append(
            Target(
                line=line.name,
                kind=HOSTED,
                account=row.account,
                region=row.region,
                endpoint=row.identity["endpoint_name"],
                component=row.name,
                adapter_version=version.public_id,
                version_number=version.number,
                **role_of(line),
            )
        )
    return targets


def _with_allowances(targets: Sequence[Target], allowances: Allowances) -> tuple[Target, ...]:
    return tuple(replace(target, allowance=allowances.get(target.line)) for target in targets)


def _published(config: PublishedConfig | None) -> dict[str, Route]:
    """The routes that data planes follow now, without targets whose objects are gone or going."""
    if config is None:
        return {}
    rows = ManagedResource.objects.filter(name__in=config.routed_names, is_wanted=True)
    there = set(rows.exclude(phase__in=(Phase.DELETING, Phase.GONE)).values_list("name", flat=True))
    routes = {}
    for name, route in routes_in(config.document).items():
        targets = tuple(target for target in route.targets if target.names <= there)
        if targets:
            routes[name] = replace(route, targets=targets)
    return routes


def _kept_base(route: Route | None, line: ServingLine) -> Target | None:
    """A line's published target of the base route."""
    return next((target for target in route.targets if target.line == line.name), None) if route else None


def _kept(route: Route | None, each: WantedRelease) -> Route | None:
    """A published route, if it still is this adapter's."""
    return route if route is not None and route.adapter == each.adapter.public_id else None
