"""Uploads in parts: cut, retried, in any order, with wrong bytes; no version appears and nothing is left behind."""

import hashlib
import http.client
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from aws import errors
from aws.connect import artifacts, multipart
from aws.multipart import PresignedPart
from core import clock, crashpoints
from core.errors import NotFound, QuotaExceeded
from core.states import StaleState
from events.models import Event
from models_registry import queries
from models_registry.models import Adapter, AdapterUpload, AdapterVersion
from models_registry.services import multipart as service
from models_registry.services import uploads
from models_registry.services.adapters import TenantLeaving
from models_registry.services.artifacts import erase_tenant_artifacts
from models_registry.services.multipart import (
    AnnouncedFile,
    PartsMissing,
    UploadBusy,
    UploadClosed,
    WantedPart,
    abort_upload,
    begin_upload,
    complete_upload,
    presign_parts,
    received_parts,
    sweep_orphans,
)
from models_registry.services.provenance import UploadInvalid
from models_registry.services.uploads import TooManyUploads, sweep_abandoned_uploads
from models_registry.services.validation import validate_version
from tenants.services.offboarding import begin_offboarding
from tests.factories import TESTER
from tests.integration.models_registry.uploading import keys
from tests.unit.models_registry.making import archive, good

pytestmark = pytest.mark.usefixtures("aws")
PART = 5 << 20


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's least, so that few bytes make several parts."""
    monkeypatch.setattr(service, "PART_BYTES", PART)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(adapter: Adapter, files: Mapping[str, bytes], **words: Any) -> AdapterUpload:
    announced = [AnnouncedFile(name, len(content)) for name, content in files.items()]
    return begin_upload(adapter_id=adapter.pk, files=announced, words=words, actor=TESTER)


def cut(content: bytes) -> list[bytes]:
    return [content[start : start + PART] for start in range(0, len(content), PART)]


def address(upload: AdapterUpload, file: int, number: int, data: bytes) -> PresignedPart:
    return presign_parts(upload_id=upload.pk, parts=[WantedPart(file, number, sha(data))])[0]


def send(part: PresignedPart, data: bytes) -> int:
    request = urllib.request.Request(part.url, data, {**part.headers, "Content-Type": "x/y"}, method="PUT")
    try:
        with urllib.request.urlopen(request) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def put(upload: AdapterUpload, file: int, number: int, data: bytes, *, said: bytes | None = None) -> int:
    """Send a part; `said` are the bytes that were announced, when they are others."""
    return send(address(upload, file, number, data if said is None else said), data)


def put_all(upload: AdapterUpload, files: Mapping[str, bytes]) -> list[list[str]]:
    """Send every part; their checksums, as `complete_upload` wants them."""
    for file, content in enumerate(files.values()):
        for number, data in enumerate(cut(content), 1):
            assert put(upload, file, number, data) == 200
    return [[sha(data) for data in cut(content)] for content in files.values()]


def nothing_is_left() -> bool:
    return not AdapterVersion.objects.exists() and keys() == [] and not list(multipart().open_uploads(""))


def large() -> dict[str, bytes]:
    """The two files of a good adapter and a companion of three parts."""
    return {**good(), "tokenizer.json": random.Random(5).randbytes(2 * PART + 77)}


def test_parts_become_a_version(adapter: Adapter) -> None:
    files = large()
    upload = begin(adapter, files, notes="in parts", metrics={"loss": 0.5})
    assert [file["parts"] for file in upload.files] == [1, 1, 3]
    with pytest.raises(NotFound):
        queries.get_version(upload.version.public_id, tenant_ids=None)
    version = complete_upload(upload_id=upload.pk, checksums=put_all(upload, files), actor=TESTER)
    assert (version.state, version.notes, version.uploaded_by_ref) == ("validating", "in parts", TESTER.ref)
    assert not list(multipart().open_uploads(""))
    validate_version(version_id=version.pk)
    version.refresh_from_db()
    assert (version.state, version.number) == ("ready", 1)
    assert [finding["code"] for finding in version.findings] == ["extra_file_ignored"]
    assert keys() == [version.artifact_key]
    # A client whose reply was lost asks again, and gets the same version.
    assert complete_upload(upload_id=upload.pk, checksums=[], actor=TESTER) == version
    assert Event.objects.filter(name="adapter.upload_completed").count() == 1


