"""From a request's bytes to a numbered, immutable version: nothing half, nothing left behind."""

import hashlib
import io
import os
import random
import signal
import tarfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from aws import errors
from aws.connect import artifacts
from core import clock, crashpoints
from core.errors import NotFound, QuotaExceeded
from events.models import Event
from local_stack.emulator import EmulatorClient
from models_registry import queries
from models_registry.models import Adapter, AdapterVersion
from models_registry.services import uploads, validation
from models_registry.services.adapters import (
    AdapterInvalid,
    AdapterNameTaken,
    TenantLeaving,
    archive_version,
    create_adapter,
)
from models_registry.services.gate import GateFailed
from models_registry.services.uploads import (
    TooManyUploads,
    UploadedPart,
    UploadInvalid,
    receive_upload,
    sweep_abandoned_uploads,
)
from models_registry.services.validation import validate_undecided_versions, validate_version
from tenants.services.offboarding import begin_offboarding
from tenants.services.tiers import TierLimits, define_tier
from tests.factories import TESTER
from tests.integration.models_registry.uploading import keys, parts, upload
from tests.unit.models_registry.making import archive, good, sample

pytestmark = pytest.mark.usefixtures("aws")


def codes(version: AdapterVersion) -> list[str]:
    return [finding["code"] for finding in version.findings]


def test_an_accepted_upload_becomes_a_numbered_version(adapter: Adapter) -> None:
    version = upload(adapter, notes="first", metrics={"loss": 0.5})
    adapter.refresh_from_db()
    assert (version.state, version.number, version.rank, version.alpha) == ("ready", 1, 8, 16.0)
    assert version.target_modules == ["q_proj", "v_proj"]
    assert (version.notes, version.metrics, version.uploaded_by) == ("first", {"loss": 0.5}, "tester")
    assert adapter.latest_version == version
    tenant = adapter.tenant.public_id
    assert version.artifact_key == f"tenants/{tenant}/adapters/{version.sha256}.tar.gz"
    stored = artifacts().open(version.artifact_key).read()
    assert (len(stored), hashlib.sha256(stored).hexdigest()) == (version.size_bytes, version.sha256)
    assert keys() == [version.artifact_key]  # quarantine is empty
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        assert tar.getnames() == ["adapter_config.json", "adapter_model.safetensors"]
    names = list(Event.objects.filter(subject_ref=version.public_id).order_by("pk").values_list("name", flat=True))
    assert names == ["adapter.upload_completed", "adapter.version_ready"]


def test_archive_and_files_come_to_the_same_artifact(adapter: Adapter) -> None:
    first = upload(adapter, "ok-r16-all")
    second = upload(adapter, {"what ever.tgz": archive(sample("ok-r16-all"), folder="renamed")})
    third = upload(adapter, {"blob": archive(sample("ok-r16-all"))})  # what it is, its first bytes say
    assert first.sha256 == second.sha256 == third.sha256
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert (codes(first), codes(second)) == ([], ["duplicate_content"])


def test_other_bytes_under_the_artifacts_name_are_not_taken_for_it(adapter: Adapter) -> None:
    first = upload(adapter)
    artifacts().delete(first.artifact_key)
    artifacts().put(first.artifact_key, b"others", sha256=hashlib.sha256(b"others").hexdigest())
    again = upload(adapter)
    assert (again.state, again.number, codes(again)) == ("rejected", None, ["artifact_taken"])
    artifacts().delete(first.artifact_key)
    assert upload(adapter).number == 2


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bad-dora", "dora_unsupported"),
        ("bad-modules-to-save", "modules_to_save_unsupported"),
        ("bad-pickle-only", "pickle_refused"),
        ("bad-wrong-base", "shape_mismatch"),
    ],
)
def test_refused_uploads_say_why_and_take_no_number(adapter: Adapter, name: str, code: str) -> None:
    for files in (sample(name), {"a.tar.gz": archive(sample(name), folder="x")}):
        version = upload(adapter, files)
        assert (version.state, version.number, codes(version)) == ("rejected", None, [code])
    adapter.refresh_from_db()
    assert adapter.latest_version is None
    assert keys() == []
    assert upload(adapter).number == 1


def test_the_tiers_rank_is_a_quota(make_adapter: Callable[..., Adapter]) -> None:
    limits = TierLimits(
        max_adapters=3, max_adapter_bytes=1 << 30, max_lora_rank=8, keep_previous_warm=False, warm_window_hours=1
    )
    define_tier(key="small", name="Small", position=1, limits=limits)
    version = upload(make_adapter(tier_key="small"), "ok-r16-all")
    assert (version.state, codes(version)) == ("rejected", ["quota_exceeded"])


