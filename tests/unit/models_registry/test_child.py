"""The gate in a process of its own: same verdicts, and nothing that happens to it happens to the worker."""

import io
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from models_registry.inspection import __main__ as child
from models_registry.inspection.job import Job, JobFile, Report
from models_registry.services import gate
from tests.unit.models_registry.making import BASE, archive, entry, good, judge, raw_archive, sample

ROOT = Path(__file__).resolve().parents[3]


def send(files: Mapping[str, bytes], *, seconds: float = 30, **changes: Any) -> tuple[Report, bytes]:
    """The report on these files, and the artifact."""
    openers = [lambda content=content: io.BytesIO(content) for content in files.values()]  # type: ignore[misc]
    return send_openers([JobFile(name, len(content)) for name, content in files.items()], openers, seconds, **changes)


def send_openers(
    files: list[JobFile], openers: list[gate.Opener], seconds: float, **changes: Any
) -> tuple[Report, bytes]:
    settings = {"base": BASE, "engine": "vllm-0.26", "max_rank": 64, "max_bytes": 1 << 30} | changes
    with tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as spool:
        report = gate.judge_upload(Job(files=tuple(files), **settings), openers, packed, spool, seconds=seconds)
        packed.seek(0)
        return report, packed.read()


def test_the_verdict_is_the_same_as_in_this_process() -> None:
    for upload in (good(), {"a.tgz": archive(good(), folder="f")}, sample("bad-dora"), {"blob": b"PK\x03\x04"}):
        report, packed = send(upload)
        inside = judge(upload if len(upload) > 1 else next(iter(upload.values())))
        assert (report.accepted, report.findings, report.facts) == (inside.accepted, inside.findings, inside.facts)
        assert (report.artifact is not None) == report.accepted == bool(packed)
        if report.artifact is not None:
            assert len(packed) == report.artifact.size_bytes
            assert judge(packed).accepted


def test_it_inherits_neither_secrets_nor_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it could see is read from /proc while it waits for a file that does not come."""
    monkeypatch.setenv("CP_SECRET_KEY", "canary")
    seen: dict[str, Any] = {}

    def look() -> BinaryIO:
        [process] = [int(name) for name in os.listdir("/proc") if name.isdigit() and is_gate(int(name))]
        seen["environment"] = Path(f"/proc/{process}/environ").read_bytes()
        seen["files"] = [os.readlink(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")]
        return io.BytesIO(b"")

    with closing(io.BytesIO()), tempfile.NamedTemporaryFile(prefix="canary") as open_file:
        os.set_inheritable(open_file.fileno(), False)
        send_openers([JobFile("adapter.tar.gz", 10)], [look], 30)
    assert b"canary" not in seen["environment"] and b"CP_" not in seen["environment"]
    sockets = [name for name in seen["files"] if name.startswith("socket:")]
    assert len(sockets) == 1, "the one to the worker: no database, no AWS"
    assert not any("canary" in name for name in seen["files"])


def is_gate(process: int) -> bool:
    try:
        parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
        return (
            int(parent) == os.getpid()
            and b"models_registry.inspection" in Path(f"/proc/{process}/cmdline").read_bytes()
        )
    except (OSError, IndexError):
        return False


def test_what_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(gate.GateFailed) as caught:
        send_openers([JobFile("adapter.tar.gz", 10)], [lambda: Slow()], 1.0)  # type: ignore[list-item, return-value]
    assert caught.value.code == "inspection_timeout"
    assert time.monotonic() - began < 5
    assert not any(is_gate(int(name)) for name in os.listdir("/proc") if name.isdigit())


class Slow(io.RawIOBase):
    """A valid beginning, then a byte now and then."""

    def __init__(self) -> None:
        self.content = io.BytesIO(archive(good()))

    def read(self, count: int = -1) -> bytes:
        time.sleep(0.1)
        return self.content.read(10)


def test_a_bucket_that_fails_is_told_as_it_is() -> None:
    class Broken(io.RawIOBase):
        def read(self, count: int = -1) -> bytes:
            raise ConnectionResetError("the bucket hung up")

    for opener in (lambda: Broken(), lambda: 1 / 0):
        with pytest.raises((ConnectionResetError, ZeroDivisionError)):
            send_openers([JobFile("adapter.tar.gz", 10)], [opener], 30)  # type: ignore[list-item]


def test_a_process_that_dies_is_a_stable_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed from outside, as the kernel does when memory is short."""

    def kill() -> BinaryIO:
        [process] = [int(name) for name in os.listdir("/proc") if name.isdigit() and is_gate(int(name))]
        os.kill(process, 9)
        return io.BytesIO(b"")

    with pytest.raises(gate.GateFailed) as caught:
        send_openers([JobFile("adapter.tar.gz", 10)], [kill], 30)
    assert caught.value.code == "inspection_crashed"


