"""A tier change is a transaction over money and resources: made beside, proved, moved, removed, or back as it was."""

import pytest

from core import clock, crashpoints
from core.periods import Period
from models_registry.services.releases import withdraw
from provisioning import queries
from provisioning.models import ManagedResource, Operation, TierChange
from provisioning.services import tier_changes
from provisioning.services.converge import converge_tenant
from provisioning.services.operation_control import NotCancellable, cancel_operation, retry_operation
from provisioning.services.tier_changes import ChangeUnderWay, TierChangeRefused, plan_change
from provisioning.states import ChangeState, OperationState, Phase
from tenants.models import TierAssignment, TierVersion
from tenants.queries import assignments, current_tier_version, tier_version_of
from tenants.services.lifecycle import suspend_tenant
from tenants.services.offboarding import begin_offboarding
from tests.factories import TESTER
from tests.integration.provisioning.changing import (
    change_to,
    end_draining,
    routed_lines,
    served_tenant,
    settle_change,
)


def tiers_of(tenant) -> list[str]:
    whole = Period(tenant.signed_up_at, clock.now())
    return [version.tier.key for _, version in assignments(tenant.pk, whole)]


def living(tenant) -> set[tuple[str, str]]:
    rows = ManagedResource.objects.filter(tenant=tenant).exclude(phase=Phase.GONE).select_related("line")
    return {(row.kind, row.line.name) for row in rows}


DEDICATED = {
    (kind, "dedicated") for kind in ("model", "endpoint_config", "endpoint", "base_component", "adapter_component")
}


def test_a_dry_run_says_what_is_made_and_removed_and_writes_nothing(world):
    tenant = served_tenant(world)
    before = world.aws.calls()
    plan = plan_change(tenant_id=tenant.pk, tier_version_id=current_tier_version("premium").pk)
    made = {(each.kind, each.line) for each in plan.resources if each.action == "make"}
    removed = {(each.kind, each.line) for each in plan.resources if each.action == "remove"}
    assert made == DEDICATED and removed == {("adapter_component", "pooled")}
    [endpoint] = [each for each in plan.resources if each.kind == "endpoint" and each.action == "make"]
    assert (endpoint.instance_type, endpoint.instance_count) == ("ml.g5.2xlarge", 1)
    assert plan.is_possible and plan.downtime_seconds == 0 and plan.limits["max_adapters"] == (3, 50)
    assert [said.partition(" leave room for ")[0] for said in plan.memory] == [
        "dedicated: tiny-llama and 8 slots of rank 64"
    ]
    assert set(world.aws.calls()) - set(before) <= {"ListServiceQuotas"} and not TierChange.objects.exists()


@pytest.mark.long
def test_from_shared_to_dedicated_and_back(world):
    tenant = served_tenant(world)
    operation = change_to(tenant, "premium")
    change = settle_change(world, tenant)
    assert change.state == ChangeState.DONE, change.detail
    assert routed_lines(tenant) == {"dedicated"} and living(tenant) == DEDICATED
    operation.refresh_from_db()
    assert operation.state == OperationState.SUCCEEDED
    assert {step.state for step in operation.steps.all()} == {"done"}
    assert operation.steps.filter(key__startswith="delete ").count() == 1
    assert tier_version_of(tenant.pk, clock.now()).tier.key == "premium"
    turn = TierAssignment.objects.get(tenant=tenant, period__endswith__isnull=True).period.lower
    assert turn == change.cut_over_at and tier_version_of(tenant.pk, turn).tier.key == "premium"

    change_to(tenant, "basic")
    assert settle_change(world, tenant).state == ChangeState.DONE
    assert routed_lines(tenant) == {"pooled"} and living(tenant) == {("adapter_component", "pooled")}
    assert tiers_of(tenant) == ["basic", "premium", "basic"]


@pytest.mark.long
def test_traffic_stays_until_everything_new_is_proved_and_the_old_stays_until_requests_have_ended(world):
    tenant = served_tenant(world)
    change_to(tenant, "premium")
    for _ in range(40):
        world.step(tenant)
        change = TierChange.objects.get()
        if change.state == ChangeState.REMOVING:
            break
        serving = ManagedResource.objects.filter(tenant=tenant, line__name="dedicated", phase=Phase.READY).count()
        assert routed_lines(tenant) == {"pooled"} or serving == len(DEDICATED)
    assert routed_lines(tenant) == {"dedicated"} and change.is_draining
    world.settle(tenant)
    assert ("adapter_component", "pooled") in living(tenant)
    end_draining()
    world.settle(tenant)
    assert ("adapter_component", "pooled") not in living(tenant)


def test_what_aws_cannot_make_takes_the_tenant_back_and_a_retry_goes_forward_again(world):
    tenant = served_tenant(world)
    world.aws.fault("fail", operation="CreateEndpoint", times=1)
    operation = change_to(tenant, "premium")
    change = settle_change(world, tenant)
    assert change.state == ChangeState.RETURNED and "endpoint" in change.detail.lower()
    operation.refresh_from_db()
    assert operation.state == OperationState.FAILED and "Back on Basic v1" in operation.detail
    assert routed_lines(tenant) == {"pooled"} and living(tenant) == {("adapter_component", "pooled")}
    assert tiers_of(tenant) == ["basic"]

    retry_operation(operation_id=operation.pk, actor=TESTER)
    change = settle_change(world, tenant)
    assert (change.state, change.attempts) == (ChangeState.DONE, 2)
    operation.refresh_from_db()
    assert operation.state == OperationState.SUCCEEDED and routed_lines(tenant) == {"dedicated"}


