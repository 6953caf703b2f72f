"""`manage.py adapter check`: what it prints, how it exits, and that it needs neither database nor settings."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from models_registry.management.commands.adapter import Command
from tests.unit.models_registry.making import SAMPLES, archive, sample

ROOT = Path(__file__).resolve().parents[3]
BASE = SAMPLES / "base-tiny-llama" / "config.json"


@dataclass(frozen=True)
class Done:
    """What a person sees of a command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run the command in this process, as manage.py does."""

    def run(*arguments: object) -> Done:
        returncode: object = 0
        try:
            Command().run_from_argv(["manage.py", "adapter", "check", *map(str, arguments)])
        except SystemExit as end:
            returncode = end.code
        assert isinstance(returncode, int)
        return Done(returncode, *capsys.readouterr())

    return run


def test_it_needs_no_settings_and_no_stack() -> None:
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    command = [sys.executable, "manage.py", "adapter", "check", SAMPLES / "bad-dora", "--base", BASE, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert [finding["code"] for finding in json.loads(done.stdout)["findings"]] == ["dora_unsupported"]


def test_accepted_and_refused(check: Callable[..., Done], tmp_path: Path) -> None:
    packed = tmp_path / "anything.tar.gz"
    packed.write_bytes(archive(sample("ok-r8-bf16"), folder="renamed"))
    done = check(packed, "--base", BASE, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["accepted"] is True and told["findings"] == [] and told["facts"]["rank"] == 8
    done = check(SAMPLES / "bad-wrong-base", "--base", BASE, "--json", "--engine", "vllm-0.26")
    assert done.returncode == 1
    [finding] = json.loads(done.stdout)["findings"]
    assert finding.keys() == {"code", "severity", "message", "hint", "tensor"}
    assert (finding["code"], finding["severity"]) == ("shape_mismatch", "error") and finding["tensor"]
    done = check(SAMPLES / "ok-r16-all" / "adapter_model.safetensors", "--base", BASE, "--max-rank", 8)
    assert done.returncode == 1 and "rank_too_large" in done.stdout and done.stdout.startswith("refused")


def test_unreadable_input_is_said_clearly(check: Callable[..., Done], tmp_path: Path) -> None:
    broken = tmp_path / "config.json"
    broken.write_text('{\n"hidden_size": 64,\n oops}')
    partial = tmp_path / "partial.json"
    partial.write_text('{"model_type": "llama", "hidden_size": 64}')
    good = SAMPLES / "ok-r8-qv"
    cases: list[tuple[list[object], str]] = [
        ([tmp_path / "none", "--base", BASE], "No such file"),
        ([good, "--base", tmp_path / "none"], "No such file"),
        ([good, "--base", tmp_path], "directory"),
        ([good, "--base", broken], "line 3"),
        ([good, "--base", partial], "intermediate_size"),
        ([good, "--base", BASE, "--engine", "vllm-0.1"], "known: vllm-0.26"),
        ([good, "--base", BASE, "--max-rank", 0], "above zero"),
        ([good, "--base", BASE, "--max-rank", "x"], "invalid int"),
        ([good], "--base"),
    ]
    for arguments, sentence in cases:
        done = check(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert sentence in done.stderr and "Traceback" not in done.stderr


def test_a_damaged_archive_is_refused_not_unreadable(check: Callable[..., Done], tmp_path: Path) -> None:
    for content in (b"", b"text", archive(sample("ok-r8-qv"))[:500]):
        path = tmp_path / "damaged.tar.gz"
        path.write_bytes(content)
        done = check(path, "--base", BASE, "--json")
        assert done.returncode == 1 and json.loads(done.stdout)["accepted"] is False


@pytest.mark.parametrize("name", ["bad-dora", "bad-modules-to-save", "bad-pickle-only"])
def test_the_other_samples(check: Callable[..., Done], name: str) -> None:
    assert check(SAMPLES / name, "--base", BASE).returncode == 1
