"""What AWS does to us, and what must not come of it."""

import boto3
import pytest

from demo.lister import doubled
from provisioning.models import ManagedResource, Operation, ServingLine, TierRoute
from provisioning.services.converge import converge_tenant
from provisioning.services.operation_control import retry_operation
from provisioning.specs import derive_name
from provisioning.states import OperationState, Phase, StuckReason
from tenants.services.offboarding import begin_offboarding
from tenants.states import TenantState
from tests.factories import TESTER

CREATES = ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "CreateInferenceComponent"]
DELETES = ["DeleteModel", "DeleteEndpointConfig", "DeleteEndpoint", "DeleteInferenceComponent"]
ONE_OF_EACH = {"model": 1, "endpoint_config": 1, "endpoint": 1, "inference_component": 1}


def test_a_lost_reply_does_not_create_twice(world):
    for operation in CREATES:
        world.aws.fault("lose_reply", operation=operation, times=1)
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE
    assert world.counts() == ONE_OF_EACH
    assert doubled(world.hosted()) == []
    assert ManagedResource.objects.count() == 4 and world.aws.get("faults") == {"faults": []}


def test_a_lost_reply_to_a_deletion_is_found_by_looking(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    for operation in DELETES:
        world.aws.fault("lose_reply", operation=operation, times=1)
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    world.settle(tenant)
    assert world.counts() == {} and world.aws.get("faults") == {"faults": []}


@pytest.mark.parametrize("fault", ["throttle", "server_error"])
def test_a_storm_of_refusals_fails_nothing(world, fault):
    world.aws.fault(fault, times=25)
    tenant = world.sign_up("acme", "premium")
    for _ in range(25):  # the pre-flight changes nothing while it is refused, which is not to be taken for settled
        world.step(tenant)
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE
    assert not ManagedResource.objects.exclude(stuck_reason="").exists()
    assert world.counts() == ONE_OF_EACH


def test_a_quota_is_told_once_and_clears_itself(world):
    tenant = world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)  # the pre-flight has passed; then AWS takes the quota away
    world.aws.post("quotas", {"ml.g5.2xlarge": 0})
    world.settle(tenant)
    assert tenant.state == TenantState.PROVISIONING_FAILED
    row = world.row(kind="endpoint")
    assert row.stuck_reason == StuckReason.QUOTA
    assert "account-level service limit" in row.detail
    assert row.last_request_id and row.what_to_do
    operation = Operation.objects.get(tenant=tenant)
    assert operation.state == OperationState.FAILED and "account-level" in operation.detail
    world.aws.post("quotas", {"ml.g5.2xlarge": 4})
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE
    operation.refresh_from_db()
    assert operation.state == OperationState.SUCCEEDED
    assert world.counts() == ONE_OF_EACH


def test_a_failed_endpoint_is_removed_and_not_sent_again(world):
    world.aws.fault("fail", operation="CreateEndpoint", times=1)
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    assert tenant.state == TenantState.PROVISIONING_FAILED
    assert "ping health check" in tenant.state_reason
    assert world.calls("CreateEndpoint") == 1
    assert "endpoint" not in world.counts()  # a failed one keeps its instances
    failed = ManagedResource.objects.get(kind="endpoint")
    assert (failed.phase, failed.stuck_reason) == (Phase.GONE, StuckReason.TERMINAL)

    retry_operation(operation_id=Operation.objects.get(tenant=tenant).pk, actor=TESTER)
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE
    assert [row.incarnation for row in world.rows(kind="endpoint")] == [1, 2]
    assert world.counts() == ONE_OF_EACH


def test_no_capacity_is_tried_again_by_itself(world):
    world.aws.fault("no_capacity", operation="CreateEndpoint", times=1)
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    failed = ManagedResource.objects.get(kind="endpoint")
    assert (failed.phase, failed.stuck_reason) == (Phase.GONE, StuckReason.CAPACITY)
    assert tenant.state == TenantState.PROVISIONING_FAILED
    ManagedResource.objects.filter(pk=failed.pk).update(look_again_at=failed.created_at)  # its backoff is over
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE
    assert world.counts() == ONE_OF_EACH


def test_a_create_that_hangs_makes_no_second_one(world):
    world.aws.fault("stuck_creating", operation="CreateEndpoint", times=1)
    tenant = world.sign_up("acme", "premium")
    for _ in range(12):
        world.step(tenant)
    tenant.refresh_from_db()
    assert tenant.state == TenantState.PROVISIONING
    assert world.calls("CreateEndpoint") == 1
    assert world.row(kind="endpoint").creating_sightings > 5