PROBE = """
import resource, sys
from models_registry.inspection import __main__ as child
child.limit(1 << 20)
{attempt}
"""


@pytest.mark.parametrize(
    ("attempt", "said"),
    [("x = bytearray(600 << 20)", "MemoryError"), ("open(sys.argv[1], 'wb').write(bytes(20 << 20))", "File too large")],
    ids=["memory", "file"],
)
def test_the_limits_hold(attempt: str, said: str, tmp_path: Path) -> None:
    code = PROBE.format(attempt=attempt)
    command = [sys.executable, "-E", "-s", "-c", code, str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and said in done.stderr
    assert child.MAX_CPU_SECONDS <= 120


class Endless(io.RawIOBase):
    """An archive of any length, made while it is read: entries that are fine, then zeros that a header announces."""

    def __init__(self, name: bytes, before: list[bytes], gigabytes: float) -> None:
        self.squeeze, self.left = zlib.compressobj(wbits=31), int(gigabytes * (1 << 30))
        self.blocks = [*before, entry(name, size=b"%011o\0" % min(self.left, 0o77777777777))]
        self.served = 0

    def read(self, count: int = -1) -> bytes:
        out = b""
        while not out and self.left > 0:
            block = self.blocks.pop(0) if self.blocks else bytes(1 << 20)
            self.left -= len(block)
            self.served += len(block)
            out = self.squeeze.compress(block) + self.squeeze.flush(zlib.Z_SYNC_FLUSH)
        return out


@pytest.mark.long
@pytest.mark.timeout(900)
def test_fifty_bombs_of_up_to_ten_gigabytes() -> None:
    """Each in two seconds of a processor and 64 MiB above what a good upload takes."""
    rng, seen = random.Random(4), []
    send(good())
    usual = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(50):
        name = rng.choice([b"README.md", b"adapter_model.safetensors", b"adapter_config.json", b"._x"])
        before = [entry(key.encode(), data) for key, data in good().items() if key.encode() != name]
        bomb = Endless(name, before if number % 2 else [], rng.choice((0.1, 1, 5, 10)))
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        report, _ = send_openers([JobFile("a.tar.gz", 1 << 30)], [lambda bomb=bomb: bomb], 30, max_bytes=10 << 30)  # type: ignore[misc]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert not report.accepted and bomb.served < 256 << 20
        seen.append(ended.ru_utime - began.ru_utime + ended.ru_stime - began.ru_stime)
    assert max(seen) < 2
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - usual.ru_maxrss < 64 << 10  # both in KiB


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_hundred_gates_are_killed_and_each_is_told() -> None:
    """At any moment, from its first instruction to its last: a verdict that is whole, or GateFailed; nobody is left."""
    rng, told, whole = random.Random(6), 0, 0
    upload = {"a.tgz": archive(good(), folder="f")}
    for _ in range(200):
        killer = threading.Timer(rng.uniform(0, 0.6), kill_gates)
        killer.start()
        try:
            whole += send(upload)[0].accepted
        except gate.GateFailed as error:
            assert error.code == "inspection_crashed"
            told += 1
        finally:
            killer.join()
        assert not gates()
    assert told + whole == 200 and told > 50


def kill_gates() -> None:
    for process in gates():
        with suppress(ProcessLookupError):
            os.kill(process, 9)


def gates() -> list[int]:
    """The gates of this process that run now."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and is_gate(int(name))]


def test_a_bomb_in_an_upload_is_refused_in_time() -> None:
    bomb = raw_archive(entry(b"README.md", bytes(64 << 20)))
    began = time.monotonic()
    report, _ = send({"adapter.tar.gz": bomb})
    assert [finding.code for finding in report.findings] == ["archive_bomb"]
    assert time.monotonic() - began < 3
