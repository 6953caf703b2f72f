"""`manage.py adapter upload`: in parts, again after failures, on after a kill, and what it says."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.services import create_operator
from models_registry.management import sending, uploading
from models_registry.management.sending import Bar
from models_registry.models import Adapter, AdapterUpload, AdapterVersion
from models_registry.services import multipart
from models_registry.services.validation import validate_version
from tests.factories import TESTER
from tests.unit.models_registry.making import SAMPLES, archive, good

pytestmark = pytest.mark.usefixtures("aws")
PART = 5 << 20


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "PART_BYTES", PART)
    monkeypatch.setattr(uploading, "PART_BYTES", PART)


@pytest.fixture
def command(adapter: Adapter, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    create_operator(name="mika", role="ml_engineer", actor=TESTER)

    def run(path: Path, **options: Any) -> str:
        arguments = {"adapter": adapter.public_id, "operator": "mika", "wait": 0} | options
        call_command("adapter", "upload", str(path), **arguments)
        return capsys.readouterr().out

    return run


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An archive of four parts: noise does not shrink."""
    path = tmp_path / "adapter.tar.gz"
    path.write_bytes(archive({**good(), "tokenizer.json": random.Random(9).randbytes(3 * PART + 1000)}))
    return path


def test_a_folder_becomes_a_version(command: Callable[..., str]) -> None:
    said = command(SAMPLES / "ok-r8-qv", notes="by hand", metrics='{"loss": 0.5}')
    version = AdapterVersion.objects.get()
    assert said.startswith(f"{version.public_id} validating")
    assert (version.notes, version.metrics, version.uploaded_by) == ("by hand", {"loss": 0.5}, "mika")
    assert version.uploaded_by_ref.startswith("usr_"), "somebody who may then not approve it alone"


def test_a_refusal_is_printed_and_is_the_exit_status(
    command: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def decide(version: AdapterVersion, seconds: int) -> AdapterVersion:
        validate_version(version_id=version.pk)
        version.refresh_from_db()
        return version

    monkeypatch.setattr(uploading, "_decided", decide)  # the worker's part
    with pytest.raises(SystemExit) as caught:
        command(SAMPLES / "bad-dora", json=True)
    assert caught.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], [finding["code"] for finding in told["findings"]]) == ("rejected", ["dora_unsupported"])
    assert "as v1" in command(SAMPLES / "ok-r8-qv")


def test_lost_parts_are_sent_again(command: Callable[..., str], large: Path, aws: Any) -> None:
    aws.fault("server_error", operation="UploadPart", times=2)
    command(large)
    assert AdapterVersion.objects.get().state == "validating"


def test_after_a_kill_the_same_command_goes_on(
    command: Callable[..., str], large: Path, aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PARALLEL", 1)
    monkeypatch.setattr(sending, "TRIES", 1)
    put, sent = sending._put, []

    def put_two(address: Any, part: Any, bar: Any) -> None:
        if len(sent) == 2:
            raise OSError("the machine went away")
        sent.append(part.number)
        put(address, part, bar)

    monkeypatch.setattr(sending, "_put", put_two)
    with pytest.raises(CommandError, match="Run the same command again"):
        command(large)
    monkeypatch.setattr(sending, "_put", put)
    before = aws.calls()["UploadPart"]
    command(large)
    assert (sent, aws.calls()["UploadPart"] - before) == ([1, 2], 2)
    assert AdapterVersion.objects.get().state == "validating"


def test_another_file_of_the_same_name_and_size_is_another_upload(
    command: Callable[..., str], large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = sending._put
    with monkeypatch.context() as patch:
        patch.setattr(sending, "TRIES", 1)
        patch.setattr(sending, "_put", lambda address, part, bar: put(address, part, bar) if part.number < 3 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command(large)
    content = bytearray(large.read_bytes())
    content[100] ^= 1
    large.write_bytes(content)
    command(large)
    assert AdapterUpload.objects.count() == 2
    assert sorted(AdapterVersion.objects.values_list("state", flat=True)) == ["uploading", "validating"]


def test_what_cannot_be_uploaded_is_said(command: Callable[..., str], tmp_path: Path, adapter: Adapter) -> None:
    create_operator(name="vi", role="viewer", actor=TESTER)
    good_path = SAMPLES / "ok-r8-qv"
    for path, options, sentence in (
        (tmp_path / "none", {}, "Cannot read"),
        (tmp_path, {}, "does not hold adapter_config.json"),
        (good_path, {"adapter": "adp_none"}, "no adapter"),
        (good_path, {"operator": "nobody"}, "no operator"),
        (good_path, {"operator": "vi"}, "adapters.upload"),
        (good_path, {"metrics": "[1]"}, "JSON object"),
        (good_path, {"notes": "x" * 5000}, "4000"),
    ):
        with pytest.raises(CommandError, match=sentence):
            command(path, **options)
    assert not AdapterVersion.objects.exists()


def test_the_bar_tells_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = [100.0]
    monkeypatch.setattr(sending.time, "monotonic", lambda: now[0])
    bar = Bar(100_000_000, Terminal())
    for _ in range(5):
        bar.add(10_000_000)
        now[0] += 1
    assert bar.line(104.0) == "[############            ]  50%  50.0 / 100.0 MB  10.0 MB/s  5 s left"
    quiet = io.StringIO()
    Bar(1, quiet).end()
    assert quiet.getvalue() == ""
