"""A tenant becomes real, on each tier, and leaves without a trace."""

import pytest

from core import crashpoints
from demo.lister import doubled
from provisioning import queries
from provisioning.models import ManagedResource
from provisioning.services.converge import converge_tenant
from provisioning.states import Phase
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tenants.services.offboarding import begin_offboarding
from tenants.states import TenantState
from tests.factories import TESTER

BASIC = {"model": 1, "endpoint_config": 1, "endpoint": 1, "inference_component": 1}


@pytest.mark.parametrize(
    ("tier", "owned"),
    [
        ("basic", {}),
        ("advanced", {"model": 1, "inference_component": 1}),
        ("premium", {"model": 1, "endpoint_config": 1, "endpoint": 1, "inference_component": 1}),
        ("advanced-api", {"inference_profile": 2}),
    ],
)
def test_each_tier_goes_from_signed_up_to_active(world, tier, owned):
    tenant = world.sign_up("acme", tier)
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE
    of_tenant: dict[str, int] = {}
    for seen in world.hosted():
        if seen.tags["cp:tenant"] == tenant.public_id:
            of_tenant[seen.kind] = of_tenant.get(seen.kind, 0) + 1
        else:
            assert seen.tags["cp:tenant"] == "pool"
    assert of_tenant == owned
    assert doubled(world.hosted()) == []
    config = queries.current_config(tenant.pk)
    assert config is not None and config.document["status"] == "active"
    assert set(config.document["routes"]) == (set() if tier == "basic" else {"base"})


def test_everything_with_a_life_cycle_was_seen_creating_by_two_passes(world):
    world.take_looks(2)
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    living = ManagedResource.objects.filter(kind__in=["endpoint", "base_component"])
    assert living.count() == 2
    assert all(row.creating_sightings >= 2 for row in living)


def test_shared_parts_are_made_once_for_three_tenants(world):
    tenants = [world.sign_up(slug) for slug in ("a1", "b1", "c1")]
    world.settle(*tenants)
    assert world.counts() == BASIC
    assert world.calls("CreateEndpoint") == 1


def test_who_looked_before_a_suspension_does_not_publish_over_it(world):
    tenant = world.sign_up("acme")
    world.settle(tenant)

    def suspend_meanwhile(point):
        if point == "before commit config row":
            crashpoints.arm(None)
            suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
            converge_tenant(tenant_id=tenant.pk)

    crashpoints.arm(suspend_meanwhile)
    try:
        converge_tenant(tenant_id=tenant.pk)
    finally:
        crashpoints.arm(None)
    assert queries.current_config(tenant.pk).document["status"] == "suspended"


def test_who_wrote_late_leaves_no_config_of_a_tenant_that_has_gone(world):
    tenant = world.sign_up("acme")
    world.settle(tenant)
    begin_offboarding(tenant_id=tenant.pk, reason="left", actor=TESTER)

    def leave_meanwhile(point):
        if point == "before put config version":
            crashpoints.arm(None)
            world.settle(tenant)
            assert not world.account.config_items(tenant.public_id)

    crashpoints.arm(leave_meanwhile)
    try:
        converge_tenant(tenant_id=tenant.pk)
    finally:
        crashpoints.arm(None)
    assert not world.account.config_items(tenant.public_id)


def test_suspending_keeps_resources_and_tells_the_data_plane(world):
    tenant = world.sign_up("acme", "advanced")
    world.settle(tenant)
    before = world.counts()
    suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
    world.settle(tenant)
    assert world.counts() == before
    assert queries.current_config(tenant.pk).document["status"] == "suspended"
    resume_tenant(tenant_id=tenant.pk, actor=TESTER)
    world.settle(tenant)
    assert queries.current_config(tenant.pk).document["status"] == "active"
    assert [config.version for config in queries.published_configs(tenant.pk)] == [3, 2, 1]


@pytest.mark.parametrize("tier", ["basic", "advanced", "premium"])
def test_the_last_tenant_leaves_nothing_behind(world, tier):
    tenant = world.sign_up("acme", tier)
    world.settle(tenant)
    assert world.counts()
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    world.settle(tenant)
    assert world.counts() == {}
    assert world.account.left_of(tenant.public_id) == []
    assert not ManagedResource.objects.living().exists()
    done = {step.key: step.done_at for step in tenant.offboarding_steps.all()}
    assert done["resources"] is not None


def test_the_pool_stays_while_somebody_needs_it(world):
    stays, leaves = world.sign_up("stays"), world.sign_up("leaves", "advanced")
    world.settle(stays, leaves)
    begin_offboarding(tenant_id=leaves.pk, reason="goodbye", actor=TESTER)
    world.settle(stays, leaves)
    assert world.account.left_of(leaves.public_id) == []
    assert world.counts() == BASIC


def test_leaving_while_being_made_leaves_nothing_either(world):
    tenant = world.sign_up("acme", "premium")
    for _ in range(5):
        world.step(tenant)
    begin_offboarding(tenant_id=tenant.pk, reason="changed their mind", actor=TESTER)
    world.settle(tenant)
    assert world.counts() == {}


def test_deletion_keeps_the_order(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    world.settle(tenant)
    gone = {row.kind: row.gone_at for row in world.rows(phase=Phase.GONE)}
    assert gone["base_component"] < gone["endpoint"] < gone["endpoint_config"]
    assert gone["base_component"] < gone["model"]


def test_the_lister_would_find_what_is_left(world):
    """A negative control: the count above is zero because nothing is there, not because nothing is seen."""
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    left = world.account.left_of(tenant.public_id)
    assert len([name for name in left if name.startswith(("model", "endpoint", "inference"))]) == 4
    assert len([name for name in left if name.startswith("config item")]) == 2