def test_the_tiers_bytes_and_adapters_are_quotas(make_adapter: Callable[..., Adapter]) -> None:
    limits = TierLimits(
        max_adapters=1, max_adapter_bytes=10_000, max_lora_rank=8, keep_previous_warm=False, warm_window_hours=1
    )
    define_tier(key="tiny", name="Tiny", position=1, limits=limits)
    adapter = make_adapter(tier_key="tiny")
    with pytest.raises(QuotaExceeded) as refused:
        upload(adapter)
    assert refused.value.code == "quota_exceeded"
    with pytest.raises(QuotaExceeded):
        make_adapter("another", tenant=adapter.tenant)
    assert Adapter.objects.filter(tenant=adapter.tenant).count() == 1
    assert not AdapterVersion.objects.exists() and keys() == []


class Cut:
    """A connection that breaks after some bytes."""

    def __init__(self, content: bytes, after: int) -> None:
        self.content = io.BytesIO(content[:after])

    def read(self, size: int, /) -> bytes:
        data = self.content.read(size)
        if not data:
            raise OSError("connection reset")
        return data


@pytest.mark.parametrize("cuts", [20, pytest.param(1_000, marks=pytest.mark.long)])
def test_a_cut_upload_leaves_nothing(adapter: Adapter, cuts: int) -> None:
    content = archive(good())
    for after in range(0, len(content), len(content) // cuts):
        with pytest.raises(OSError, match="reset"):
            receive_upload(adapter_id=adapter.pk, files=[UploadedPart("a.tar.gz", Cut(content, after))], actor=TESTER)
    assert not AdapterVersion.objects.exists() and keys() == []
    assert not Event.objects.filter(name="adapter.upload_completed").exists()


def test_an_upload_that_stops_silently_is_refused_by_the_gate(adapter: Adapter) -> None:
    content = archive(good())
    version = upload(adapter, {"a.tar.gz": content[: len(content) // 2]})
    assert (version.state, version.number, codes(version)) == ("rejected", None, ["archive_truncated"])


@pytest.mark.parametrize("place", ["upload:begun", "upload:stored"])
def test_a_failure_on_the_way_leaves_nothing(adapter: Adapter, place: str) -> None:
    def fail(name: str) -> None:
        if name == place:
            raise RuntimeError("failed here")

    crashpoints.arm(fail)
    try:
        with pytest.raises(RuntimeError, match="failed here"):
            receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    finally:
        crashpoints.arm(None)
    assert not AdapterVersion.objects.exists() and keys() == []


@pytest.mark.parametrize("place", ["upload:begun", "upload:stored"])
def test_a_process_that_dies_leaves_an_invisible_row_that_the_sweep_forgets(adapter: Adapter, place: str) -> None:
    def die(name: str) -> None:
        if name == place:
            raise SystemExit  # no handler of ours runs, as after a kill

    crashpoints.arm(die)
    try:
        with pytest.raises(SystemExit):
            receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    finally:
        crashpoints.arm(None)
    version = AdapterVersion.objects.get()
    with pytest.raises(NotFound):
        queries.get_version(version.public_id, tenant_ids=None)
    assert not queries.list_versions(tenant_ids=None)
    assert sweep_abandoned_uploads() == 0  # it may still be on its way
    AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
    assert sweep_abandoned_uploads() == 1
    assert not AdapterVersion.objects.exists() and keys() == []


def test_two_workers_decide_once(adapter: Adapter) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    for _ in range(3):
        validate_version(version_id=version.pk)
    assert Event.objects.filter(name="adapter.version_ready").count() == 1
    adapter.refresh_from_db()
    assert adapter.next_number == 2


@pytest.mark.django_db(transaction=True)
def test_uploads_that_end_together_get_their_own_numbers(transactional_db: None, adapter: Adapter) -> None:
    versions = [receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER) for _ in range(4)]
    failures: list[BaseException] = []

    def decide(version_id: int) -> None:
        try:
            validate_version(version_id=version_id)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=(version.pk,)) for version in versions for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    numbers = AdapterVersion.objects.filter(adapter=adapter).order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3, 4]
    adapter.refresh_from_db()
    assert adapter.latest_version is not None and adapter.latest_version.number == 4
    assert Event.objects.filter(name="adapter.version_ready").count() == 4


def test_a_dead_validator_is_replaced_and_three_dead_ones_are_enough(adapter: Adapter) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)

    def die(name: str) -> None:
        if name == "validation:stored":
            raise SystemExit

    crashpoints.arm(die)
    try:
        for attempt in range(1, 4):
            with pytest.raises(SystemExit):
                validate_version(version_id=version.pk)
            version.refresh_from_db()
            assert (version.state, version.attempts) == ("validating", attempt)
            assert validate_undecided_versions() == 0  # its lease has not run out
            AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
    finally:
        crashpoints.arm(None)
    assert validate_undecided_versions() == 1
    version.refresh_from_db()
    assert (version.state, codes(version)) == ("rejected", ["validation_failed"])


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.django_db(transaction=True)
def test_two_hundred_killed_validators_leave_no_orphan(transactional_db: None, adapter: Adapter) -> None:
    """SIGKILL at any moment: an upload is judged by who comes next or given up after three, and decided once."""
    rng, killed, began = random.Random(8), 0, time.monotonic()
    versions = [upload(adapter)]
    usual = time.monotonic() - began
    while killed < 200:
        undecided = AdapterVersion.objects.filter(state="validating").values_list("pk", flat=True)
        version_id = rng.choice(list(undecided) or [receive_one(adapter, versions).pk])
        connection.close()
        process = os.fork()
        if process == 0:
            try:
                validate_version(version_id=version_id)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, 1.3 * usual))
        os.kill(process, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        AdapterVersion.objects.update(claimed_until=None)
    while validate_undecided_versions():
        AdapterVersion.objects.update(claimed_until=None)
    sweep_abandoned_uploads()
    adapter.refresh_from_db()
    ready = AdapterVersion.objects.filter(state="ready").order_by("number")
    given_up = AdapterVersion.objects.filter(state="rejected")
    assert ready.count() + given_up.count() == len(versions) and ready.count() > 0
    assert [version.number for version in ready] == list(range(1, ready.count() + 1)), "no number is lost or doubled"
    assert {codes(version)[0] for version in given_up} <= {"validation_failed"}
    assert keys() == [ready[0].artifact_key]
    assert Event.objects.filter(name="adapter.version_ready").count() == ready.count()


def receive_one(adapter: Adapter, versions: list[AdapterVersion]) -> AdapterVersion:
    versions.append(receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER))
    return versions[-1]


