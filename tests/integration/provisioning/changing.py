"""A tenant that serves an adapter, on its way from tier to tier."""

from dataclasses import fields
from datetime import timedelta

from core.clock import real_now
from models_registry.services.adapters import create_adapter
from models_registry.services.releases import release_version
from provisioning import queries
from provisioning.models import Operation, TierChange
from provisioning.runtime_config import targets_of
from provisioning.services.catalogue import route_tier
from provisioning.services.tier_changes import change_tier
from tenants.models import Tenant, TierVersion
from tenants.queries import current_tier_version
from tenants.services.tiers import TierLimits, draft_tier_version, publish_tier_version
from tests.factories import TESTER
from tests.integration.models_registry.uploading import upload
from tests.integration.provisioning.world import World


def served_tenant(world: World, slug: str = "acme", tier: str = "basic") -> Tenant:
    """Active on a tier, with an adapter `support` that serves."""
    tenant = world.sign_up(slug, tier)
    world.settle(tenant)
    release_something(tenant)
    world.settle(tenant)
    return tenant


def release_something(tenant: Tenant) -> None:
    """An adapter `support` whose first version is to serve."""
    base = queries.lines_of(tenant.pk)[0].profile.foundation_model_id
    adapter = create_adapter(tenant_id=tenant.pk, name="support", foundation_model_id=base, actor=TESTER)
    release_version(version_id=upload(adapter, "ok-r8-qv").pk, reason="", actor=TESTER)


def new_version(tier: str, **limits: object) -> TierVersion:
    """The next version of an example tier, published, on the same lines, with other limits."""
    before = current_tier_version(tier)
    names = (field.name for field in fields(TierLimits))
    wanted = TierLimits(**{name: getattr(before, name) for name in names} | limits)
    version = draft_tier_version(tier_key=tier, limits=wanted, tokens=(), actor=TESTER)
    lines = [route.line for route in before.routes.order_by("position")]
    route_tier(tier_version_id=version.pk, lines=lines)
    return publish_tier_version(tier_version_id=version.pk, actor=TESTER)


def change_to(tenant: Tenant, tier: str) -> Operation:
    """Ask for the newest version of a tier."""
    wanted = current_tier_version(tier)
    return change_tier(tenant_id=tenant.pk, tier_version_id=wanted.pk, reason="they grew", actor=TESTER)


def end_draining() -> None:
    """As if the time for requests under way were over."""
    TierChange.objects.filter(drain_until__isnull=False).update(drain_until=real_now() - timedelta(seconds=1))


def settle_change(world: World, tenant: Tenant) -> TierChange:
    """Until the change has ended, or nothing moves any more."""
    world.settle(tenant)
    end_draining()
    world.settle(tenant)
    return TierChange.objects.filter(tenant=tenant).latest("pk")


def routed_lines(tenant: Tenant) -> set[str]:
    """Where data planes send requests."""
    config = queries.current_config(tenant.pk)
    return {target.line for _, _, target in targets_of(config.document)} if config else set()
