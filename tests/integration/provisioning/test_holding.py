"""Holding, cancelling and suspending: nothing more is begun, what was done is undone, and a tier says what stays."""

import pytest

from provisioning.models import ManagedResource, Operation
from provisioning.queries import current_config
from provisioning.services.operation_control import (
    NotCancellable,
    NotHoldable,
    cancel_operation,
    continue_operation,
    hold_operation,
)
from provisioning.states import OperationState, Phase
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tenants.services.offboarding import begin_offboarding
from tenants.states import TenantState
from tests.factories import TESTER
from tests.integration.provisioning.changing import change_to, new_version, routed_lines, served_tenant, settle_change


def living(tenant) -> int:
    return ManagedResource.objects.filter(tenant=tenant).exclude(phase__in=[Phase.GONE, Phase.WISHED]).count()


def test_a_held_onboarding_begins_nothing_more_and_goes_on_when_continued(world):
    tenant = world.sign_up("acme", "premium")
    world.step(tenant)
    operation = Operation.objects.get(tenant=tenant)
    assert operation.started_by == "tester"
    hold_operation(operation_id=operation.pk, reason="budget", actor=TESTER)
    with pytest.raises(NotHoldable):
        hold_operation(operation_id=operation.pk, reason="again", actor=TESTER)
    for _ in range(4):  # what was begun before the hold ends
        world.step(tenant)
    before, calls = living(tenant), world.aws.calls()
    for _ in range(4):
        world.step(tenant)
    after = world.aws.calls()
    assert living(tenant) == before and {name: after[name] for name in after if name.startswith("Create")} == {
        name: calls[name] for name in calls if name.startswith("Create")
    }
    continue_operation(operation_id=operation.pk, actor=TESTER)
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE


@pytest.mark.long
def test_a_hold_keeps_traffic_from_nothing_that_protects(world):
    tenant = served_tenant(world)
    operation = change_to(tenant, "premium")
    world.step(tenant)
    hold_operation(operation_id=operation.pk, reason="wait", actor=TESTER)
    suspend_tenant(tenant_id=tenant.pk, reason="abuse", actor=TESTER)
    world.settle(tenant)
    assert current_config(tenant.pk).document["status"] == "suspended"
    begin_offboarding(tenant_id=tenant.pk, reason="abuse", actor=TESTER)
    world.settle(tenant)
    assert living(tenant) == 0


def test_cancelling_an_onboarding_removes_what_was_made(world):
    tenant = world.sign_up("acme", "premium")
    for _ in range(4):
        world.step(tenant)
    assert living(tenant)
    operation = Operation.objects.get(tenant=tenant)
    cancel_operation(operation_id=operation.pk, reason="the wrong region", actor=TESTER)
    world.settle(tenant)
    operation.refresh_from_db()
    assert operation.state == OperationState.CANCELLED and "the wrong region" in operation.detail
    assert tenant.state == TenantState.OFFBOARDING and living(tenant) == 0
    leaving = Operation.objects.get(tenant=tenant, kind="offboard")
    with pytest.raises(NotCancellable) as caught:
        cancel_operation(operation_id=leaving.pk, reason="no", actor=TESTER)
    assert "cannot be undone" in caught.value.hint


@pytest.mark.long
def test_a_tier_that_keeps_nothing_removes_resources_on_suspension_and_answers_only_when_all_is_back(world):
    tenant = served_tenant(world, "frugal", "advanced")
    frugal = new_version("advanced", on_suspend="remove")
    change_to(tenant, "advanced")
    settle_change(world, tenant)
    assert tenant.assignments.filter(tier_version=frugal).exists() and routed_lines(tenant) == {"shared-endpoint"}
    suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
    world.settle(tenant)
    assert living(tenant) == 0 and current_config(tenant.pk).document["routes"] == {}
    suspension = Operation.objects.get(tenant=tenant, kind="suspend")
    assert suspension.state == OperationState.SUCCEEDED and suspension.steps.count() > 1

    resume_tenant(tenant_id=tenant.pk, actor=TESTER)
    for _ in range(30):
        world.step(tenant)
        document = current_config(tenant.pk).document
        if document["status"] == "active":
            break
    assert set(document["routes"]) == {"base", "support"}
    world.settle(tenant)
    assert Operation.objects.get(tenant=tenant, kind="resume").state == OperationState.SUCCEEDED
