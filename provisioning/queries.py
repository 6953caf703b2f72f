"""Reading what provisioning knows. `tenant_ids` has no default: None means that the caller may see all."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings
from django.db.models import Prefetch, Q, QuerySet

from core import clock
from core.errors import NotFound
from core.periods import Period, floor_to_bucket
from models_registry.models import FoundationModel
from models_registry.states import ReleaseState
from provisioning.desired import AWAITED, LineFacts
from provisioning.models import (
    AccountKind,
    AwsAccount,
    CatalogueRow,
    ManagedResource,
    Operation,
    OperationStep,
    PublishedConfig,
    ResourceInterval,
    Scenario,
    ServingLine,
    TierChange,
    TierRoute,
)
from provisioning.models.findings import FindingKind, InventoryFinding, InventoryLook
from provisioning.planner.base_models import read_base_model
from provisioning.planner.catalogue import Catalogue, load_catalogue, row_from_texts
from provisioning.planner.refusals import UnknownModel
from provisioning.states import OPEN_CHANGES, ChangeState, OperationState, Phase
from tenants.models import Tenant, TierVersion
from tenants.states import TenantState

SERVED = (TenantState.PROVISIONING, TenantState.PROVISIONING_FAILED, TenantState.ACTIVE, TenantState.SUSPENDED)
WITHDRAWN = "withdrawn"


# --- lines ------------------------------------------------------------------------------------------------------
def served_tenants() -> QuerySet[Tenant]:
    """Tenants that need their lines: those being provisioned or served, and leaving ones until traffic is withdrawn."""
    withdrawn = PublishedConfig.objects.filter(is_current=True, document__status=WITHDRAWN).values("tenant_id")
    with_traffic = PublishedConfig.objects.filter(is_current=True).exclude(tenant_id__in=withdrawn).values("tenant_id")
    return Tenant.objects.filter(Q(state__in=SERVED) | Q(state=TenantState.OFFBOARDING, pk__in=with_traffic))


def needs_lines(tenant: Tenant) -> bool:
    """Whether this tenant is one of `served_tenants`."""
    return served_tenants().filter(pk=tenant.pk).exists()


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


def lines_of(tenant_id: int) -> list[ServingLine]:
    """The serving lines that the tenant's traffic should be on now, in the tier's order: those of its tier version, and
    from the cut-over of a tier change on those of the new one."""
    change = open_change(tenant_id)
    if change is not None:
        return lines_of_version(change.routed_version_id, tenant_id=tenant_id)
    return _lines_assigned(tenant_id)


def _lines_assigned(tenant_id: int) -> list[ServingLine]:
    routes = TierRoute.objects.filter(
        tier_version__assignments__tenant_id=tenant_id, tier_version__assignments__period__contains=clock.now()
    )
    return _placed(list(_with_profiles(routes).order_by("position")), tenant_id)


def lines_of_version(tier_version_id: int, *, tenant_id: int) -> list[ServingLine]:
    """The serving lines of a tier version, in its order, where a tenant on it has them."""
    routes = TierRoute.objects.filter(tier_version_id=tier_version_id)
    return _placed(list(_with_profiles(routes).order_by("position")), tenant_id)


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


def _placed(routes: Sequence[TierRoute], tenant_id: int) -> list[ServingLine]:
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


def lines_kept_for(tenant_id: int) -> list[list[ServingLine]]:
    """The lines that should exist for a tenant, by tier version: those of its traffic first, and during a tier change
    those of the other version."""
    change = open_change(tenant_id)
    if change is None:
        return [_lines_assigned(tenant_id)]
    return [lines_of_version(version_id, tenant_id=tenant_id) for version_id in change.wished_version_ids()]


def open_change(tenant_id: int) -> TierChange | None:
    """The tier change that a tenant is in the middle of, if there is one."""
    return TierChange.objects.filter(tenant_id=tenant_id, state__in=OPEN_CHANGES).first()


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


# --- resources --------------------------------------------------------------------------------------------------
def resources_of(tenant_ids: Collection[int] | None, *, include_gone: bool = False) -> QuerySet[ManagedResource]:
    """Resources of the tenants named, newest first; None means all, shared ones included."""
    rows = ManagedResource.objects.visible_to(tenant_ids)
    rows = rows if include_gone else rows.living()
    return rows.select_related("tenant", "line", "adapter_version__adapter").order_by("-pk")


def get_resource(ref: str, *, tenant_ids: Collection[int] | None) -> ManagedResource:
    """One resource by public id or AWS name. Raises NotFound when absent or invisible."""
    rows = resources_of(tenant_ids, include_gone=True).prefetch_related("needs")
    row = rows.filter(Q(public_id=ref) | Q(name=ref)).first()
    if row is None:
        raise NotFound(f"There is no resource {ref}.")
    return row


def stuck_resources(tenant_ids: Collection[int] | None) -> QuerySet[ManagedResource]:
    """Resources that wait for a quota, for capacity, or for a person."""
    return resources_of(tenant_ids).exclude(stuck_reason="")


def who_owned(*, account: str, region: str, kind: str, name: str) -> ManagedResource | None:
    """Whose AWS object this is or was; names are never reused, so no instant is needed."""
    rows = ManagedResource.objects.select_related("tenant", "line", "adapter_version")
    return rows.filter(account=account, region=region, kind=kind, name=name).first()


@dataclass(frozen=True, slots=True)
class UptimeRow:
    """Serving seconds of one kind of resource on one line within one bucket, summed over the tenant's resources."""

    kind: str
    line: str
    bucket_start: datetime
    seconds: float


