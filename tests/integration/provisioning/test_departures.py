"""A departure to its end: kept as long as it must be, erased with every version, and certified by a second read."""

import hashlib
import json
from datetime import timedelta

import boto3
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from core import clock
from models_registry.services.artifacts import erase_departed_artifacts
from provisioning import outcomes
from provisioning.models import ArtifactCopy, DeletionCertificate
from provisioning.services.accounts import close_account
from provisioning.services.catalogue import API_LINES, define_api_line
from provisioning.services.certificates import certify_deletion, certify_departed
from provisioning.services.mirroring import mirror_registry
from provisioning.specs import canonical_json
from tenants.models import OffboardingStep, Tenant
from tenants.queries import erasure_waits_for, legal_hold_of
from tenants.services import legal_holds, offboarding
from tenants.states import TenantState
from tests.factories import TESTER
from tests.integration.provisioning.changing import release_something, served_tenant
from tests.integration.provisioning.elsewhere import (
    HOME,
    THEIRS,
    give_account,
    let_us_in,
    lock_us_out,
    make_tier,
    session_in,
)


def leave(world, tenant: Tenant, **how: int) -> None:
    """Everything but its artifacts, which are another's turn."""
    offboarding.begin_offboarding(tenant_id=tenant.pk, reason="contract ended", actor=TESTER, **how)
    world.settle(tenant)
    for key in ("access", "final_invoice"):
        offboarding.complete_offboarding_step(tenant_id=tenant.pk, key=key, detail={}, actor=TESTER)


def versions_of(tenant: Tenant) -> list[str]:
    """What the bucket keeps of a tenant, asked with boto3 alone."""
    reply = boto3.client("s3").list_object_versions(
        Bucket=settings.ENV.artifact_bucket, Prefix=f"tenants/{tenant.public_id}/"
    )
    return [entry["VersionId"] for entry in [*reply.get("Versions", []), *reply.get("DeleteMarkers", [])]]


def test_artifacts_stay_for_the_retention_and_then_go_with_every_version(world):
    tenant = served_tenant(world)
    s3, key = boto3.client("s3"), f"tenants/{tenant.public_id}/adapters/note"
    for body in (b"one", b"two"):
        s3.put_object(Bucket=settings.ENV.artifact_bucket, Key=key, Body=body)
    s3.delete_object(Bucket=settings.ENV.artifact_bucket, Key=key)
    assert len(versions_of(tenant)) == 4  # the adapter, two versions of the note, and the marker that hides them
    leave(world, tenant, retention_days=30)
    assert "Retention until" in erasure_waits_for(Tenant.objects.get(pk=tenant.pk), clock.now())
    assert erase_departed_artifacts() == 0 and len(versions_of(tenant)) == 4

    world.aws.advance(timedelta(days=31).total_seconds())
    hold = legal_holds.place_legal_hold(tenant_id=tenant.pk, reason="case 7/2026", actor=TESTER)
    assert erase_departed_artifacts() == 0 and len(versions_of(tenant)) == 4
    with pytest.raises(legal_holds.HoldInForce):
        legal_holds.place_legal_hold(tenant_id=tenant.pk, reason="case 8/2026", actor=TESTER)
    legal_holds.release_legal_hold(tenant_id=tenant.pk, reason="settled", actor=TESTER)
    hold.refresh_from_db()
    assert legal_hold_of(tenant.pk) is None and (hold.released_by, hold.release_reason) == ("tester", "settled")

    assert erase_departed_artifacts() == 1 and versions_of(tenant) == []
    tenant.refresh_from_db()
    assert tenant.state == TenantState.OFFBOARDED
    with pytest.raises(legal_holds.NothingToHold):
        legal_holds.place_legal_hold(tenant_id=tenant.pk, reason="too late", actor=TESTER)


def check_document(found: DeletionCertificate, names: set[str]) -> None:
    """A clean certificate lists all that was looked for, carries its digests, and never changes."""
    read = found.content["second_read"]
    assert found.is_clean and (read["found"], read["unanswered"]) == (0, 0)
    assert names <= {entry["name"] for entry in read["looked_for"]}
    services = {entry["where"].split()[0] for entry in read["looked_for"]}
    assert services == {"SageMaker", "Bedrock", "S3", "DynamoDB"}
    assert [step["key"] for step in found.content["steps"]] == OffboardingStep.Key.values
    assert all(step["done_at"] for step in found.content["steps"])
    assert found.content_sha256 == hashlib.sha256(canonical_json(found.content)).hexdigest()
    assert bytes(found.pdf).startswith(b"%PDF-") and found.pdf_sha256 == hashlib.sha256(bytes(found.pdf)).hexdigest()
    assert json.loads(json.dumps(found.content)) == found.content
    assert certify_departed() == 0 and certify_deletion(tenant_id=found.tenant_id) == found
    with pytest.raises(IntegrityError), transaction.atomic():
        DeletionCertificate.objects.update(is_clean=False)


