"""Versions taken in from an S3 address: the same gate, and clear refusals."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aws.connect import artifacts
from core import clock
from core.errors import Invalid
from local_stack.emulator import EmulatorClient
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.artifacts import erase_tenant_artifacts
from models_registry.services.imports import ImportInvalid, copy_import, copy_waiting_imports, import_version
from models_registry.services.uploads import sweep_abandoned_uploads
from models_registry.services.validation import validate_version
from models_registry.states import VersionState
from tenants.services.offboarding import begin_offboarding
from tenants.services.onboarding import begin_provisioning
from tenants.services.tiers import define_tier
from tests.factories import LIMITS, TESTER, make_tenant
from tests.integration.models_registry.uploading import keys
from tests.unit.models_registry.making import archive, sample

pytestmark = pytest.mark.django_db


@pytest.fixture
def place(aws: EmulatorClient, adapter: Adapter) -> str:
    """The tenant's own place to import from, as the local stack allows it."""
    return f"s3://controlplane-local-artifacts/incoming/{adapter.tenant.slug}/"


def put(uri: str, content: bytes) -> str:
    artifacts().put(uri.split("/", 3)[3], content, sha256=hashlib.sha256(content).hexdigest())
    return uri


def ask(adapter: Adapter, uri: str, *, is_of_tenant: bool = True, **words: Any) -> AdapterVersion:
    return import_version(adapter_id=adapter.pk, uri=uri, words=words, is_of_tenant=is_of_tenant, actor=TESTER)


def taken(adapter: Adapter, uri: str) -> AdapterVersion:
    version = ask(adapter, uri, notes="From the training account.", base_revision="abc123")
    copy_import(version_id=version.pk)
    validate_version(version_id=version.pk)
    version.refresh_from_db()
    return version


def test_an_archive_and_a_folder_pass_the_same_gate(adapter: Adapter, place: str) -> None:
    files = sample("ok-r8-qv")
    for name, content in files.items():
        put(f"{place}run-7/{name}", content)
    put(f"{place}run-8.tar.gz", archive(files))
    folder, packed = taken(adapter, f"{place}run-7/"), taken(adapter, f"{place}run-8.tar.gz")
    assert (folder.state, folder.number, packed.number) == (VersionState.READY, 1, 2)
    assert folder.sha256 == packed.sha256
    assert (folder.source_uri, folder.base_revision) == (f"{place}run-7/", "abc123")
    assert folder.uploaded_by_ref == TESTER.ref
    assert not keys("quarantine/")


def test_other_places_are_refused_before_anything_is_kept(adapter: Adapter, place: str) -> None:
    other = make_tenant()
    for uri in (
        "https://example.com/a.tar.gz",
        "s3://somebody-elses/a.tar.gz",
        place.replace(adapter.tenant.slug, other.slug) + "a.tar.gz",
        place,
        f"s3://controlplane-local-artifacts/tenants/{other.public_id}/adapters/x.tar.gz",
    ):
        with pytest.raises(ImportInvalid) as refusal:
            ask(adapter, uri)
        assert other.public_id not in refusal.value.hint
    assert not AdapterVersion.objects.exists()


def test_a_place_without_tenant_is_for_the_operating_team(adapter: Adapter, aws: EmulatorClient, settings: Any) -> None:
    settings.ENV = settings.ENV.model_copy(update={"import_sources": ["s3://training/"]})
    with pytest.raises(ImportInvalid):
        ask(adapter, "s3://training/a.tar.gz")
    assert ask(adapter, "s3://training/a.tar.gz", is_of_tenant=False).state == VersionState.IMPORTING


def test_a_wrong_source_becomes_a_finding_and_leaves_nothing(adapter: Adapter, place: str) -> None:
    missing = taken(adapter, f"{place}nothing.tar.gz")
    assert [finding["code"] for finding in missing.findings] == ["source_missing"]
    half = put(f"{place}half/adapter_config.json", b"{}").rpartition("/")[0] + "/"
    assert [finding["code"] for finding in taken(adapter, half).findings] == ["source_missing"]
    bad = taken(adapter, put(f"{place}bad.tar.gz", b"no archive at all"))
    assert bad.state == VersionState.REJECTED and bad.number is None
    sweep_abandoned_uploads()
    assert not keys("quarantine/")


def test_a_source_larger_than_the_tier_takes_is_not_copied(
    make_adapter: Callable[..., Adapter], aws: EmulatorClient
) -> None:
    define_tier(key="tiny", name="Tiny", position=1, limits=replace(LIMITS, max_adapter_bytes=10))
    adapter = make_adapter(tier_key="tiny")
    uri = put(f"s3://controlplane-local-artifacts/incoming/{adapter.tenant.public_id}/large.tar.gz", b"x" * 11)
    assert [finding["code"] for finding in taken(adapter, uri).findings] == ["quota_exceeded"]


def test_an_aws_that_is_away_is_waited_for(adapter: Adapter, place: str, aws: EmulatorClient) -> None:
    version = ask(adapter, put(f"{place}a.tar.gz", archive(sample("ok-r8-qv"))))
    sweep_abandoned_uploads()  # what is on its way keeps its quarantine
    AdapterVersion.objects.filter(pk=version.pk).update(claimed_until=clock.real_now() + timedelta(seconds=60))
    assert copy_waiting_imports() == 0, "somebody else is at it"
    AdapterVersion.objects.filter(pk=version.pk).update(claimed_until=clock.real_now() - timedelta(seconds=1))
    assert copy_waiting_imports() == 1
    version.refresh_from_db()
    assert version.state == VersionState.VALIDATING


def test_after_three_dead_workers_it_is_given_up(adapter: Adapter, place: str) -> None:
    version = ask(adapter, f"{place}a.tar.gz")
    AdapterVersion.objects.filter(pk=version.pk).update(attempts=3)
    copy_import(version_id=version.pk)
    version.refresh_from_db()
    assert [finding["code"] for finding in version.findings] == ["import_failed"]


def test_too_long_words_are_refused(adapter: Adapter, place: str) -> None:
    with pytest.raises(Invalid) as refusal:
        ask(adapter, f"{place}a.tar.gz", training_job="x" * 301, metrics={"loss": float("nan")})
    assert {error.pointer for error in refusal.value.errors} == {"/training_job", "/metrics"}


def test_a_departure_ends_what_waits_to_be_copied(adapter: Adapter, place: str) -> None:
    begin_provisioning(tenant_id=adapter.tenant_id, actor=TESTER)
    version = ask(adapter, f"{place}a.tar.gz")
    begin_offboarding(tenant_id=adapter.tenant_id, reason="", actor=TESTER)
    erase_tenant_artifacts(tenant_id=adapter.tenant_id, actor=TESTER)
    version.refresh_from_db()
    assert version.state == VersionState.REJECTED