def uptime(tenant_id: int, period: Period, *, bucket_seconds: int = 3600) -> list[UptimeRow]:
    """How long the tenant's own resources served, by kind, line and bucket, up to now; shared ones are nobody's.

    An interval that is still open counts up to the business clock.
    """
    intervals = ResourceInterval.objects.filter(
        resource__tenant_id=tenant_id, during__overlap=(period.start, period.end)
    ).select_related("resource__line")
    sums: dict[tuple[str, str, datetime], float] = {}
    for interval in intervals:
        end = min(interval.during.upper or clock.now(), period.end)
        start = max(interval.during.lower, period.start)
        line = interval.resource.line.name if interval.resource.line else ""
        for bucket, seconds in _by_bucket(start, end, bucket_seconds):
            key = (interval.resource.kind, line, bucket)
            sums[key] = sums.get(key, 0.0) + seconds
    return [UptimeRow(*key, seconds) for key, seconds in sorted(sums.items())]


def _by_bucket(start: datetime, end: datetime, bucket_seconds: int) -> Iterable[tuple[datetime, float]]:
    at = start
    while at < end:
        bucket = floor_to_bucket(at, bucket_seconds)
        following = datetime.fromtimestamp(bucket.timestamp() + bucket_seconds, bucket.tzinfo)
        yield bucket, (min(following, end) - at).total_seconds()
        at = following


# --- the inventory ----------------------------------------------------------------------------------------------
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


# --- runtime configs --------------------------------------------------------------------------------------------
def published_configs(tenant_id: int) -> QuerySet[PublishedConfig]:
    """All versions of a tenant's runtime config, newest first."""
    return PublishedConfig.objects.filter(tenant_id=tenant_id).select_related("restores").order_by("-version")


def current_config(tenant_id: int) -> PublishedConfig | None:
    """The version that data planes follow, or None before the first."""
    return PublishedConfig.objects.filter(tenant_id=tenant_id, is_current=True).first()


def routed_names() -> set[str]:
    """The endpoints and components that data planes may be using, now or once the newest version is written."""
    newest = PublishedConfig.objects.order_by("tenant_id", "-version").distinct("tenant_id").values("pk")
    relevant = PublishedConfig.objects.filter(Q(is_current=True) | Q(pk__in=newest))
    return {name for names in relevant.values_list("routed_names", flat=True) for name in names}


# --- operations -------------------------------------------------------------------------------------------------
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


def is_held(tenant: Tenant) -> bool:
    """Whether nothing more may be begun for a tenant: an operation of its is on hold.

    A suspension and a departure go on, because traffic must not flow when it should not; a held departure waits.
    """
    held = held_operations().filter(tenant=tenant)
    if tenant.state in (TenantState.SUSPENDED, TenantState.OFFBOARDING):
        held = held.filter(kind=Operation.Kind.OFFBOARD)
    return held.exists()


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


# --- the planner ------------------------------------------------------------------------------------------------
def planner_catalogue() -> Catalogue:
    """What the planner chooses from: the shipped tables, operators' imports over them, and registered base models."""
    imported = CatalogueRow.objects.filter(is_current=True).order_by("pk").values_list("table", "texts")
    shipped = load_catalogue()
    models = dict(shipped.base_models)
    for name, config in FoundationModel.objects.order_by("pk").values_list("name", "config"):
        with suppress(UnknownModel):  # a family that the planner cannot count is no choice of it
            models[name] = read_base_model(name, config)
    rows = [row_from_texts(table, texts) for table, texts in imported]
    return Catalogue(shipped.rows, models).with_rows(rows)


def list_scenarios(*, tenant_ids: Collection[int] | None) -> QuerySet[Scenario]:
    """Kept scenarios, newest first."""
    return Scenario.objects.visible_to(tenant_ids).select_related("tenant").order_by("-pk")


def get_scenario(ref: str, *, tenant_ids: Collection[int] | None) -> Scenario:
    """A kept scenario by its public id. Raises NotFound, also when it is another tenant's."""
    found = list_scenarios(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no scenario {ref}.")
    return found


def _with_profiles(routes: QuerySet[TierRoute]) -> QuerySet[TierRoute]:
    return routes.select_related("line__profile__foundation_model", "tier_version")