def test_the_second_read_covers_every_account_where_the_tenant_had_something(world):
    define_api_line(name="own-api", region=HOME, api=API_LINES["cheap-api"])
    make_tier("split", "split", "dedicated", "own-api")
    tenant = world.sign_up("acme", "split")
    account = give_account(world, tenant)
    world.settle(tenant)
    release_something(tenant)
    world.settle(tenant)
    mirror_registry(tenant_id=tenant.pk)
    world.settle(tenant)
    kinds = {row.kind for row in world.rows(tenant=tenant)}
    assert kinds >= {"adapter_component", "inference_profile", "model_package", "model_package_group"}
    copy = ArtifactCopy.objects.get()
    names = {row.name for row in world.rows(tenant=tenant)}
    leave(world, tenant)
    assert certify_departed() == 0 and not DeletionCertificate.objects.exists(), "it has not left yet"
    erase_departed_artifacts()
    close_account(aws_account_id=account.pk, reason="left", actor=TESTER)

    # What somebody left there: a version of a copy, and a profile with the tenant's tag.
    bucket, key = copy.url.removeprefix("s3://").split("/", 1)
    session = session_in(account)
    session.client("s3").put_object(Bucket=bucket, Key=key, Body=b"again")
    model = "arn:aws:bedrock:us-west-2::foundation-model/" + API_LINES["cheap-api"].model_id
    session.client("bedrock").create_inference_profile(
        inferenceProfileName="local-profile-acme-late-00000000-1",
        modelSource={"copyFrom": model},
        tags=[{"key": "cp:install", "value": "local"}, {"key": "cp:tenant", "value": tenant.public_id}],
    )
    dirty = certify_deletion(tenant_id=tenant.pk)
    left = [each for each in dirty.content["second_read"]["looked_for"] if each["found"] != "no"]
    assert {(each["where"].split()[0], each["where"].endswith(f"account {THEIRS}")) for each in left} == {
        ("S3", True),
        ("Bedrock", True),
    }
    session.client("bedrock").delete_inference_profile(
        inferenceProfileIdentifier=session.client("bedrock").list_inference_profiles(typeEquals="APPLICATION")[
            "inferenceProfileSummaries"
        ][0]["inferenceProfileArn"]
    )
    listed = session.client("s3").list_object_versions(Bucket=bucket, Prefix=key)
    for each in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        session.client("s3").delete_object(Bucket=bucket, Key=key, VersionId=each["VersionId"])

    lock_us_out(world, account)
    unknown = certify_deletion(tenant_id=tenant.pk)
    read = unknown.content["second_read"]
    assert (unknown.is_clean, read["found"]) == (False, 0) and read["unanswered"] > 0
    assert certify_deletion(tenant_id=tenant.pk) == unknown, "the same answer says nothing new"
    let_us_in(world, account)
    assert certify_departed() == 1
    newest, *before = outcomes.deletion_certificates(tenant.pk, tenant_ids=None)
    check_document(newest, names)
    assert [each.is_clean for each in before] == [False, False]


@pytest.mark.long
def test_what_is_still_there_is_on_record_and_a_later_read_comes_clean(world):
    tenant = served_tenant(world)
    leave(world, tenant)
    erase_departed_artifacts()
    s3, key = boto3.client("s3"), f"tenants/{tenant.public_id}/adapters/late"
    s3.put_object(Bucket=settings.ENV.artifact_bucket, Key=key, Body=b"came late")
    assert certify_departed() == 0
    dirty = outcomes.deletion_certificates(tenant.pk, tenant_ids=None)[0]
    assert not dirty.is_clean
    [entry] = [each for each in dirty.content["second_read"]["looked_for"] if each["found"] != "no"]
    assert entry["name"] == f"tenants/{tenant.public_id}/" and entry["found"] == "yes: 1"
    assert certify_departed() == 0 and DeletionCertificate.objects.count() == 1  # the same finding says nothing new
    version = s3.list_object_versions(Bucket=settings.ENV.artifact_bucket, Prefix=key)["Versions"][0]["VersionId"]
    s3.delete_object(Bucket=settings.ENV.artifact_bucket, Key=key, VersionId=version)
    assert certify_departed() == 1
    assert [row.is_clean for row in outcomes.deletion_certificates(tenant.pk, tenant_ids=None)] == [True, False]
