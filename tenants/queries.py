"""Reading tenants and tiers. `tenant_ids` has no default: None means that the caller may see all of them."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import OuterRef, Q, QuerySet, Subquery

from core.errors import NotFound
from core.periods import Period
from tenants.models import LegalHold, OffboardingStep, Tenant, Tier, TierAssignment, TierLimit, TierVersion
from tenants.states import TenantState

# What a tier version promises beside its token limits, in the order in which people are shown it.
PROMISES = (
    "isolation",
    "max_adapters",
    "max_adapter_bytes",
    "max_lora_rank",
    "keep_previous_warm",
    "warm_window_hours",
    "on_suspend",
    "retention_days",
    "approval",
)


def get_tenant(ref: str, *, tenant_ids: Collection[int] | None) -> Tenant:
    """By public id, slug, or `ext:` and the billing system's id. Raises NotFound when absent or invisible."""
    wanted = Q(external_id=ref.removeprefix("ext:")) if ref.startswith("ext:") else Q(public_id=ref) | Q(slug=ref)
    tenant = _with_tier(Tenant.objects.visible_to(tenant_ids)).filter(wanted).first()
    if tenant is None:
        raise NotFound(f"There is no tenant {ref}.", hint="Use its id, its slug, or ext: and its external id.")
    return tenant


def list_tenants(
    *, tenant_ids: Collection[int] | None, state: str | None = None, tier: str | None = None, q: str | None = None
) -> QuerySet[Tenant]:
    """Tenants with `tier_name` and `tier_key` of today; `q` searches name, slug, external id and public id."""
    tenants = _with_tier(Tenant.objects.visible_to(tenant_ids))
    if state:
        tenants = tenants.filter(state=state)
    if tier:
        tenants = tenants.filter(Q(tier_key=tier))
    if q:
        tenants = tenants.filter(Q(name__icontains=q) | Q(slug__startswith=q) | Q(external_id=q) | Q(public_id=q))
    return tenants.order_by("-id")


def unsettled_tenants() -> QuerySet[Tenant]:
    """Those on their way somewhere: being provisioned or leaving."""
    moving = (TenantState.SIGNED_UP, TenantState.PROVISIONING, TenantState.OFFBOARDING)
    return Tenant.objects.filter(state__in=moving).order_by("pk")


def tier_version_of(tenant_id: int, at: datetime) -> TierVersion:
    """The tier version a tenant was on at an instant. Raises NotFound when it was on none."""
    version = (
        TierVersion.objects.select_related("tier")
        .filter(assignments__tenant_id=tenant_id, assignments__period__contains=at)
        .first()
    )
    if version is None:
        raise NotFound(f"The tenant was on no tier at {at.isoformat()}.")
    return version


def token_limits_of(tenant_id: int, at: datetime) -> list[TierLimit]:
    """The token limits of the tier version a tenant was on at an instant, in a fixed order; often none."""
    limits = TierLimit.objects.filter(
        tier_version__assignments__tenant_id=tenant_id, tier_version__assignments__period__contains=at
    )
    return list(limits.order_by("meter", "window"))


def assignments(tenant_id: int, period: Period) -> list[tuple[Period, TierVersion]]:
    """The tier versions a tenant was on within a period, in order, each with its part of the period."""
    rows = (
        TierAssignment.objects.select_related("tier_version__tier")
        .filter(tenant_id=tenant_id, period__overlap=(period.start, period.end))
        .order_by("period")
    )
    found = []
    for row in rows:
        part = Period(max(row.period.lower, period.start), min(row.period.upper or period.end, period.end))
        found.append((part, row.tier_version))
    return found


def current_tier_version(key: str) -> TierVersion:
    """The newest published version of a tier. Raises NotFound for an unknown tier or one that is not published."""
    version = (
        TierVersion.objects.select_related("tier")
        .filter(tier__key=key, published_at__isnull=False)
        .order_by("-number")
        .first()
    )
    if version is None:
        known = ", ".join(Tier.objects.values_list("key", flat=True))
        raise NotFound(f"There is no tier {key}.", hint=f"Tiers are: {known or 'none yet'}.")
    return version


def list_tiers() -> QuerySet[Tier]:
    """All tiers in their order, with their versions."""
    return Tier.objects.prefetch_related("versions")


def offboarding_steps(tenant_id: int) -> QuerySet[OffboardingStep]:
    """What a departure waits for, or waited for."""
    return OffboardingStep.objects.filter(tenant_id=tenant_id)


def legal_hold_of(tenant_id: int) -> LegalHold | None:
    """The hold in force, if there is one."""
    return LegalHold.objects.filter(tenant_id=tenant_id, released_at=None).first()


def legal_holds(tenant_id: int) -> QuerySet[LegalHold]:
    """Every hold that a tenant has or had, newest first."""
    return LegalHold.objects.filter(tenant_id=tenant_id)


def erasure_waits_for(tenant: Tenant, at: datetime) -> str:
    """Why a leaving tenant's artifacts must not be erased at an instant; empty when nothing forbids it."""
    hold = legal_hold_of(tenant.pk)
    if hold is not None:
        return f"Legal hold by {hold.placed_by} since {hold.placed_at:%Y-%m-%d}: {hold.reason}"
    if tenant.retain_until is not None and at < tenant.retain_until:
        return f"Retention until {tenant.retain_until:%Y-%m-%d %H:%M} UTC."
    return ""


def get_tier_version(tier_key: str, number: int | None = None) -> TierVersion:
    """A version of a tier by its number, the newest published one by default. Raises NotFound."""
    if number is None:
        return current_tier_version(tier_key)
    version = TierVersion.objects.select_related("tier").filter(tier__key=tier_key, number=number).first()
    if version is None:
        raise NotFound(f"There is no version {number} of a tier {tier_key}.")
    return version


def tenants_on_tier(tier_key: str, *, tenant_ids: Collection[int] | None) -> QuerySet[Tenant]:
    """Tenants that have not left and are on any version of a tier today, with `tier_version_number`."""
    tenants = _with_tier(Tenant.objects.visible_to(tenant_ids)).filter(Q(tier_key=tier_key))
    return tenants.exclude(state__in=(TenantState.OFFBOARDING, TenantState.OFFBOARDED)).order_by("-id")


def _with_tier(tenants: QuerySet[Tenant]) -> QuerySet[Tenant]:
    newest = TierAssignment.objects.filter(tenant=OuterRef("pk")).order_by("-period")
    return tenants.annotate(
        tier_key=Subquery(newest.values("tier_version__tier__key")[:1]),
        tier_name=Subquery(newest.values("tier_version__tier__name")[:1]),
        tier_version_number=Subquery(newest.values("tier_version__number")[:1]),
    )
