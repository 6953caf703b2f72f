"""Reading who is served on which lines, and in which accounts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import Q, QuerySet

from core import clock
from core.errors import NotFound
from provisioning.desired import AWAITED, LineFacts
from provisioning.models import AccountKind, AwsAccount, PublishedConfig, ServingLine, TierChange, TierRoute
from provisioning.queries.configs import WITHDRAWN, current_config
from provisioning.states import OPEN_CHANGES
from tenants.models import Tenant, TierVersion
from tenants.states import TenantState

SERVED = (TenantState.PROVISIONING, TenantState.PROVISIONING_FAILED, TenantState.ACTIVE, TenantState.SUSPENDED)


# --- tenants ----------------------------------------------------------------------------------------------------
def served_tenants() -> QuerySet[Tenant]:
    """Tenants that need their lines: those being provisioned or served, and leaving ones until traffic is withdrawn."""
    withdrawn = PublishedConfig.objects.filter(is_current=True, document__status=WITHDRAWN).values("tenant_id")
    with_traffic = PublishedConfig.objects.filter(is_current=True).exclude(tenant_id__in=withdrawn).values("tenant_id")
    return Tenant.objects.filter(Q(state__in=SERVED) | Q(state=TenantState.OFFBOARDING, pk__in=with_traffic))


def needs_lines(tenant: Tenant) -> bool:
    """Whether this tenant is one of `served_tenants`."""
    return tenant.state in SERVED or served_tenants().filter(pk=tenant.pk).exists()


def is_put_away(tenant: Tenant) -> bool:
    """Whether a tenant's own resources should be gone: its tier removes them on suspension, and data planes know of it.

    In the middle of a tier change they stay, because the change goes by what serves.
    """
    if tenant.state != TenantState.SUSPENDED or open_change(tenant.pk) is not None:
        return False
    removes = TierVersion.Suspension.REMOVE
    on_it = tenant.assignments.filter(period__contains=clock.now(), tier_version__on_suspend=removes)
    config = current_config(tenant.pk)
    return on_it.exists() and config is not None and config.document["status"] == "suspended"


# --- their lines ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Standing:
    """Where a tenant stood at one look: the tier change that it is in the middle of, if there is one, and its lines.

    `kept` are the lines that should exist for it, by tier version: those of its traffic first, and during a tier change
    those of the other version while it needs them. `by_version` has both versions of a change.
    """

    change: TierChange | None
    kept: Sequence[list[ServingLine]]
    by_version: Mapping[int, list[ServingLine]]

    @property
    def lines(self) -> list[ServingLine]:
        """The lines that its traffic should be on, in the tier's order: those of its tier version, and from the
        cut-over of a tier change on those of the new one."""
        return self.kept[0]


def standing_of(tenant_id: int) -> Standing:
    """Where a tenant stands now, as one look that is passed on; who waits or calls AWS in between looks again."""
    change = open_change(tenant_id)
    if change is None:
        assigned = TierRoute.objects.filter(
            tier_version__assignments__tenant_id=tenant_id, tier_version__assignments__period__contains=clock.now()
        )
        return Standing(None, [_lines(assigned, tenant_id)], {})
    versions = (change.from_version_id, change.to_version_id)
    by_version = {version_id: lines_of_version(version_id, tenant_id=tenant_id) for version_id in versions}
    return Standing(change, [by_version[version_id] for version_id in change.wished_version_ids()], by_version)


def lines_of(tenant_id: int) -> list[ServingLine]:
    """The lines that the tenant's traffic should be on now; see `Standing`."""
    return standing_of(tenant_id).lines


def lines_of_version(tier_version_id: int, *, tenant_id: int) -> list[ServingLine]:
    """The serving lines of a tier version, in its order, where a tenant on it has them."""
    return _lines(TierRoute.objects.filter(tier_version_id=tier_version_id), tenant_id)


