"""Accounts beside our own: proof before anything is made, all of it there, and a role that is lost."""

import pytest
from django.conf import settings

from aws import connect
from dataplane import Kit
from dataplane.config import tenant_key
from dataplane.places import invoking_only
from events.models import Event
from models_registry.services.adapters import create_adapter
from models_registry.services.releases import release_version
from provisioning import queries
from provisioning.models import AccountProof, ArtifactCopy, AwsAccount, ManagedResource, Operation
from provisioning.services.accounts import (
    AccountInUse,
    AccountInvalid,
    AccountTaken,
    assign_account,
    close_account,
    prove_account,
    register_dedicated_account,
    register_tenant_account,
)
from provisioning.services.converge import converge_tenant
from provisioning.states import StuckReason
from tenants.services.offboarding import begin_offboarding
from tests.factories import TESTER
from tests.integration.models_registry.uploading import upload
from tests.integration.provisioning.elsewhere import (
    HOME,
    OURS,
    THEIRS,
    give_account,
    hosted_in,
    let_us_in,
    lock_us_out,
    make_line,
    make_tier,
)


@pytest.fixture
def split(world):
    make_tier("split", "split")
    return world.sign_up("acme", "split")


def with_adapter(world, tenant, name="support"):
    base = queries.lines_of(tenant.pk)[0].profile.foundation_model_id
    adapter = create_adapter(tenant_id=tenant.pk, name=name, foundation_model_id=base, actor=TESTER)
    release_version(version_id=upload(adapter, "ok-r8-qv").pk, reason="", actor=TESTER)
    world.settle(tenant)
    return adapter


def test_nothing_is_made_before_the_account_is_registered_and_proven(world, split):
    world.settle(split)
    assert split.state == "provisioning" and not ManagedResource.objects.exists()
    assert "waits for its AWS account" in Operation.objects.get().detail
    account = register_tenant_account(tenant_id=split.pk, account_id=THEIRS, regions=[HOME], actor=TESTER)
    assert account.condition == "unproven"
    found = prove_account(aws_account_id=account.pk, actor=TESTER)
    assert [proof.has_passed for proof in found] == [True, True, False, False]
    world.settle(split)
    assert not ManagedResource.objects.exists()
    let_us_in(world, account)
    assert all(proof.has_passed for proof in prove_account(aws_account_id=account.pk, actor=TESTER))
    world.settle(split)
    assert split.state == "active"
    assert {row.account for row in ManagedResource.objects.all()} == {THEIRS}
    assert len(hosted_in(account)) == 1 and world.counts() == {}, "nothing of it is in our own account"
    assert AccountProof.objects.count() == 8
    assert [event.name for event in Event.objects.filter(name__startswith="account.").order_by("pk")] == [
        "account.registered",
        "account.proof_failed",
        "account.proven",
    ]


@pytest.mark.parametrize(
    ("trust", "wrong"),
    [
        ({}, ["without_external_id", "wrong_external_id"]),
        ({"StringLike": {"sts:ExternalId": "*"}}, ["right_external_id", "landed"]),
        ({"StringEquals": {"sts:ExternalId": "of-somebody-else"}}, ["right_external_id", "landed"]),
    ],
)
def test_a_role_that_trusts_more_or_less_than_it_should_is_not_proven(world, split, trust, wrong):
    account = register_tenant_account(tenant_id=split.pk, account_id=THEIRS, regions=[HOME], actor=TESTER)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{connect.account_id()}:root"},
        "Action": "sts:AssumeRole",
        "Condition": trust,
    }
    world.aws.put_role(THEIRS, account.role_arn.rpartition("/")[2], {"Statement": [statement]})
    found = prove_account(aws_account_id=account.pk, actor=TESTER)
    assert [proof.check_key for proof in found if not proof.has_passed] == wrong
    assert all(proof.detail and (proof.request_id or not proof.has_passed) for proof in found)
    account.refresh_from_db()
    assert account.proven_at is None


def test_an_account_is_one_tenants_and_its_external_id_is_ours(world, split):
    first = register_tenant_account(tenant_id=split.pk, account_id=THEIRS, regions=[HOME], actor=TESTER)
    other = world.sign_up("other", "split")
    with pytest.raises(AccountTaken, match="registered already"):
        register_tenant_account(tenant_id=other.pk, account_id=THEIRS, regions=[HOME], actor=TESTER)
    with pytest.raises(AccountTaken, match="has such an account"):
        register_tenant_account(tenant_id=split.pk, account_id=OURS, regions=[HOME], actor=TESTER)
    with pytest.raises(AccountInvalid) as refused:
        register_tenant_account(tenant_id=other.pk, account_id="12", regions=["mars"], actor=TESTER)
    assert {error.pointer for error in refused.value.errors} == {"/account_id", "/regions"}
    with pytest.raises(AccountInvalid, match="own account"):
        register_tenant_account(tenant_id=other.pk, account_id=connect.account_id(), regions=[HOME], actor=TESTER)
    assert AwsAccount.objects.count() == 1
    close_account(aws_account_id=first.pk, reason="mistyped", actor=TESTER)
    again = register_tenant_account(tenant_id=split.pk, account_id=THEIRS, regions=[HOME], actor=TESTER)
    assert again.external_id != first.external_id


