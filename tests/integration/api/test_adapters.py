"""Adapters over REST: uploads as files and as an archive, the gate's answer, releases, and what served when."""

import hashlib
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.test.utils import CaptureQueriesContext

from aws.connect import artifacts
from core import clock
from local_stack.emulator import EmulatorClient
from models_registry.models import AdapterVersion, Release
from models_registry.services.releases import record_live
from models_registry.services.uploads import UploadedPart, receive_upload
from models_registry.services.validation import validate_version
from tenants.models import Tenant
from tenants.services.tiers import TierLimits, define_tier
from tests.factories import LIMITS, TESTER, make_tenant
from tests.integration.api.client import Caller, caller, refused
from tests.integration.api.making import make_adapter, make_profile, make_release, make_version
from tests.unit.models_registry.making import archive, good, sample

pytestmark = pytest.mark.django_db


@pytest.fixture
def ops() -> Caller:
    return caller()


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant(slug="acme", external_id="CRM-42")


def multipart(files: dict[str, bytes], **words: str) -> bytes:
    sent: dict[str, Any] = {name: SimpleUploadedFile(name, content) for name, content in files.items()}
    return encode_multipart(BOUNDARY, {**sent, **words})


def decided(response: HttpResponse, ops: Caller) -> dict[str, Any]:
    """What an upload became, once the gate has looked at it."""
    assert response.status_code == 202, response.content
    version = AdapterVersion.objects.get(public_id=response.json()["id"])
    validate_version(version_id=version.pk)
    answer: dict[str, Any] = ops.get(response["Location"]).json()
    return answer


def test_an_adapter_is_opened_and_found(ops: Caller, tenant: Tenant) -> None:
    make_profile()
    wanted = {"tenant": "ext:CRM-42", "name": "support", "foundation_model": "tiny-llama"}
    response = ops.post("adapters", wanted)
    made = response.json()
    assert response.status_code == 201, response.content
    assert made["id"].startswith("adp_")
    assert (made["tenant"], made["foundation_model"]["name"]) == (tenant.public_id, "tiny-llama")
    assert (made["live_version"], made["available_actions"]) == (None, ["upload"])
    assert ops.get(response["Location"]).json() == made
    assert ops.get("adapters?tenant=acme").json()["data"] == [made]
    refused(ops.post("adapters", wanted), 409, "adapter_name_taken")
    refused(ops.post("adapters", {**wanted, "name": "Base Camp"}), 422, "adapter_invalid")
    refused(ops.post("adapters", {**wanted, "name": "other", "foundation_model": "gpt"}), 404, "not_found")
    assert [row["name"] for row in ops.get("foundation-models").json()["data"]] == ["tiny-llama"]


@pytest.mark.usefixtures("aws")
def test_files_and_archive_are_taken_alike(ops: Caller, tenant: Tenant) -> None:
    adapter = make_adapter(tenant)
    words = {"notes": "first try", "metrics": '{"loss": 0.5}', "dataset_ref": "s3://data/v1"}
    path = f"adapters/{adapter.public_id}/versions"
    first = decided(ops.post(path, raw=multipart(good(), **words), content_type=MULTIPART_CONTENT), ops)
    assert (first["state"], first["number"], first["available_actions"]) == (
        "ready",
        1,
        ["release", "approve", "reject", "archive"],
    )
    assert (first["notes"], first["metrics"], first["dataset_ref"]) == ("first try", {"loss": 0.5}, "s3://data/v1")
    assert [part["name"] for part in first["files"]] == ["adapter_config.json", "adapter_model.safetensors"]
    second = decided(ops.post(path, raw=archive(good(), folder="x"), content_type="application/gzip"), ops)
    packed = multipart({"mine.tgz": archive(good())})
    third = decided(ops.post(path, raw=packed, content_type=MULTIPART_CONTENT), ops)
    assert first["sha256"] == second["sha256"] == third["sha256"]
    listed = ops.get(path).json()["data"]
    assert [row["number"] for row in listed] == [3, 2, 1]
    assert ops.get(f"adapters/{adapter.public_id}").json()["latest_version"]["number"] == 3


