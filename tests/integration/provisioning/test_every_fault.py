"""Every fault at every operation that the reconciler calls, at least once: a tenant comes, changes and leaves all the
same, and AWS never holds anything twice or anything that no row knows.

A journey strikes every operation once, with one of the faults that a request can meet; the next journey gives each
operation the next fault. So three journeys are the whole matrix, and one of them is in the suite. What befalls an
object later (it fails, hangs, is undone, vanishes) has a journey for each operation or kind.
"""

from dataclasses import replace

import boto3
import pytest

from aws.errors import AwsError
from demo.lister import doubled, leaked
from models_registry.models import Adapter
from models_registry.services.approvals import decide_approval
from models_registry.states import Approval
from provisioning import queries
from provisioning.models import ManagedResource, Operation, ServingLine
from provisioning.reconciler import observe
from provisioning.services.catalogue import API_LINES, define_api_line
from provisioning.services.findings import keep_inventory
from provisioning.services.mirroring import mirror_registry
from provisioning.services.operation_control import retry_operation
from provisioning.specs import ADAPTER_COMPONENT, INFERENCE_PROFILE, MODEL_PACKAGE
from provisioning.states import OperationState
from tenants.services.offboarding import begin_offboarding
from tests.factories import TESTER
from tests.integration.models_registry.test_releases import ready
from tests.integration.provisioning.changing import release_something
from tests.integration.provisioning.elsewhere import (
    HOME,
    THEIRS,
    hosted_in,
    let_us_in,
    make_tier,
    prove_account,
    register_tenant_account,
)

# A journey takes some seconds, and minutes where many others work.
pytestmark = pytest.mark.timeout(900)

REFUSALS = ("throttle", "server_error", "lose_reply")
HOSTED = ("Model", "EndpointConfig", "Endpoint", "InferenceComponent", "ModelPackageGroup", "ModelPackage")
OPERATIONS = (
    *(f"{verb}{kind}" for kind in HOSTED for verb in ("Create", "Describe", "Delete")),
    *(f"List{kind}s" for kind in HOSTED),
    *("UpdateEndpoint", "UpdateInferenceComponentRuntimeConfig", "UpdateModelPackage", "ListTags"),
    *("CreateInferenceProfile", "GetInferenceProfile", "ListInferenceProfiles", "DeleteInferenceProfile"),
    "ListTagsForResource",
)


@pytest.fixture
def everything(world, monkeypatch):
    """A tenant whose tier has a hosted line and an API line of a geography, so that every kind is made for it."""
    monkeypatch.setattr(observe, "LISTING_PAYS_FROM", 1)  # lists are used for one row too
    model = API_LINES["cheap-api"].model_id
    define_api_line(name="us-api", region=HOME, api=replace(API_LINES["cheap-api"], model_id=f"us.{model}"))
    make_tier("everything", "pool", "dedicated", "us-api")
    return world.sign_up("acme", "everything")


def persist(world, tenant) -> None:
    """As sweeps do: whatever AWS refuses now is tried again, until nothing changes any more."""
    world.settle(tenant)
    mirror_registry(tenant_id=tenant.pk)
    world.settle(tenant)


def look(world) -> None:
    """The inventory, again while AWS refuses it; nothing leaked and nothing doubled."""
    for _ in range(20):
        try:
            keep_inventory()
            break
        except AwsError:
            continue
    hosted = world.hosted()
    known = set(ManagedResource.objects.living().values_list("name", flat=True))
    assert leaked(hosted, known=known) == [] and doubled(hosted) == []


def change_everything(tenant) -> None:
    """What updates an endpoint, a component and a package."""
    ServingLine.objects.filter(name="dedicated").update(copies=2, instance_count=2, max_instance_count=2)
    version = Adapter.objects.get(tenant=tenant).versions.get(approval=Approval.PENDING)
    decide_approval(version_id=version.pk, is_approved=True, reason="read", actor=TESTER)