@pytest.mark.long
def test_an_adapter_without_effect_on_the_new_lines_takes_the_tenant_back(world):
    tenant = served_tenant(world)
    world.aws.post("inference", {"behaviour": "load_nothing", "name_contains": "adapter-acme"})
    change_to(tenant, "premium")
    change = settle_change(world, tenant)
    assert change.state == ChangeState.RETURNED and "does not answer" in change.detail
    assert routed_lines(tenant) == {"pooled"} and tiers_of(tenant) == ["basic"]


def test_what_is_withdrawn_while_new_lines_are_asked_is_not_routed_to_them(world):
    tenant = served_tenant(world)
    change_to(tenant, "premium")
    asked = []

    def withdraw_meanwhile(point):
        if point == "before commit tier change prepared" and not asked:
            asked.append(point)
            withdraw(adapter_id=tenant.adapters.get().pk, reason="Wrong tone.", actor=TESTER)

    crashpoints.arm(withdraw_meanwhile)
    try:
        while not asked:
            world.run_pass()
            converge_tenant(tenant_id=tenant.pk)
    finally:
        crashpoints.arm(None)
    assert "support" not in queries.current_config(tenant.pk).document["routes"]


@pytest.mark.long
def test_new_lines_that_fall_silent_after_the_turn_take_traffic_back_and_both_tiers_are_on_record(world):
    tenant = served_tenant(world)
    change_to(tenant, "premium")
    for _ in range(40):
        world.step(tenant)
        if ManagedResource.objects.filter(tenant=tenant, kind="adapter_component", line__name="dedicated").exists():
            break
    # As if everything had been proved, and the adapter's container had died since.
    world.aws.post("inference", {"behaviour": "load_nothing", "name_contains": "adapter-acme"})
    for _ in range(10):
        world.run_pass()
    ManagedResource.objects.filter(kind="adapter_component").update(probed_at=clock.now())
    TierChange.objects.update(state=ChangeState.CUTTING_OVER, prepared_at=clock.now())
    change = settle_change(world, tenant)
    assert change.state == ChangeState.RETURNED and "does not answer" in change.detail
    assert tiers_of(tenant) == ["basic", "premium", "basic"] and routed_lines(tenant) == {"pooled"}
    assert living(tenant) == {("adapter_component", "pooled")}


@pytest.mark.long
def test_a_cancel_before_and_after_the_turn(world):
    tenant = served_tenant(world)
    operation = change_to(tenant, "premium")
    for _ in range(6):
        world.step(tenant)
    assert ManagedResource.objects.filter(tenant=tenant, line__name="dedicated").exists()
    cancel_operation(operation_id=operation.pk, reason="the wrong tenant", actor=TESTER)
    change = settle_change(world, tenant)
    operation.refresh_from_db()
    assert change.state == ChangeState.RETURNED and operation.state == OperationState.CANCELLED
    assert "the wrong tenant" in operation.detail
    assert living(tenant) == {("adapter_component", "pooled")} and tiers_of(tenant) == ["basic"]

    later = change_to(tenant, "premium")
    for _ in range(40):
        world.step(tenant)
        if TierChange.objects.latest("pk").state == ChangeState.REMOVING:
            break
    with pytest.raises(NotCancellable) as caught:
        cancel_operation(operation_id=later.pk, reason="too late", actor=TESTER)
    assert "change the tier back" in caught.value.hint


def test_obstacles_are_told_all_at_once_and_nothing_is_begun(world):
    tenant = served_tenant(world)
    tight = TierVersion.objects.create(
        tier=current_tier_version("basic").tier,
        number=2,
        max_adapters=0,
        max_adapter_bytes=1,
        max_lora_rank=4,
        keep_previous_warm=False,
        warm_window_hours=0,
    )
    with pytest.raises(TierChangeRefused) as caught:
        tier_changes.change_tier(tenant_id=tenant.pk, tier_version_id=tight.pk, reason="", actor=TESTER)
    codes = {error.code for error in caught.value.errors}
    assert codes >= {"tier_version_not_published", "rank_above_tier", "no_serving_line", "too_many_adapters"}
    assert not TierChange.objects.exists() and not Operation.objects.filter(kind="change_tier").exists()


def test_one_change_at_a_time_and_asking_twice_is_asking_once(world):
    tenant = served_tenant(world)
    first = change_to(tenant, "premium")
    assert change_to(tenant, "premium") == first
    with pytest.raises(ChangeUnderWay):
        change_to(tenant, "advanced")


@pytest.mark.long
def test_a_tenant_that_leaves_or_is_suspended_in_the_middle(world):
    leaving, paused = served_tenant(world, "leaves"), served_tenant(world, "pauses")
    change_to(leaving, "premium")
    change_to(paused, "premium")
    world.step(leaving, paused)
    begin_offboarding(tenant_id=leaving.pk, reason="goodbye", actor=TESTER)
    suspend_tenant(tenant_id=paused.pk, reason="unpaid", actor=TESTER)
    world.settle(leaving, paused)
    end_draining()
    world.settle(leaving, paused)
    assert TierChange.objects.get(tenant=leaving).state == ChangeState.RETURNED
    assert living(leaving) == set()
    assert Operation.objects.get(tenant=leaving, kind="change_tier").state == OperationState.SUPERSEDED
    assert TierChange.objects.get(tenant=paused).state == ChangeState.DONE
    assert living(paused) == DEDICATED and routed_lines(paused) == {"dedicated"}


@pytest.mark.long
def test_converging_a_settled_tenant_asks_for_nothing(world):
    tenant = served_tenant(world)
    change_to(tenant, "premium")
    settle_change(world, tenant)
    before = world.aws.calls()
    converge_tenant(tenant_id=tenant.pk)
    assert world.aws.calls() == before
