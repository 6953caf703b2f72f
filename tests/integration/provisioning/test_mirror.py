"""SageMaker's model registry mirrors ours: made, decided, mended or followed, and removed with the tenant."""

import os

import boto3
import pytest

from accounts.services import issue_api_key
from core import clock, crashpoints
from events.models import Event
from models_registry.models import AdapterVersion, Release
from models_registry.queries import served_at
from models_registry.services.adapters import archive_version, create_adapter, restore_version, set_outside_approvals
from models_registry.services.approvals import decide_approval
from models_registry.services.releases import withdraw
from models_registry.states import Approval
from provisioning import queries
from provisioning.models import ManagedResource, ResourceInterval
from provisioning.services.converge import converge_tenant
from provisioning.services.inventory import take_inventory
from provisioning.services.mirroring import mirror_registry
from provisioning.specs import UNDECIDED_NOTE
from tenants.services.offboarding import begin_offboarding
from tenants.services.onboarding import begin_provisioning
from tests.factories import TESTER
from tests.integration.api.client import Caller
from tests.integration.models_registry.test_releases import ready
from tests.integration.models_registry.uploading import upload
from tests.integration.provisioning.releasing import adapter_for
from tests.integration.provisioning.releasing import told as told_of


@pytest.fixture
def mirrored(world):
    """A tenant with two versions of one adapter that wait for approval, and their packages."""
    tenant = world.sign_up("acme", "advanced")
    begin_provisioning(tenant_id=tenant.pk, actor=TESTER)
    base = queries.lines_of(tenant.pk)[0].profile.foundation_model_id
    adapter = create_adapter(tenant_id=tenant.pk, name="support", foundation_model_id=base, actor=TESTER)
    first = ready(adapter, dataset_ref="s3://data/2026-11 (b)", approval=Approval.PENDING)
    second = ready(adapter, approval=Approval.PENDING)
    mirror(world, tenant)
    return tenant, adapter, first, second