@pytest.mark.usefixtures("aws")
def test_the_gates_refusal_is_read_with_its_reasons(ops: Caller, tenant: Tenant) -> None:
    path = f"adapters/{make_adapter(tenant).public_id}/versions"
    version = decided(ops.post(path, raw=multipart(sample("bad-dora")), content_type=MULTIPART_CONTENT), ops)
    assert (version["state"], version["number"], version["available_actions"]) == ("rejected", None, [])
    assert "dora_unsupported" in [finding["code"] for finding in version["findings"]]
    assert ops.get(f"{path}?state=ready").json()["data"] == []
    refused(ops.post(f"adapter-versions/{version['id']}/release", {}), 409, "version_not_ready")


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("raw", "kind", "status", "code"),
    [
        (b"", "application/gzip", 411, "length_required"),
        (b"x", "application/json", 415, "unsupported_media_type"),
        (b"x", "", 415, "unsupported_media_type"),
        (b"x", "multipart/form-data", 400, "malformed_body"),
        (b"no boundary here", MULTIPART_CONTENT, 422, "upload_invalid"),
        (multipart({}), MULTIPART_CONTENT, 422, "upload_invalid"),
        (multipart({}, state="ready"), MULTIPART_CONTENT, 422, "invalid_body"),
        (multipart({}, metrics="[1]"), MULTIPART_CONTENT, 422, "invalid_body"),
        (multipart({}, metrics="{"), MULTIPART_CONTENT, 422, "invalid_body"),
        (multipart({}, notes="a\0b"), MULTIPART_CONTENT, 400, "malformed_body"),
        (multipart({"a.bin": b"x"}, notes="n" * 4001), MULTIPART_CONTENT, 422, "upload_invalid"),
    ],
)
def test_what_is_no_upload_is_refused(
    ops: Caller, tenant: Tenant, raw: bytes, kind: str, status: int, code: str
) -> None:
    path = f"adapters/{make_adapter(tenant).public_id}/versions"
    refused(ops.post(path, raw=raw, content_type=kind), status, code)
    assert not AdapterVersion.objects.exists()


def test_too_large_an_upload_is_refused_before_it_is_read(ops: Caller) -> None:
    limits = TierLimits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__slots__}, "max_adapter_bytes": 1000})
    define_tier(key="small", name="Small", position=0, limits=limits)
    adapter = make_adapter(make_tenant(tier_key="small"))
    path = f"adapters/{adapter.public_id}/versions"
    refused(ops.post(path, raw=bytes(2 << 20), content_type="application/gzip"), 413, "body_too_large")
    refused(ops.post(path, raw=bytes(2000), content_type="application/gzip"), 409, "quota_exceeded")
    assert not AdapterVersion.objects.exists()


def test_aws_being_away_is_said_and_nothing_is_kept(ops: Caller, tenant: Tenant, aws: EmulatorClient) -> None:
    adapter = make_adapter(tenant)
    aws.fault("throttle", operation="PutObject", times=50)
    path = f"adapters/{adapter.public_id}/versions"
    problem = refused(ops.post(path, raw=archive(good()), content_type="application/gzip"), 503, "aws_unavailable")
    assert problem["retryable"]
    assert "PutObject" in problem["detail"]
    assert not AdapterVersion.objects.exists()