def open_change(tenant_id: int) -> TierChange | None:
    """The tier change that a tenant is in the middle of, if there is one."""
    return TierChange.objects.filter(tenant_id=tenant_id, state__in=OPEN_CHANGES).first()


def _lines(found: QuerySet[TierRoute], tenant_id: int) -> list[ServingLine]:
    """The routes' lines in order, in the account that the tenant has for the tier's isolation."""
    routes = list(_with_profiles(found).order_by("position"))
    isolation = routes[0].tier_version.isolation if routes else TierVersion.Isolation.POOL
    if isolation not in AccountKind.values:
        return [route.line for route in routes]
    account = account_of(tenant_id, isolation)
    usable = account if account is not None and account.proven_at is not None else None
    return [
        route.line.placed(
            account=usable.account_id if usable else AWAITED,
            execution_role_arn=usable.execution_role_arn if usable else "",
        )
        for route in routes
    ]


def _with_profiles(routes: QuerySet[TierRoute]) -> QuerySet[TierRoute]:
    return routes.select_related("line__profile__foundation_model", "tier_version")


# --- lines by themselves ----------------------------------------------------------------------------------------
def lines_in_use() -> list[ServingLine]:
    """The lines that at least one served tenant of the pool is on now, or is changing to or from."""
    changing = TierChange.objects.filter(state__in=OPEN_CHANGES, tenant__in=served_tenants())
    versions = {version_id for change in changing for version_id in change.wished_version_ids()}
    assigned = Q(
        tier_version__assignments__tenant__in=served_tenants(), tier_version__assignments__period__contains=clock.now()
    )
    pooled = Q(tier_version__isolation=TierVersion.Isolation.POOL)
    routes = TierRoute.objects.filter(pooled & (assigned | Q(tier_version_id__in=versions)))
    return list({route.line_id: route.line for route in _with_profiles(routes)}.values())


def line_facts(line: ServingLine) -> LineFacts:
    """A line as the pure rooms know it."""
    profile = line.profile
    if profile is None:
        facts = LineFacts(pk=line.pk, name=line.name, region=line.region, kind=line.kind, model_id=line.model_id)
        return replace(facts, account=line.account)
    return LineFacts(
        pk=line.pk,
        name=line.name,
        region=line.region,
        endpoint_scope=line.endpoint_scope,
        component_scope=line.component_scope,
        instance_type=line.instance_type,
        instance_count=line.instance_count,
        max_instance_count=line.max_instance_count,
        copies=line.copies,
        image=profile.image,
        environment=profile.environment,
        model_data_uri=profile.foundation_model.model_data_uri,
        accelerators=profile.accelerators,
        min_memory_mb=profile.min_memory_mb,
        execution_role_arn=line.execution_role_arn or settings.ENV.execution_role_arn,
        account=line.account,
        needs_copies=bool(line.account) or line.region != settings.ENV.aws_region,
    )


def list_lines() -> QuerySet[ServingLine]:
    """All serving lines with their profile and base model."""
    return ServingLine.objects.select_related("profile__foundation_model")


# --- accounts ---------------------------------------------------------------------------------------------------
def account_of(tenant_id: int, isolation: str) -> AwsAccount | None:
    """The account that a tenant has for an isolation pattern; None for the pool, or before one is registered."""
    return AwsAccount.objects.registered().filter(tenant_id=tenant_id, kind=isolation).first()


def list_accounts(tenant_ids: Collection[int] | None) -> QuerySet[AwsAccount]:
    """Registered accounts beside our own, newest first; None means all, free ones included."""
    return AwsAccount.objects.visible_to(tenant_ids).registered().select_related("tenant").order_by("-pk")


def get_account(ref: str, *, tenant_ids: Collection[int] | None) -> AwsAccount:
    """One by public id or account id. Raises NotFound when absent or invisible."""
    found = list_accounts(tenant_ids).filter(Q(public_id=ref) | Q(account_id=ref)).first()
    if found is None:
        raise NotFound(f"There is no account {ref}.")
    return found