def journey(world, tenant) -> None:
    """Come, serve an adapter, change, leave."""
    persist(world, tenant)
    assert tenant.state == "active", tenant.state_reason
    release_something(tenant)
    ready(Adapter.objects.get(tenant=tenant), approval=Approval.PENDING)
    persist(world, tenant)
    look(world)
    assert {row.phase for row in world.rows()} == {"ready"} and not queries.stuck_resources(None).exists()
    assert "support" in queries.current_config(tenant.pk).document["routes"]
    change_everything(tenant)
    persist(world, tenant)
    look(world)
    endpoint = world.row(kind="endpoint")
    told = boto3.client("sagemaker").describe_endpoint(EndpointName=endpoint.name)
    assert told["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    persist(world, tenant)
    assert [seen.name for seen in world.hosted()] == [] and not ManagedResource.objects.living().exists()


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.long) for turn in (1, 2))])
def test_a_tenant_comes_changes_and_leaves_through_a_fault_at_every_operation(world, everything, turn):
    for number, operation in enumerate(OPERATIONS):
        world.aws.fault(REFUSALS[(number + turn) % len(REFUSALS)], operation=operation, times=1)
    journey(world, everything)
    assert world.aws.get("faults") == {"faults": []}, "every one of them struck"


def test_no_fault_at_assuming_a_role_loses_the_account_or_makes_anything_twice(world):
    make_tier("split", "split")
    tenant = world.sign_up("acme", "split")
    account = register_tenant_account(tenant_id=tenant.pk, account_id=THEIRS, regions=[HOME], actor=TESTER)
    let_us_in(world, account)
    prove_account(aws_account_id=account.pk, actor=TESTER)
    for fault in REFUSALS:
        world.aws.fault(fault, operation="AssumeRole", times=1)
    persist(world, tenant)
    assert world.aws.get("faults") == {"faults": []} and tenant.state == "active"
    assert len(hosted_in(account)) == 1
    account.refresh_from_db()
    assert account.condition == "proven"


SLOW = [
    *((fault, f"Create{kind}") for fault in ("fail", "no_capacity") for kind in ("Endpoint", "InferenceComponent")),
    *(("stuck_creating", f"Create{kind}") for kind in ("Endpoint", "InferenceComponent")),
    *(("roll_back_update", f"Update{what}") for what in ("Endpoint", "InferenceComponentRuntimeConfig")),
]


@pytest.mark.long
@pytest.mark.parametrize(("fault", "operation"), SLOW)
def test_what_fails_hangs_or_is_undone_after_it_was_taken_leaves_nothing_behind(world, everything, fault, operation):
    tenant = everything
    world.aws.fault(fault, operation=operation, times=1)
    if fault == "stuck_creating":
        for _ in range(12):
            world.step(tenant)
        tenant.refresh_from_db()
    else:
        persist(world, tenant)
    if fault == "roll_back_update":
        assert tenant.state == "active"
        ServingLine.objects.filter(name="dedicated").update(copies=2, instance_count=2, max_instance_count=2)
        persist(world, tenant)
        assert queries.stuck_resources(None).exists() and queries.current_config(tenant.pk).document["routes"]
    else:
        assert tenant.state != "active"
    look(world)
    assert world.aws.get("faults") == {"faults": []}
    for operation_row in Operation.objects.filter(state=OperationState.FAILED):
        retry_operation(operation_id=operation_row.pk, actor=TESTER)
    if fault == "stuck_creating":
        hanging = ManagedResource.objects.get(aws_status="Creating")
        world.aws.fault("vanish", name_contains=hanging.name, times=1)
    persist(world, tenant)
    look(world)
    assert tenant.state == "active", tenant.state_reason
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    persist(world, tenant)
    assert [seen.name for seen in world.hosted()] == []


@pytest.mark.long
def test_what_vanishes_of_the_other_kinds_is_made_again_once(world, everything):
    # A group with packages is deleted by nobody: AWS refuses it.
    tenant = everything
    persist(world, tenant)
    release_something(tenant)
    persist(world, tenant)
    for kind in (ADAPTER_COMPONENT, INFERENCE_PROFILE, MODEL_PACKAGE):
        old = world.row(kind=kind)
        name = old.arn.partition(":model-package/")[2] if kind == MODEL_PACKAGE else old.name
        world.aws.fault("vanish", name_contains=name, times=1)
        persist(world, tenant)
        look(world)
        assert world.row(kind=kind).name != old.name and world.row(kind=kind).phase == "ready", kind