def test_one_dead_validator_costs_nothing(adapter: Adapter) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    crashpoints.arm(lambda name: exec("raise SystemExit") if name == "validation:stored" else None)
    try:
        with pytest.raises(SystemExit):
            validate_version(version_id=version.pk)
    finally:
        crashpoints.arm(None)
    AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
    assert validate_undecided_versions() == 1
    version.refresh_from_db()
    assert (version.state, version.number) == ("ready", 1)
    assert keys() == [version.artifact_key]


def test_lost_files_are_said_to_be_lost(adapter: Adapter) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    for key in keys("quarantine/"):
        artifacts().delete(key)
    validate_version(version_id=version.pk)
    version.refresh_from_db()
    assert (version.state, codes(version)) == ("rejected", ["upload_lost"])


def test_an_aws_that_is_away_is_shown_and_waited_for(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, aws_server: EmulatorClient
) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    from aws import connect

    access = connect._access()
    with monkeypatch.context() as patch:  # a port where nobody listens
        closed = type(access)(region=access.region, read_timeout_seconds=1, endpoint_url="http://127.0.0.1:9")
        patch.setattr(connect, "_access", lambda: closed)
        patch.setattr(connect, "account_id", lambda: "123456789012")
        validate_version(version_id=version.pk)
        with pytest.raises(errors.Retryable):
            receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    version.refresh_from_db()
    assert (version.state, version.attempts) == ("validating", 0)
    assert "GetObject" in version.waiting_reason
    assert [found.pk for found in queries.list_versions(tenant_ids=None)] == [version.pk]
    AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
    validate_undecided_versions()
    sweep_abandoned_uploads()
    version.refresh_from_db()
    assert (version.state, version.waiting_reason) == ("ready", "")
    assert keys() == [version.artifact_key]


@pytest.mark.parametrize(
    "details",
    [
        {"files": []},
        {"files": [UploadedPart("a", io.BytesIO(b""))]},
        {"files": [UploadedPart("", io.BytesIO(b"x"))]},
        {"files": [UploadedPart("a\nb", io.BytesIO(b"x"))]},
        {"files": [UploadedPart(f"f{n}", io.BytesIO(b"x")) for n in range(40)]},
        {"notes": "x" * 5000},
        {"notes": "a\0b"},
        {"notes": "a\ud800b"},
        {"metrics": {"a": "\ud800"}},
        {"metrics": {"a\udfff": 1}},
        {"metrics": {"a": float("nan")}},
        {"metrics": {"a": "x" * 9000}},
        {"metrics": {"a": "\0"}},
        {"metrics": {"a": object()}},
        {"dataset_ref": "a\nb"},
    ],
)
def test_unusable_uploads_change_nothing(adapter: Adapter, details: dict[str, Any]) -> None:
    with pytest.raises(UploadInvalid):
        receive_upload(**({"adapter_id": adapter.pk, "files": parts(good()), "actor": TESTER} | details))
    assert not AdapterVersion.objects.exists() and keys() == []