def test_parallel_parts_in_any_order_some_twice(adapter: Adapter) -> None:
    files = large()
    upload = begin(adapter, files)
    chunks = [
        (file, number, data) for file, each in enumerate(files.values()) for number, data in enumerate(cut(each), 1)
    ]
    chunks = random.Random(3).sample(chunks * 2, 2 * len(chunks))
    sent = [(address(upload, *chunk), chunk[2]) for chunk in chunks]
    threads = [threading.Thread(target=send, args=each) for each in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checksums = [[sha(data) for data in cut(content)] for content in files.values()]
    version = complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
    stored = [artifacts().open(key).read() for key in keys("quarantine/")]
    assert version.state == "validating" and stored == list(files.values())


def test_one_archive(adapter: Adapter) -> None:
    files = {"whatever": archive(good(), folder="f")}
    upload = begin(adapter, files)
    version = complete_upload(upload_id=upload.pk, checksums=put_all(upload, files), actor=TESTER)
    validate_version(version_id=version.pk)
    version.refresh_from_db()
    assert version.state == "ready"


def test_what_arrived_is_told_so_that_a_client_can_go_on(adapter: Adapter) -> None:
    files = large()
    upload = begin(adapter, files)
    chunks = cut(files["tokenizer.json"])
    assert put(upload, 2, 3, chunks[2]) == put(upload, 2, 1, chunks[0]) == 200
    found = received_parts(upload_id=upload.pk)
    assert [[(part.number, part.size_bytes, part.sha256) for part in file] for file in found] == [
        [],
        [],
        [(1, PART, sha(chunks[0])), (3, 77, sha(chunks[2]))],
    ]
    checksums = [[sha(data) for data in cut(content)] for content in files.values()]
    with pytest.raises(PartsMissing) as caught:
        complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
    assert [error.pointer for error in caught.value.errors] == ["/files/0/parts/1"]
    assert upload.version.state == "uploading" and keys() == []
    put_all(upload, files)
    assert complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER).state == "validating"


def test_wrong_bytes_never_become_a_version(adapter: Adapter) -> None:
    files = good()
    upload = begin(adapter, files)
    content = list(files.values())
    assert put(upload, 1, 1, content[1][:-1] + b"x", said=content[1]) == 400
    assert received_parts(upload_id=upload.pk)[1] == []
    checksums = put_all(upload, files)
    for wrong in ([], [[], []], [checksums[0]], [checksums[0], ["0" * 64]], [checksums[0], [*checksums[1], "0" * 64]]):
        with pytest.raises(PartsMissing):
            complete_upload(upload_id=upload.pk, checksums=wrong, actor=TESTER)
    # Other bytes of the same length, sent under an address of their own: the client that completes notices.
    assert put(upload, 1, 1, content[1][:-1] + b"x") == 200
    with pytest.raises(PartsMissing):
        complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
    assert not queries.list_versions(tenant_ids=None)
    assert not Event.objects.filter(name="adapter.upload_completed").exists()
    abort_upload(upload_id=upload.pk)
    assert nothing_is_left()


@pytest.mark.parametrize("arrived", range(4))
def test_an_upload_that_is_never_ended_expires(adapter: Adapter, arrived: int) -> None:
    files = large()
    upload = begin(adapter, files)
    for number, data in enumerate(cut(files["tokenizer.json"])[:arrived], 1):
        assert put(upload, 2, number, data) == 200
    assert sweep_abandoned_uploads() == 0
    AdapterUpload.objects.update(expires_at=clock.real_now() - timedelta(seconds=1))
    for refused in (
        lambda: presign_parts(upload_id=upload.pk, parts=[WantedPart(0, 1, "0" * 64)]),
        lambda: complete_upload(upload_id=upload.pk, checksums=[], actor=TESTER),
    ):
        with pytest.raises(UploadClosed):
            refused()
    assert sweep_abandoned_uploads() == 1
    assert nothing_is_left()
    with pytest.raises(NotFound):
        received_parts(upload_id=upload.pk)


@pytest.mark.parametrize("place", ["multipart:begun", "multipart:opened", "multipart:made"])
@pytest.mark.parametrize("end", [RuntimeError, SystemExit])
def test_a_process_that_dies_leaves_nothing_after_expiry(
    adapter: Adapter, place: str, end: type[BaseException]
) -> None:
    def die(name: str) -> None:
        if name == place:
            raise end

    files = good()
    crashpoints.arm(die)
    try:
        with pytest.raises(end):
            upload = begin(adapter, files)
            complete_upload(upload_id=upload.pk, checksums=put_all(upload, files), actor=TESTER)
    finally:
        crashpoints.arm(None)
    assert not queries.list_versions(tenant_ids=None)
    if place == "multipart:made":
        # The objects are made, so the same client can still complete it once its claim has run out.
        AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
        upload = AdapterUpload.objects.get()
        checksums = [[sha(content)] for content in files.values()]
        assert complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER).state == "validating"
        return
    AdapterUpload.objects.update(expires_at=clock.real_now() - timedelta(seconds=1))
    AdapterVersion.objects.update(claimed_until=None)
    sweep_abandoned_uploads()
    assert nothing_is_left()


