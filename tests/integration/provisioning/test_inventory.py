"""The inventory kept: two sightings before an orphan counts, what is put right disappears, and an orphan's deletion."""

from datetime import timedelta
from decimal import Decimal

import boto3
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from accounts.services import create_operator
from aws import connect
from core.clock import real_now
from events.models import Event
from provisioning import queries
from provisioning.models import ManagedResource, PublishedConfig, ResourceInterval
from provisioning.models.findings import SWEEPS_APART, FindingKind, InventoryFinding
from provisioning.services.adopting import NotAdoptable, adopt_orphan
from provisioning.services.converge import converge_tenant
from provisioning.services.findings import AlreadyResolved, ignore_finding, keep_inventory, unignore_finding
from provisioning.services.orphans import NotDeletable, delete_orphan
from provisioning.states import Phase
from tests.factories import TESTER
from tests.integration.api.client import caller, refused
from tests.integration.provisioning.changing import served_tenant
from tests.integration.provisioning.elsewhere import give_account, lock_us_out, make_tier

APART = timedelta(seconds=SWEEPS_APART * settings.ENV.sweep_seconds)


@pytest.fixture
def served(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    return tenant


def lose_rows() -> None:
    """As after a restore of an older backup: AWS holds what no row knows."""
    ResourceInterval.objects.all().delete()
    for row in ManagedResource.objects.all():
        row.operation_steps.all().delete()
    ManagedResource.objects.all().delete()
    PublishedConfig.objects.update(routed_names=[])


def see_again() -> None:
    """A later inventory, as if enough time had passed since the first."""
    InventoryFinding.objects.update(first_seen_at=real_now() - APART - timedelta(seconds=1))
    keep_inventory()


def open_findings(kind: FindingKind | None = None) -> dict[str, InventoryFinding]:
    return {found.aws_kind: found for found in queries.findings(tenant_ids=None, kind=kind)}


def test_a_clean_account_drift_and_what_is_missing_until_it_is_put_right(world, served, capsys):
    call_command("inventory")
    assert not InventoryFinding.objects.exists()
    look = queries.last_inventory()
    assert look is not None and look.counts == {"model": 1, "endpoint_config": 1, "endpoint": 1, "component": 1}
    assert "Nobody is needed." in capsys.readouterr().out
    drift_shows_what_we_wish_and_what_aws_has(world, served)
    what_is_not_seen_any_more_is_resolved(world, served)


def test_an_orphan_counts_when_it_was_seen_twice_with_time_between(world, served):
    lose_rows()
    call_command("inventory")  # the first sighting makes nothing fail
    keep_inventory()  # nor does a second one at once
    found = open_findings(FindingKind.ORPHAN)
    assert {orphan.sightings for orphan in found.values()} == {2}
    assert not any(orphan.is_confirmed or orphan.is_wrong for orphan in found.values())
    InventoryFinding.objects.update(first_seen_at=real_now() - APART - timedelta(seconds=1))
    with pytest.raises(SystemExit) as left:
        call_command("inventory")
    assert left.value.code == 1
    found = open_findings(FindingKind.ORPHAN)
    assert all(orphan.is_wrong and orphan.tenant == served for orphan in found.values())
    instance = queries.planner_catalogue().instance("ml.g5.2xlarge", "us-west-2")
    assert found["endpoint"].usd_per_hour == instance.usd_per_hour
    assert {found[kind].usd_per_hour for kind in ("model", "endpoint_config", "component")} == {Decimal(0)}


def what_is_not_seen_any_more_is_resolved(world, served):
    row = world.row(kind="model")
    world.aws.fault("vanish", name_contains=row.name, times=1)
    keep_inventory()
    [missing] = queries.findings(tenant_ids=[served.pk])
    assert (missing.kind, missing.name, missing.resource, missing.is_wrong) == ("missing", row.name, row, True)
    world.settle(served)
    keep_inventory()
    missing.refresh_from_db()
    assert missing.resolved_at is not None and not missing.is_wrong
    assert not queries.findings(tenant_ids=None).exists()
    with pytest.raises(AlreadyResolved):
        ignore_finding(finding_id=missing.pk, reason="late", actor=TESTER)


def drift_shows_what_we_wish_and_what_aws_has(world, served):
    row = world.row(kind="base_component")
    connect.hosting(row.region).set_copies(row.name, copies=3)
    for _ in range(2):
        connect.hosting(row.region).describe("component", row.name)  # the change takes a look
    keep_inventory()
    [drift] = queries.findings(tenant_ids=None, kind=FindingKind.DRIFT)
    assert (drift.name, drift.before, drift.after) == (row.name, {"copies": 1}, {"copies": 3})
    assert "set back by itself" in drift.what_to_do
    world.settle(served)
    keep_inventory()
    assert not queries.findings(tenant_ids=None).exists()


def test_another_artifact_under_an_adapter_is_told_with_both_and_how_to_mend_it(world):
    tenant = served_tenant(world)
    row = world.row(kind="adapter_component")
    bucket, key = row.identity["artifact_url"].removeprefix("s3://").split("/", 1)
    boto3.client("s3").copy_object(Bucket=bucket, Key=f"{key}-other", CopySource={"Bucket": bucket, "Key": key})
    theirs = f"s3://{bucket}/{key}-other"
    base = row.identity["base_component_name"]
    sagemaker = boto3.client("sagemaker")
    sagemaker.update_inference_component(
        InferenceComponentName=row.name,
        Specification={"BaseInferenceComponentName": base, "Container": {"ArtifactUrl": theirs}},
    )
    for _ in range(2):
        sagemaker.describe_inference_component(InferenceComponentName=row.name)  # the change takes a look
    keep_inventory()
    [drift] = queries.findings(tenant_ids=[tenant.pk], kind=FindingKind.DRIFT)
    assert drift.before == {"artifact_url": row.identity["artifact_url"]} and drift.after == {"artifact_url": theirs}
    assert "Delete the component" in drift.what_to_do and drift.owner == tenant.name
    sagemaker.delete_inference_component(InferenceComponentName=row.name)
    world.settle(tenant)
    keep_inventory()
    assert not queries.findings(tenant_ids=None).exists()
    again = world.row(kind="adapter_component")
    assert (again.name != row.name, again.identity) == (True, row.identity)


def test_wishes_without_objects_adopt_what_a_lost_database_left_and_nothing_is_made_twice(world, served):
    create_operator(name="ops", role="operator", actor=TESTER)
    before = {row.kind: (row.public_id, row.name) for row in world.rows()}
    lose_rows()
    converge_tenant(tenant_id=served.pk)
    ManagedResource.objects.update(look_again_at=real_now() + timedelta(days=1))
    keep_inventory()
    with pytest.raises(NotAdoptable, match="not seen often enough"):
        adopt_orphan(finding_id=open_findings()["endpoint"].pk, reason="too early", actor=TESTER)
    see_again()
    created = {each: count for each, count in world.aws.calls().items() if each.startswith("Create")}
    rest = caller()
    for kind in ("model", "endpoint_config", "endpoint", "component"):
        finding = open_findings(FindingKind.ORPHAN)[kind]
        if kind == "model":
            call_command("inventory", "adopt", finding.public_id, "--as", "ops", "--reason", "restored")
            row = ManagedResource.objects.get(name=finding.name)
        else:
            told = rest.post(f"inventory/{finding.public_id}/adopt", {"reason": "restored"})
            assert (told.status_code, told.json()["available_actions"]) == (202, []), told.content
            row = ManagedResource.objects.get(public_id=told.json()["resource"])
        assert adopt_orphan(finding_id=finding.pk, reason="again", actor=TESTER) == row
        assert before[row.kind] == (row.public_id, row.name)
        finding.refresh_from_db()
        assert finding.is_adopted and not finding.is_being_deleted and "took it over" in finding.what_to_do
        with pytest.raises(NotDeletable, match="adopted"):
            delete_orphan(finding_id=finding.pk, reason="no", actor=TESTER)
    world.settle(served)
    assert {row.phase for row in ManagedResource.objects.all()} == {Phase.READY}
    assert created == {each: count for each, count in world.aws.calls().items() if each.startswith("Create")}
    assert Event.objects.filter(name="resource.taken_over", reason="restored").count() == 4
    keep_inventory()
    assert not queries.findings(tenant_ids=None).exists()


def test_an_orphan_takes_what_runs_on_it_along_and_goes_in_order(world, served):
    lose_rows()
    keep_inventory()
    see_again()
    endpoint = open_findings()["endpoint"]
    what_rest_and_the_command_refuse(endpoint)
    path, reason = f"inventory/{endpoint.public_id}", "left by a test"
    assert caller().post(f"{path}/delete", {"reason": reason, "name": endpoint.name}).status_code == 202
    rows = delete_orphan(finding_id=endpoint.pk, reason="again", actor=TESTER)
    assert [row.kind for row in rows] == ["endpoint", "base_component"]
    assert caller().get(path).json()["available_actions"] == []
    assert delete_orphan(finding_id=endpoint.pk, reason="again", actor=TESTER) == rows
    assert Event.objects.filter(name="resource.adopted", reason="left by a test").count() == 2
    for _ in range(12):
        world.run_pass()
    assert {row.phase for row in ManagedResource.objects.all()} == {Phase.GONE}
    assert world.counts() == {"model": 1, "endpoint_config": 1}
    keep_inventory()
    assert set(open_findings()) == {"model", "endpoint_config"}
    assert not ResourceInterval.objects.exists(), "what is deleted is not billed"


def what_rest_and_the_command_refuse(orphan):
    rest, path = caller(), f"inventory/{orphan.public_id}"
    assert rest.get(path).json()["available_actions"] == ["adopt", "delete", "ignore"]
    problem = refused(rest.post(f"{path}/delete", {"reason": "x", "name": "another"}), 422, "invalid")
    assert problem["errors"][0]["pointer"] == "/name"
    assert "Delete it if nobody needs it" in refused(
        rest.post(f"{path}/adopt", {"reason": "ours"}), 409, "orphan_not_adoptable"
    )["hint"]  # fmt: skip
    assert rest.post(f"{path}/ignore", {"reason": "a test"}).json()["available_actions"][-1] == "unignore"
    assert rest.post(f"{path}/unignore").json()["is_wrong"]
    create_operator(name="guest", role="viewer", actor=TESTER)
    for who, said in (("guest", "operations.retry"), ("nobody", "There is no operator nobody")):
        with pytest.raises(CommandError, match=said) as left:
            call_command("inventory", "delete", orphan.public_id, "--as", who, "--reason", "x")
        assert left.value.returncode == 2
    assert not Event.objects.filter(name="resource.adopted").exists()


def test_what_aws_kept_after_its_row_was_closed_is_deleted_under_that_row(world, served):
    row = world.row(kind="base_component")
    ManagedResource.objects.filter(pk=row.pk).update(phase=Phase.GONE, is_wanted=False)
    keep_inventory()
    see_again()
    [orphan] = queries.findings(tenant_ids=None, kind=FindingKind.ORPHAN)
    with pytest.raises(NotDeletable, match="routes to it"):
        delete_orphan(finding_id=orphan.pk, reason="no", actor=TESTER)
    PublishedConfig.objects.update(routed_names=[])
    assert delete_orphan(finding_id=orphan.pk, reason="yes", actor=TESTER) == [row]
    for _ in range(6):
        world.run_pass()
    row.refresh_from_db()
    assert row.phase == Phase.GONE
    assert "inference_component" not in world.counts()


def test_what_is_not_certainly_unused_and_ours_is_left_alone_and_what_nobody_wishes_is_not_adopted(world, served):
    row = world.row(kind="endpoint")
    lose_rows()
    keep_inventory()
    orphan = open_findings()["endpoint"]
    with pytest.raises(NotDeletable, match="not seen often enough"):
        delete_orphan(finding_id=orphan.pk, reason="too early", actor=TESTER)
    see_again()
    for tags in ({"cp:install": "other"}, {"cp:resource": ""}, {"cp:kind": "model"}):
        InventoryFinding.objects.filter(pk=orphan.pk).update(tags=orphan.tags | tags)
        with pytest.raises(NotDeletable, match="tags"):
            delete_orphan(finding_id=orphan.pk, reason="whose?", actor=TESTER)
    InventoryFinding.objects.filter(pk=orphan.pk).update(tags=orphan.tags)
    what_nobody_wishes_is_not_adopted(world, served)
    lose_rows()
    InventoryFinding.objects.filter(pk=orphan.pk).update(tags=orphan.tags, tenant=served)
    row.pk, row.public_id = None, "res_came_back"
    row.save(force_insert=True)
    with pytest.raises(NotDeletable, match="used"):
        delete_orphan(finding_id=orphan.pk, reason="it is back", actor=TESTER)
    assert ManagedResource.objects.count() == 1 and world.counts()["endpoint"] == 1
    assert not Event.objects.filter(name="resource.adopted").exists()


def what_nobody_wishes_is_not_adopted(world, served):
    orphan = open_findings()["endpoint"]
    with pytest.raises(NotAdoptable, match="Nothing that is wished for") as refused:
        adopt_orphan(finding_id=orphan.pk, reason="no wish", actor=TESTER)
    assert "Delete it if nobody needs it" in refused.value.hint
    converge_tenant(tenant_id=served.pk)
    wish = world.row(kind="endpoint")
    ManagedResource.objects.filter(pk=wish.pk).update(
        lease_owner="a worker", lease_until=real_now() + timedelta(minutes=1)
    )
    with pytest.raises(NotAdoptable, match="at this moment"):
        adopt_orphan(finding_id=orphan.pk, reason="it is being made", actor=TESTER)
    ManagedResource.objects.filter(pk=wish.pk).update(lease_owner=None, lease_until=None)
    tags = orphan.tags | {"cp:tenant": "ten_of_another_time"}
    InventoryFinding.objects.filter(pk=orphan.pk).update(tags=tags, tenant=None)
    with pytest.raises(NotAdoptable, match="owner and digest"):
        adopt_orphan(finding_id=orphan.pk, reason="another's", actor=TESTER)
    orphan = InventoryFinding.objects.get(pk=orphan.pk)
    assert orphan.owner == "unknown: tag says ten_of_another_time"
    assert world.row(kind="endpoint").public_id == wish.public_id
    assert not Event.objects.filter(name="resource.taken_over").exists()


def test_what_is_ignored_makes_no_inventory_fail(world, served):
    other = world.sign_up("other", "premium")
    converge_tenant(tenant_id=other.pk)  # the pre-flight has passed; then somebody else takes the rest of the quota
    world.aws.post("quotas", {"ml.g5.2xlarge": 1})
    world.settle(other)
    with pytest.raises(SystemExit):
        call_command("inventory")
    [stuck] = queries.findings(tenant_ids=None, kind=FindingKind.STUCK)
    ignore_finding(finding_id=stuck.pk, reason="the quota is on its way", actor=TESTER)
    call_command("inventory")
    stuck.refresh_from_db()
    assert (stuck.ignored_reason, stuck.ignored_by, stuck.is_wrong) == ("the quota is on its way", TESTER.name, False)
    assert Event.objects.get(name="finding.ignored").subject_ref == stuck.public_id
    unignore_finding(finding_id=stuck.pk, actor=TESTER)
    with pytest.raises(SystemExit):
        call_command("inventory")


def test_every_account_is_listed_and_one_that_is_closed_hides_no_other(world, served, capsys):
    make_tier("split", "split")
    tenant = world.sign_up("theirs", "split")
    account = give_account(world, tenant)
    world.settle(tenant)
    call_command("inventory")
    assert queries.last_inventory().counts == {"model": 2, "endpoint_config": 2, "endpoint": 2, "component": 2}
    world.row(kind="model", account=account.account_id)
    ManagedResource.objects.filter(account=account.account_id, kind="model").update(phase=Phase.GONE)
    keep_inventory()
    [orphan] = queries.findings(tenant_ids=None, kind=FindingKind.ORPHAN)
    assert (orphan.account, orphan.region) == (account.account_id, "us-west-2")
    lock_us_out(world, account)
    inventory = keep_inventory()
    assert list(inventory.closed) == [account.account_id]
    orphan.refresh_from_db()
    assert orphan.resolved_at is None, "what cannot be seen is not gone"
    with pytest.raises(SystemExit):
        call_command("inventory")
    assert f"account {account.account_id} cannot be entered" in capsys.readouterr().out