@pytest.fixture
def sagemaker():
    return boto3.client("sagemaker", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-west-2")


def mirror(world, tenant, passes=4):
    for _ in range(passes):
        mirror_registry(tenant_id=tenant.pk)
        world.run_pass()


def packages(sagemaker):
    """(approval, description of the approval) of each version's package, by the version's number."""
    found = []
    for row in sagemaker.list_model_packages(ModelPackageType="Versioned")["ModelPackageSummaryList"]:
        package = sagemaker.describe_model_package(ModelPackageName=row["ModelPackageArn"])
        number = int(package["CustomerMetadataProperties"]["number"])
        found.append((number, package["ModelApprovalStatus"], package.get("ApprovalDescription", "")))
    return [(approval, note) for _, approval, note in sorted(found)]


def arn_of(version):
    return ManagedResource.objects.living().get(identity__adapter_version=version.public_id).arn


def decide_outside(sagemaker, version, approval, note="Tests passed."):
    sagemaker.update_model_package(
        ModelPackageArn=arn_of(version), ModelApprovalStatus=approval, ApprovalDescription=note
    )


class Died(Exception):
    """The worker ended here."""


def die_before_the_wish(point):
    if point == "before commit mirror":
        raise Died


def told():
    return Event.objects.filter(name="adapter.approval_changed_outside")


def test_a_group_per_adapter_and_a_package_per_version_say_what_is_known(world, mirrored, sagemaker):
    tenant, _, first, _ = mirrored
    assert [approval for approval, _ in packages(sagemaker)] == ["PendingManualApproval"] * 2
    package = sagemaker.describe_model_package(ModelPackageName=arn_of(first))
    facts = package["CustomerMetadataProperties"]
    assert facts["adapter_version"] == first.public_id and facts["cp:tenant"] == tenant.public_id
    assert (facts["rank"], facts["sha256"], facts["route"]) == ("8", first.sha256, "support")
    assert facts["dataset"] == "s3://data/2026-11 -b-", "what AWS does not take is replaced"
    [container] = package["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"].endswith(first.artifact_key)
    made = world.calls("CreateModelPackage")
    mirror(world, tenant)
    assert world.calls("CreateModelPackage") == made, "what is there is not made again"
    assert take_inventory().is_clean
    assert not ResourceInterval.objects.filter(resource__kind__startswith="model_package").exists()


def test_a_decision_made_here_shows_there(world, mirrored, sagemaker):
    tenant, _, first, second = mirrored
    decide_approval(version_id=first.pk, is_approved=True, reason="Read\nthe evaluation.", actor=TESTER)
    decide_approval(version_id=second.pk, is_approved=False, reason="Worse.", actor=TESTER)
    mirror(world, tenant)
    assert packages(sagemaker) == [("Approved", "tester: Read the evaluation."), ("Rejected", "tester: Worse.")]
    decide_approval(version_id=first.pk, is_approved=False, reason="Second look.", actor=TESTER)
    mirror(world, tenant)
    assert packages(sagemaker)[0] == ("Rejected", "tester: Second look.")
    assert not told().exists(), "we changed it ourselves"


def test_an_approval_given_there_is_told_and_undone_where_it_does_not_count(world, mirrored, sagemaker):
    tenant, _, first, _ = mirrored
    decide_outside(sagemaker, first, "Approved")
    drift = take_inventory().drift
    assert [(found.before, found.after) for found in drift] == [
        ({"approval": "PendingManualApproval"}, {"approval": "Approved"})
    ]
    mirror(world, tenant)
    assert packages(sagemaker)[0] == ("Rejected", UNDECIDED_NOTE), "AWS takes nothing back to pending"
    event = told().get()
    assert event.subject_pk == first.pk and event.reason == "Tests passed."
    assert event.after["approval"] == "Approved" and event.after["by"].endswith(":root")
    first.refresh_from_db()
    assert first.approval == Approval.PENDING
    assert take_inventory().is_clean
    decide_approval(version_id=first.pk, is_approved=True, reason="Now here.", actor=TESTER)
    mirror(world, tenant)
    assert packages(sagemaker)[0] == ("Approved", "tester: Now here.")


def test_an_approval_given_there_is_taken_over_and_can_release(world, mirrored, sagemaker):
    tenant, adapter, first, second = mirrored
    set_outside_approvals(adapter_id=adapter.pk, policy="accept", reason="Our pipeline.", actor=TESTER)
    mirror(world, tenant)
    decide_outside(sagemaker, first, "Approved")
    mirror(world, tenant)
    first.refresh_from_db()
    assert (first.approval, first.approval_reason) == (Approval.APPROVED, "Tests passed.")
    assert first.approval_by.endswith(":root in SageMaker") and first.approval_by_ref.startswith("aws:arn:")
    assert told().count() == 1 and not Release.objects.exists()
    assert packages(sagemaker)[0][0] == "Approved" and take_inventory().is_clean

    set_outside_approvals(adapter_id=adapter.pk, policy="release", reason="All the way.", actor=TESTER)
    mirror(world, tenant)
    decide_outside(sagemaker, second, "Approved", "v2 is better.")
    mirror(world, tenant)
    release = Release.objects.get()
    assert release.version_id == second.pk and "in SageMaker" in release.requested_by
    decide_outside(sagemaker, second, "Rejected", "It is not.")
    mirror(world, tenant)
    second.refresh_from_db()
    assert second.approval == Approval.REJECTED and Release.objects.count() == 1, "what was released stays"


def test_a_pipeline_that_approves_in_sagemaker_takes_a_version_live(world, sagemaker):
    """From the policy over REST to the route that data planes follow; nothing is released that was not approved."""
    tenant = world.sign_up("acme", "advanced")
    world.settle(tenant)
    adapter = adapter_for(tenant)
    team = Caller(issue_api_key(name="ml", scopes=["adapters.view", "adapters.approve"], actor=TESTER)[1])
    policy = {"outside_approvals": "release", "reason": "Our pipeline tests them."}
    assert team.call("PUT", f"adapters/{adapter.public_id}/approval-policy", policy).status_code == 200
    upload(adapter, "ok-r8-qv")
    second = upload(adapter, "ok-r16-all")
    AdapterVersion.objects.filter(adapter=adapter).update(approval=Approval.PENDING)
    mirror(world, tenant)
    decide_outside(sagemaker, second, "Approved", "Build 77 passed.")
    mirror(world, tenant)
    world.settle(tenant)
    second.refresh_from_db()
    shown = team.call("GET", f"adapter-versions/{second.public_id}").json()["approval"]
    assert (shown["state"], shown["reason"]) == ("approved", "Build 77 passed.") and "in SageMaker" in shown["by"]
    [release] = Release.objects.all()
    assert (release.version_id, release.state) == (second.pk, "live") and "in SageMaker" in release.requested_by
    [(version, _)] = told_of(queries.current_config(tenant.pk), adapter.name)
    assert version == second.public_id and served_at(adapter.pk, clock.now()).version == second
    # Somebody takes it back here: the same look at AWS again releases nothing.
    withdraw(adapter_id=adapter.pk, reason="Wrong tone.", actor=TESTER)
    mirror(world, tenant)
    world.settle(tenant)
    assert served_at(adapter.pk, clock.now()) is None and Release.objects.exclude(version=None).count() == 1


def test_a_decision_that_is_followed_again_does_not_undo_what_people_wished_since(world, mirrored, sagemaker):
    """A worker that dies, or cannot reach AWS, between following and wishing leaves the next one to follow again."""
    tenant, adapter, _, second = mirrored
    set_outside_approvals(adapter_id=adapter.pk, policy="release", reason="Our pipeline.", actor=TESTER)
    mirror(world, tenant)
    decide_outside(sagemaker, second, "Approved")
    world.run_pass()
    crashpoints.arm(die_before_the_wish)
    try:
        with pytest.raises(Died):
            mirror_registry(tenant_id=tenant.pk)
    finally:
        crashpoints.arm(None)
    withdraw(adapter_id=adapter.pk, reason="Wrong tone.", actor=TESTER)
    mirror(world, tenant)
    assert list(Release.objects.order_by("pk").values_list("version", flat=True)) == [second.pk, None]


def test_a_lost_reply_makes_no_second_package(world, mirrored, sagemaker):
    tenant, adapter, _, _ = mirrored
    world.aws.fault("lose_reply", operation="CreateModelPackage")
    ready(adapter)
    mirror(world, tenant, passes=6)
    assert len(packages(sagemaker)) == 3
    assert take_inventory().is_clean


def test_what_vanished_is_made_again(world, mirrored, sagemaker):
    tenant, _, first, _ = mirrored
    sagemaker.delete_model_package(ModelPackageName=arn_of(first))
    mirror(world, tenant, passes=6)
    assert len(packages(sagemaker)) == 2 and take_inventory().is_clean


def test_an_archived_version_leaves_the_mirror_until_it_is_restored(world, mirrored, sagemaker):
    tenant, _, first, _ = mirrored
    archive_version(version_id=first.pk, actor=TESTER)
    mirror(world, tenant)
    assert len(packages(sagemaker)) == 1
    restore_version(version_id=first.pk, actor=TESTER)
    mirror(world, tenant)
    assert len(packages(sagemaker)) == 2


def test_a_departure_removes_packages_before_their_group_at_once_and_by_a_step_of_its_own(world, mirrored, sagemaker):
    tenant = mirrored[0]
    world.settle(tenant)
    begin_offboarding(tenant_id=tenant.pk, reason="It leaves.", actor=TESTER)
    converge_tenant(tenant_id=tenant.pk)  # the mirror's own bell was lost, and its sweep has not come
    assert not ManagedResource.objects.filter(kind__in=("model_package", "model_package_group"), is_wanted=True)
    mirror_registry(tenant_id=tenant.pk)  # a sweep that comes in between wishes nothing back
    world.settle(tenant)
    assert sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
    done = {step.key: step for step in tenant.offboarding_steps.filter(done_at__isnull=False)}
    assert set(done) == {"registry", "resources"} and done["registry"].done_at <= done["resources"].done_at
    assert len(done["registry"].detail["deleted"]) == 3
    assert world.account.left_of(tenant.public_id) == [
        f"object {key}" for key in world.account.objects(tenant.public_id)
    ]