@pytest.mark.parametrize("overtaken_by", ["completed", "dropped", "swept"])
def test_a_worker_that_stood_still_finishes_nothing(adapter: Adapter, overtaken_by: str) -> None:
    """Held up for longer than its claim lasts, it finds another's claim, or nothing, in its place."""
    files = good()
    upload = begin(adapter, files)
    checksums, overtook = put_all(upload, files), []

    def stand_still(name: str) -> None:
        if name != "multipart:made" or overtook:
            return
        overtook.append(name)
        AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
        if overtaken_by == "completed":
            complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
        elif overtaken_by == "dropped":
            abort_upload(upload_id=upload.pk)
        else:
            AdapterUpload.objects.update(expires_at=clock.real_now() - timedelta(seconds=1))
            assert sweep_abandoned_uploads() == 1
        # What it stores after that is nobody's.
        artifacts().put(f"quarantine/{adapter.tenant.public_id}/{upload.version.public_id}/9", b"x", sha256=sha(b"x"))

    crashpoints.arm(stand_still)
    try:
        with pytest.raises(StaleState):
            complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
    finally:
        crashpoints.arm(None)
    told = Event.objects.filter(name="adapter.upload_completed").count()
    if overtaken_by == "completed":
        upload.version.refresh_from_db()
        assert (upload.version.state, upload.version.claimed_until, told) == ("validating", None, 1)
        return
    assert told == 0 and sweep_orphans() == 1 and nothing_is_left()


def test_a_dropped_upload_is_completed_by_nobody(adapter: Adapter, aws: Any) -> None:
    """Even if the bucket could not be emptied yet and the claim has run out."""
    upload = begin(adapter, good())
    checksums = put_all(upload, good())
    aws.fault("server_error", operation="AbortMultipartUpload", times=9)
    abort_upload(upload_id=upload.pk)
    aws.clear_faults()
    AdapterVersion.objects.update(claimed_until=clock.real_now() - timedelta(seconds=1))
    with pytest.raises(UploadClosed):
        complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
    assert sweep_abandoned_uploads() == 1 and nothing_is_left()


def test_an_aws_that_fails_leaves_the_upload_as_it_was(adapter: Adapter, aws: Any) -> None:
    aws.fault("server_error", operation="CreateMultipartUpload", times=9)
    with pytest.raises(errors.Retryable):
        begin(adapter, good())
    aws.clear_faults()
    assert nothing_is_left()
    upload = begin(adapter, good())
    checksums = put_all(upload, good())
    aws.fault("server_error", operation="CompleteMultipartUpload", times=9)
    with pytest.raises(errors.Retryable):
        complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
    aws.clear_faults()
    aws.fault("lose_reply", operation="CompleteMultipartUpload", times=9)  # it was done; the second try finds nothing
    assert complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER).state == "validating"


def test_what_lies_in_quarantine_for_no_upload_is_swept(adapter: Adapter) -> None:
    upload = begin(adapter, good())
    assert sweep_orphans() == 0
    orphan = f"quarantine/{adapter.tenant.public_id}/adv_0000/0"
    multipart().begin(orphan)
    artifacts().put(orphan, b"x", sha256=sha(b"x"))
    artifacts().put("quarantine/somebody-elses", b"x", sha256=sha(b"x"))
    assert sweep_orphans() == 2
    assert keys() == ["quarantine/somebody-elses"]
    artifacts().delete("quarantine/somebody-elses")
    abort_upload(upload_id=upload.pk)
    assert sweep_orphans() == 0 and nothing_is_left()


def test_a_leaving_tenants_uploads_go_at_once(adapter: Adapter) -> None:
    files = good()
    upload = begin(adapter, files)
    checksums = put_all(upload, files)
    begin_offboarding(tenant_id=adapter.tenant_id, reason="bye", actor=TESTER)
    with pytest.raises(TenantLeaving):
        begin(adapter, files)
    with pytest.raises(TenantLeaving):
        complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER)
    assert erase_tenant_artifacts(tenant_id=adapter.tenant_id, actor=TESTER)
    assert nothing_is_left()