def test_somebody_elses_object_of_that_name_is_not_touched(world):
    tenant = world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    row = world.row(kind="model")
    client = boto3.client("sagemaker")
    theirs = {"Image": "somebody/elses:1", "Environment": {"A": "b"}}
    client.create_model(
        ModelName=row.name, PrimaryContainer=theirs, ExecutionRoleArn=row.identity["execution_role_arn"]
    )
    before = client.describe_model(ModelName=row.name)
    world.settle(tenant)
    assert world.row(kind="model").stuck_reason == StuckReason.CONFLICT
    assert tenant.state == TenantState.PROVISIONING_FAILED
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    world.settle(tenant)
    after = client.describe_model(ModelName=row.name)
    assert {**after, "ResponseMetadata": None} == {**before, "ResponseMetadata": None}
    assert world.counts() == {}
    assert not ManagedResource.objects.living().exists()


def test_an_update_that_aws_undid_is_seen_and_not_sent_again(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    old = world.row(kind="endpoint_config").name
    world.aws.fault("roll_back_update", times=1)
    ServingLine.objects.filter(name="dedicated").update(instance_count=2, max_instance_count=2)
    world.settle(tenant)
    endpoint = world.row(kind="endpoint")
    assert (endpoint.phase, endpoint.stuck_reason) == (Phase.READY, StuckReason.TERMINAL)
    assert world.calls("UpdateEndpoint") == 1
    running = boto3.client("sagemaker").describe_endpoint(EndpointName=endpoint.name)["EndpointConfigName"]
    assert running == old
    assert ManagedResource.objects.living().filter(name=old).exists()  # what runs is not deleted
    assert world.counts()["endpoint_config"] == 2

    ServingLine.objects.filter(name="dedicated").update(instance_count=3, max_instance_count=3)
    world.settle(tenant)
    assert world.row(kind="endpoint").stuck_reason == ""
    assert world.calls("UpdateEndpoint") == 2
    assert world.counts() == ONE_OF_EACH


def test_a_changed_setting_is_an_update_in_place(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    ServingLine.objects.filter(name="dedicated").update(copies=3)
    world.settle(tenant)
    base = world.row(kind="base_component")
    seen = boto3.client("sagemaker").describe_inference_component(InferenceComponentName=base.name)
    assert seen["RuntimeConfig"]["DesiredCopyCount"] == 3
    assert base.incarnation == 1 and world.calls("CreateInferenceComponent") == 1


def test_what_vanishes_is_made_again_under_a_new_name(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    for kind in ("endpoint", "base_component", "model", "endpoint_config"):
        old = world.row(kind=kind).name
        world.aws.fault("vanish", name_contains=old, times=1)
        world.settle(tenant)
        assert world.row(kind=kind).name != old
        assert ManagedResource.objects.get(name=old).phase == Phase.GONE
        assert world.counts() == ONE_OF_EACH
        config = tenant.published_configs.get(is_current=True)
        assert config.document["routes"]["base"]["targets"][0]["component"] == world.row(kind="base_component").name


def test_a_tier_without_a_line_says_so(world):
    TierRoute.objects.filter(line__name="dedicated").delete()
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    assert tenant.state == TenantState.PROVISIONING_FAILED
    assert "no serving line" in tenant.state_reason
    assert world.counts() == {}


def test_a_row_that_we_cannot_handle_does_not_hold_up_the_others(world):
    tenant = world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    model = world.row(kind="model")
    ManagedResource.objects.filter(pk=model.pk).update(identity={"surprise": 1})
    for _ in range(8):
        world.run_pass()
    assert world.row(pk=model.pk).stuck_reason == StuckReason.TERMINAL
    assert "surprise" in world.row(pk=model.pk).detail
    assert world.row(kind="endpoint").phase == Phase.READY


def test_another_installations_tag_is_not_ours(world):
    tenant = world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    row = world.row(kind="model")
    boto3.client("sagemaker").create_model(
        ModelName=row.name,
        PrimaryContainer={"Image": "x:1"},
        ExecutionRoleArn=row.identity["execution_role_arn"],
        Tags=[{"Key": "cp:install", "Value": "other"}, {"Key": "cp:resource", "Value": row.public_id}],
    )
    world.run_pass()
    assert world.row(kind="model").stuck_reason == StuckReason.CONFLICT


def test_names_are_derived_and_never_reused():
    made = derive_name(install="local", kind="endpoint", slug="acme", identity_digest="ab" * 32, incarnation=2)
    assert made == "local-endpoint-acme-abababab-2"