def test_release_roll_back_and_what_served_when(ops: Caller, tenant: Tenant) -> None:
    first, second = make_version(tenant), make_version(tenant)
    adapter = f"adapters/{first.adapter.public_id}"
    start = clock.now()
    for hour, version in ((1, first), (2, second)):
        response = ops.post(f"adapter-versions/{version.public_id}/release", {"reason": "evaluated"})
        assert (response.status_code, response.json()["state"]) == (202, "pending"), response.content
        assert response["Location"] == f"/api/v1/releases/{response.json()['id']}"
        release = Release.objects.get(public_id=response.json()["id"])
        record_live(release_ids=[release.pk], at=start + timedelta(hours=hour), actor=TESTER)
    assert ops.get(adapter).json()["available_actions"] == ["upload", "roll_back", "withdraw"]
    assert ops.get(response["Location"]).json()["state"] == "live"

    back = ops.post(f"{adapter}/roll-back", {"reason": "worse answers"}, idempotency_key="back")
    assert (back.status_code, back.json()["kind"], back.json()["version"]["number"]) == (202, "roll_back", 1)
    again = ops.post(f"{adapter}/roll-back", {"reason": "worse answers"}, idempotency_key="back")
    assert (again["Idempotency-Replayed"], again.content) == ("true", back.content)
    [rolled] = Release.objects.filter(kind="roll_back")
    record_live(release_ids=[rolled.pk], at=start + timedelta(hours=3), actor=TESTER)

    assert [(row["kind"], row["state"]) for row in ops.get(f"{adapter}/releases").json()["data"]] == [
        ("roll_back", "live"),
        ("release", "superseded"),
        ("release", "superseded"),
    ]
    assert [row["version"]["number"] for row in ops.get(f"{adapter}/timeline").json()["data"]] == [1, 2, 1]
    answers = {}
    for hour in (0.5, 1.5, 2.5, 3.5):
        at = (start + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
        served = ops.get(f"{adapter}/served-at?at={at}").json()["served"]
        answers[hour] = served["version"]["number"] if served else None
    assert answers == {0.5: None, 1.5: 1, 2.5: 2, 3.5: 1}
    refused(ops.get(f"{adapter}/served-at"), 400, "invalid_parameter")
    refused(ops.get(f"{adapter}/served-at?at=yesterday"), 400, "invalid_parameter")


def test_another_tenants_version_cannot_be_rolled_back_to(ops: Caller, tenant: Tenant) -> None:
    mine, theirs = make_release(tenant), make_version(make_tenant())
    path = f"adapters/{mine.adapter.public_id}/roll-back"
    refused(ops.post(path, {"reason": "x", "to_version": theirs.public_id}), 404, "not_found")
    own = caller("adapters.release", tenant_id=tenant.pk)
    refused(own.post(path, {"reason": "x", "to_version": theirs.public_id}), 404, "not_found")
    refused(own.post(f"adapter-versions/{theirs.public_id}/release"), 404, "not_found")
    assert Release.objects.count() == 1


def test_withdrawing_asks_for_a_reason(ops: Caller, tenant: Tenant) -> None:
    adapter = f"adapters/{make_release(tenant).adapter.public_id}"
    refused(ops.post(f"{adapter}/withdraw"), 422, "invalid_body")
    withdrawal = ops.post(f"{adapter}/withdraw", {"reason": "discontinued"}).json()
    assert (withdrawal["kind"], withdrawal["version"], withdrawal["state"]) == ("withdraw", None, "pending")


def test_a_tenants_own_key_uploads_into_its_own_adapters_only(tenant: Tenant) -> None:
    make_profile()
    other = make_adapter(make_tenant())
    own = caller("adapters.view", "adapters.upload", tenant_id=tenant.pk)
    wanted = {"tenant": "acme", "name": "support", "foundation_model": "tiny-llama"}
    assert own.post("adapters", wanted).status_code == 201
    refused(own.post("adapters", {**wanted, "tenant": other.tenant.public_id}), 404, "not_found")
    path = f"adapters/{other.public_id}/versions"
    refused(own.post(path, raw=archive(good()), content_type="application/gzip"), 404, "not_found")
    assert [row["name"] for row in own.get("adapters").json()["data"]] == ["support"]
    assert not AdapterVersion.objects.exists()


def test_lists_cost_the_same_queries_whatever_their_length(ops: Caller, tenant: Tenant) -> None:
    adapter = make_release(tenant).adapter
    paths = [
        "adapters",
        "foundation-models",
        *(f"adapters/{adapter.public_id}/{what}" for what in ("versions", "releases", "timeline")),
    ]

    def costs() -> list[int]:
        found = []
        for path in paths:
            with CaptureQueriesContext(connection) as queries:
                assert ops.get(path).status_code == 200
            found.append(len(queries))
        return found

    costs()
    few = costs()
    for _ in range(5):
        make_release(tenant)
        make_release(make_tenant())
    assert costs() == few
    assert max(few) <= 3


def test_the_uploaded_bytes_are_those_in_quarantine(tenant: Tenant, aws: EmulatorClient) -> None:
    content = archive(good())
    version = receive_upload(
        adapter_id=make_adapter(tenant).pk, files=[UploadedPart("a.tar.gz", io.BytesIO(content))], actor=TESTER
    )
    [key] = [facts.key for facts in artifacts().list("quarantine/")]
    assert hashlib.sha256(artifacts().open(key).read()).digest() == hashlib.sha256(content).digest()
    assert json.dumps(version.parts)