def test_names_of_adapters(make_adapter: Callable[..., Adapter], adapter: Adapter) -> None:
    for name in ("", "Support", "a--b", "a-", "1a", "ä", "a" * 41, "base", "a_b", "a\n"):
        with pytest.raises(AdapterInvalid):
            make_adapter(name, tenant=adapter.tenant)
    with pytest.raises(AdapterNameTaken):
        make_adapter(adapter.name, tenant=adapter.tenant)
    with pytest.raises(NotFound):
        create_adapter(tenant_id=adapter.tenant_id, name="x", foundation_model_id=0, actor=TESTER)
    assert make_adapter(adapter.name).tenant != adapter.tenant


def test_a_leaving_tenant_brings_nothing_new(adapter: Adapter) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    begin_offboarding(tenant_id=adapter.tenant_id, reason="bye", actor=TESTER)
    with pytest.raises(TenantLeaving):
        receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    validate_version(version_id=version.pk)
    version.refresh_from_db()
    assert codes(version) == ["tenant_leaving"]
    assert keys() == []


FROZEN = {
    "number": 7,
    "sha256": "0" * 64,
    "artifact_key": "x",
    "size_bytes": 1,
    "rank": 1,
    "facts": {},
    "notes": "other",
    "adapter_id": 1,
}


def test_a_ready_version_never_changes(adapter: Adapter) -> None:
    version = upload(adapter)
    rows = AdapterVersion.objects.filter(pk=version.pk)
    for _ in ("ready", "archived"):
        for column, value in FROZEN.items():
            with pytest.raises(DatabaseError, match="final"), transaction.atomic():
                rows.update(**{column: value})
        with pytest.raises(DatabaseError, match="final"), transaction.atomic():
            rows._raw_delete("default")
        archive_version(version_id=version.pk, actor=TESTER)


def test_no_version_belongs_to_another_tenants_adapter(adapter: Adapter, make_adapter: Callable[..., Adapter]) -> None:
    other = make_adapter()
    with pytest.raises(DatabaseError), transaction.atomic():
        AdapterVersion.objects.create(adapter=adapter, tenant=other.tenant, uploaded_by="x")
        connection.check_constraints()
    version = upload(other)
    with pytest.raises(DatabaseError), transaction.atomic():
        Adapter.objects.filter(pk=adapter.pk).update(live_version=version)
        connection.check_constraints()
    assert queries.list_versions(tenant_ids=[adapter.tenant_id]).count() == 0
    with pytest.raises(NotFound):
        queries.get_version(version.public_id, tenant_ids=[adapter.tenant_id])
    with pytest.raises(NotFound):
        queries.get_adapter(other.public_id, tenant_ids=[adapter.tenant_id])
    assert list(queries.list_adapters(tenant_ids=[adapter.tenant_id])) == [adapter]


@pytest.mark.parametrize("code", ["inspection_crashed", "inspection_timeout"])
def test_an_upload_on_which_the_gate_dies_is_tried_three_times(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise GateFailed(code, "It ended without a word.")

    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    with monkeypatch.context() as patch:
        patch.setattr(validation, "judge_upload", die)
        for attempt in (1, 2):
            validate_undecided_versions()
            version.refresh_from_db()
            assert (version.state, version.attempts) == ("validating", attempt)
            assert "tried again" in version.waiting_reason
            AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
        validate_undecided_versions()
    version.refresh_from_db()
    assert (version.state, codes(version)) == ("rejected", [code])
    assert keys() == []


def test_a_large_upload_is_claimed_for_longer(adapter: Adapter) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    assert validation._claim_seconds(version) < settings.LEASE_SECONDS + 1
    version.parts = [{"name": "a.tar.gz", "size": 5 << 30}]
    assert validation._claim_seconds(version) > settings.LEASE_SECONDS + 500


def test_a_tenant_has_only_so_many_uploads_on_their_way(
    adapter: Adapter, make_adapter: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_UNDECIDED", 3)
    for _ in range(3):
        receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    with pytest.raises(TooManyUploads):
        receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    assert AdapterVersion.objects.count() == 3 == len(keys("quarantine/")) / 2
    assert receive_upload(adapter_id=make_adapter().pk, files=parts(good()), actor=TESTER)
    validate_undecided_versions()
    assert receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