def test_a_lost_role_is_told_once_leaves_everything_as_it_is_delays_nobody_and_heals(world, split):
    account = give_account(world, split)
    world.settle(split)
    renew_sessions(world, account)
    before = {row.pk: (row.phase, row.name) for row in world.rows()}
    lock_us_out(world, account)
    other = world.sign_up("other", "premium")
    asked = world.calls("AssumeRole")
    world.settle(other)
    assert other.state == "active"
    assert {row.account for row in world.rows(tenant=other)} == {connect.account_id()}
    passes = 60
    assert world.calls("AssumeRole") - asked < passes, "a lost account is asked once a pass, not once a resource"
    world.settle(split)
    account.refresh_from_db()
    assert account.condition == "access_lost" and "AssumeRole" in account.access_detail
    theirs = world.rows(tenant=split)
    assert {row.pk: (row.phase, row.name) for row in theirs} == before, "resources stay as they are"
    assert {row.stuck_reason for row in theirs} == {StuckReason.ACCESS_LOST}
    assert all("nothing moves to another account" in row.what_to_do for row in theirs)
    assert split.state == "active" and queries.current_config(split.pk) is not None
    tenants = {seen.tags["cp:tenant"] for seen in world.hosted()}
    assert tenants == {other.public_id}, "nothing falls back into our own account"
    assert Event.objects.filter(name="account.access_lost").count() == 1
    let_us_in(world, account)
    world.settle(split)
    account.refresh_from_db()
    assert account.condition == "proven"
    assert {row.stuck_reason for row in world.rows()} == {""}
    assert Event.objects.filter(name="account.access_regained").count() == 1


def renew_sessions(world, account):
    """Sessions that end are renewed once, and nobody notices."""
    world.aws.end_sessions(account.account_id)
    asked = world.calls("AssumeRole")
    world.run_pass()
    assert world.calls("AssumeRole") - asked == 1
    assert {row.stuck_reason for row in world.rows()} == {""}
    assert not Event.objects.filter(name="account.access_lost").exists()


def test_adapters_are_copied_to_where_they_are_read_and_invoked_and_erased_with_the_tenant(world, split):
    account = give_account(world, split)
    world.settle(split)
    adapter = with_adapter(world, split)
    adapter.refresh_from_db()
    assert adapter.live_version is not None
    copy = ArtifactCopy.objects.get()
    assert (copy.account, copy.region, copy.adapter_version) == (THEIRS, HOME, adapter.live_version)
    assert world.row(kind="adapter_component").identity["artifact_url"] == copy.url
    assert copy.url.startswith(f"s3://local-artifacts-{THEIRS}-{HOME}/tenants/")
    invoke_there(split)
    with pytest.raises(AccountInUse):
        close_account(aws_account_id=account.pk, reason="no", actor=TESTER)
    begin_offboarding(tenant_id=split.pk, reason="left", actor=TESTER)
    world.settle(split)
    assert not ArtifactCopy.objects.exists() and hosted_in(account) == []
    step = split.offboarding_steps.get(key="resources")
    assert step.done_at is not None and step.detail["artifact_copies_erased"] == 1
    copy.pk, copy._state.adding = None, True
    copy.save()
    with pytest.raises(AccountInUse):
        close_account(aws_account_id=account.pk, reason="nobody could erase the copy then", actor=TESTER)
    copy.delete()
    close_account(aws_account_id=account.pk, reason="left", actor=TESTER)


def test_two_accounts_and_two_regions_side_by_side(world, split):
    make_line("far", "us-east-1")
    make_line("far-pooled", "us-east-1", like="pooled")
    make_tier("owned", "dedicated", "far")
    make_tier("east", "pool", "far-pooled")
    theirs = give_account(world, split)
    owned = world.sign_up("owned", "owned")
    ours = give_account(world, owned, OURS, regions=("us-east-1",), ours=True)
    east, home = world.sign_up("east", "east"), world.sign_up("home", "basic")
    world.settle(split, owned, east, home)
    assert [tenant.state for tenant in (split, owned, east, home)] == ["active"] * 4
    own = connect.account_id()
    places = {(row.account, row.region) for row in world.rows()}
    assert places == {(THEIRS, HOME), (OURS, "us-east-1"), (own, "us-east-1"), (own, HOME)}
    assert len(hosted_in(theirs)) == len(hosted_in(ours, "us-east-1")) == 1
    assert hosted_in(theirs, "us-east-1") == hosted_in(ours) == []
    with_adapter(world, east)
    assert ArtifactCopy.objects.get().account == own and ArtifactCopy.objects.get().region == "us-east-1"
    names = [row.name for row in world.rows()]
    assert len(names) == len(set(names)), "configs route by name alone"


def test_an_account_of_ours_waits_free_until_a_tenant_gets_it(world):
    make_tier("owned", "dedicated")
    free = register_dedicated_account(account_id=OURS, regions=[HOME], tenant_id=None, actor=TESTER)
    tenant = world.sign_up("owned", "owned")
    assert queries.account_of(tenant.pk, "dedicated") is None
    assign_account(aws_account_id=free.pk, tenant_id=tenant.pk, actor=TESTER)
    assert queries.account_of(tenant.pk, "dedicated") == free
    other = world.sign_up("other", "owned")
    with pytest.raises(AccountTaken, match="not free"):
        assign_account(aws_account_id=free.pk, tenant_id=other.pk, actor=TESTER)
    converge_tenant(tenant_id=other.pk)
    assert not ManagedResource.objects.filter(tenant=other).exists()


def invoke_there(split):
    """A data plane enters the account of the route, and may only invoke there."""
    key = tenant_key(settings.CONFIG_SIGNING_KEY, split.public_id)
    kit = Kit(split.public_id, key, settings.ENV.config_table)
    answer = kit.complete("support", "How are you?", 5)
    assert answer.output_tokens > 0 and answer.line == "dedicated"
    [target] = queries.current_config(split.pk).document["routes"]["support"]["targets"]
    assert (target["account"], target["region"]) == (THEIRS, HOME) and target["role_arn"]
    allowed = [action for statement in invoking_only(THEIRS)["Statement"] for action in statement["Action"]]
    assert {action.partition(":")[2][:6] for action in allowed} == {"Invoke"}
