"""What the loop asks of AWS when nothing is to be done, and that who is stuck costs the others nothing."""

from datetime import timedelta
from typing import Any

import boto3
import botocore.client

from core.clock import real_now
from core.crashpoints import arm
from provisioning.models import ManagedResource
from provisioning.reconciler import observe
from provisioning.reconciler.loop import run_pass
from provisioning.states import Phase
from provisioning.tasks import reconcile_due
from tenants.states import TenantState

# What a tenant with lines of its own takes to become active when nobody else is there.
STEPS_ALONE = 7


def make_due(**filters: Any) -> None:
    ManagedResource.objects.living().filter(**filters).update(look_again_at=real_now() - timedelta(seconds=1))


def test_settled_resources_cost_a_list_of_their_kind_and_no_client(world, monkeypatch):
    monkeypatch.setattr(observe, "LISTING_PAYS_FROM", 2)
    tenants = [world.sign_up("one", "premium"), world.sign_up("two", "premium")]
    world.settle(*tenants)
    made, create = [], botocore.client.ClientCreator.create_client

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return create(*args, **kwargs)

    monkeypatch.setattr(botocore.client.ClientCreator, "create_client", counted)
    before, turns = world.aws.calls(), 5
    for _ in range(turns):
        make_due()
        reconcile_due()
    after = world.aws.calls()
    asked = {name: number - before.get(name, 0) for name, number in after.items() if number != before.get(name, 0)}
    lists = ("ListModels", "ListEndpointConfigs", "ListEndpoints", "ListInferenceComponents")
    assert asked == dict.fromkeys(lists, turns)
    assert made == []

    # The list that is read for one does for all that are settled there, due or not.
    make_due(kind="endpoint")
    assert run_pass(limit=1).claimed == 1
    assert not ManagedResource.objects.filter(kind="endpoint", look_again_at__lte=real_now()).exists()

    # What the list cannot show is looked for once AWS says that it was modified.
    base = world.rows(kind="base_component")[0]
    client: Any = boto3.client("sagemaker")
    client.update_inference_component_runtime_config(
        InferenceComponentName=base.name, DesiredRuntimeConfig={"CopyCount": 2}
    )
    world.settle(*tenants)
    told = client.describe_inference_component(InferenceComponentName=base.name)
    assert told["RuntimeConfig"]["DesiredCopyCount"] == 1


def steps_until_active(world, tenant, *others) -> int:
    for number in range(1, 20):
        world.step(tenant, *others)
        while run_pass(limit=500).claimed:
            pass
        tenant.refresh_from_db()
        if tenant.state == TenantState.ACTIVE:
            return number
    raise AssertionError("it never became active")


def test_stuck_tenants_delay_nobody(world):
    stuck = [world.sign_up(slug, "premium") for slug in ("hanging", "failing", "refused")]
    other = world.sign_up("other", "premium")
    world.aws.fault("stuck_creating", operation="CreateEndpoint", name_contains="hanging")
    world.aws.fault("fail", operation="CreateEndpoint", name_contains="failing", times=99)
    world.aws.fault("server_error", operation="CreateModel", name_contains="refused", times=99)
    assert steps_until_active(world, other, *stuck) <= STEPS_ALONE
    for tenant in stuck:
        tenant.refresh_from_db()
        assert tenant.state != TenantState.ACTIVE

    # Who failed is tried after the others are recorded, so that a call that hangs holds up no healthy row.
    passed: list[str] = []
    arm(passed.append)
    try:
        world.run_pass()
    finally:
        arm(None)
    assert passed.index("after commit record") < passed.index("before create model")
    assert Phase.CREATING in {row.phase for row in world.rows(kind="endpoint")}