def test_quotas(adapter: Adapter, make_adapter: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_UNDECIDED", 3)

    def announce(*sizes: int) -> AdapterUpload:
        files = [AnnouncedFile(f"f{index}", size) for index, size in enumerate(sizes)]
        return begin_upload(adapter_id=adapter.pk, files=files, words={}, actor=TESTER)

    for sizes in ((2 << 30,), (1 << 29, 1 << 29, 1), (6 << 30,)):
        with pytest.raises(QuotaExceeded):
            announce(*sizes)
    for sizes in ((), (0,), (1, -1), (1,) * 33):
        with pytest.raises(UploadInvalid):
            announce(*sizes)
    for _ in range(3):
        announce(1)
    with pytest.raises(TooManyUploads):
        announce(1)
    assert begin(make_adapter(), good())  # of another tenant


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_begun_uploads_are_twenty(adapter: Adapter) -> None:
    """The rest is told to wait, at once, and nothing of it is anywhere."""
    refused, began = 0, time.thread_time()
    for _ in range(10_000):
        try:
            begin_upload(adapter_id=adapter.pk, files=[AnnouncedFile("a.tgz", 1)], words={}, actor=TESTER)
        except TooManyUploads:
            refused += 1
    assert (refused, AdapterVersion.objects.count(), len(list(multipart().open_uploads("")))) == (9_980, 20, 20)
    assert (time.thread_time() - began) / 10_000 < 0.02
    assert queries.list_versions(tenant_ids=None).count() == 0


def cut_put(part: PresignedPart, data: bytes, after: int) -> None:
    """A client that hangs up in the middle of a part."""
    target = urllib.parse.urlsplit(part.url)
    with closing(http.client.HTTPConnection(target.netloc)) as line:
        line.putrequest("PUT", f"{target.path}?{target.query}")
        for name, value in {**part.headers, "Content-Length": str(len(data))}.items():
            line.putheader(name, value)
        line.endheaders()
        line.send(data[:after])


@pytest.mark.parametrize("cuts", [10, pytest.param(1_000, marks=pytest.mark.long)])
@pytest.mark.timeout(1200)
def test_a_part_that_was_cut_never_counts(adapter: Adapter, cuts: int) -> None:
    """At every place of the body; the same part is sent whole afterwards, and only then the upload is complete."""
    files = {"whatever": archive(good(), folder="f")}
    content = files["whatever"]
    upload = begin(adapter, files)
    part = address(upload, 0, 1, content)
    for after in range(0, len(content), len(content) // cuts):
        cut_put(part, content, after)
    assert received_parts(upload_id=upload.pk) == [[]]
    with pytest.raises(PartsMissing):
        complete_upload(upload_id=upload.pk, checksums=[[sha(content)]], actor=TESTER)
    assert not queries.list_versions(tenant_ids=None)
    assert send(part, content) == 200
    assert complete_upload(upload_id=upload.pk, checksums=[[sha(content)]], actor=TESTER).state == "validating"


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201, "\ud800"])
def test_unusable_names_begin_nothing(adapter: Adapter, name: str) -> None:
    with pytest.raises(UploadInvalid):
        begin_upload(adapter_id=adapter.pk, files=[AnnouncedFile(name, 1)], words={}, actor=TESTER)
    assert nothing_is_left()


def test_only_parts_that_were_announced_get_an_address(adapter: Adapter) -> None:
    upload = begin(adapter, good())
    for file, number in ((0, 0), (0, 2), (2, 1), (0, -1), (0, 10_001)):
        with pytest.raises(UploadInvalid):
            presign_parts(upload_id=upload.pk, parts=[WantedPart(file, number, "0" * 64)])
    for count in (0, 101):
        with pytest.raises(UploadInvalid):
            presign_parts(upload_id=upload.pk, parts=[WantedPart(0, 1, "0" * 64)] * count)


@pytest.mark.django_db(transaction=True)
def test_two_that_complete_at_once_make_one_version(transactional_db: None, adapter: Adapter) -> None:
    files = good()
    upload = begin(adapter, files)
    checksums = put_all(upload, files)
    ended: list[object] = []

    def complete() -> None:
        try:
            ended.append(complete_upload(upload_id=upload.pk, checksums=checksums, actor=TESTER).state)
        except (UploadBusy, StaleState) as error:
            ended.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=complete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ended) <= {"validating", "upload_busy", "stale_state"} and "validating" in ended
    assert Event.objects.filter(name="adapter.upload_completed").count() == 1


def test_another_tenant_sees_no_upload_and_no_digest(adapter: Adapter, make_adapter: Callable[..., Adapter]) -> None:
    """The same bytes of two tenants are two artifacts, and nothing tells one of the other's."""
    other = make_adapter("support")
    versions = []
    for owner in (adapter, other):
        upload = begin(owner, good())
        stranger = other if owner is adapter else adapter
        with pytest.raises(NotFound):
            queries.get_upload(upload.public_id, tenant_ids=[stranger.tenant_id])
        assert not queries.list_open_uploads(tenant_ids=[stranger.tenant_id], adapter_id=owner.pk)
        assert all(not file for file in received_parts(upload_id=upload.pk)), "not even what S3 has elsewhere"
        version = complete_upload(upload_id=upload.pk, checksums=put_all(upload, good()), actor=TESTER)
        validate_version(version_id=version.pk)
        version.refresh_from_db()
        versions.append(version)
    first, second = versions
    assert first.sha256 == second.sha256 and first.artifact_key != second.artifact_key
    assert second.findings == [], "no word of a duplicate that is somebody else's"
    assert sorted(keys()) == sorted([first.artifact_key, second.artifact_key])
