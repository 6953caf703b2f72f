"""`manage.py plan`: what it prints, and its exit statuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

ROOT = Path(__file__).parents[3]
CONFIG = str(ROOT / "data" / "base-models" / "Llama-3.1-70B-Instruct.json")
MEMORY = ["memory", "--config", CONFIG, "--context", "131072"]
COMPARE = [
    "compare",
    "--requests-per-year",
    "30000000",
    "--tokens-in",
    "307",
    "--tokens-out",
    "533",
    "--seconds",
    "4.4",
]


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    call_command("plan", *arguments, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_memory_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(*MEMORY, "--dtype", "int8", "--instance", "ml.g5.48xlarge", capsys=capsys)
    assert found["kv_gib_per_sequence"] == 20
    assert found["weights_gib"] == pytest.approx(65.708, abs=1e-3)
    assert found["weights_gb"] == pytest.approx(70.55, abs=0.01)
    assert found["usable_gib"] == pytest.approx(172.8)
    assert (found["adapter_gib"], found["concurrent_sequences"], found["fits"]) == (0, 5, True)
    assert found["limiting_term"] == "kv_cache"


def test_memory_with_adapter_slots(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(
        *MEMORY, "--dtype", "int8", "--instance", "ml.g5.48xlarge", "--lora-rank", "16", "--lora-slots", "30",
        capsys=capsys,
    )  # fmt: skip
    assert found["adapter_gib"] == pytest.approx(11.57, abs=0.01)
    assert found["concurrent_sequences"] == 4


def test_what_does_not_fit_leaves_with_1_and_says_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        call_command("plan", *MEMORY, "--dtype", "fp16", "--instance", "ml.g5.12xlarge", "--json")
    assert left.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["fits"], found["limiting_term"]) == (False, "weights")
    assert found["smallest_instance"] == "ml.g7e.12xlarge"
    assert "weights need" in found["detail"]


def test_compare_as_json_and_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(*COMPARE, capsys=capsys)
    assert len(found["options"]) == 7
    assert "runs out of capacity first" in found["verdict"]
    assert {"adapters", "price_floors", "sensitivity"} <= set(found)
    call_command("plan", *COMPARE, "--language", "ja")
    printed = capsys.readouterr().out
    assert "49,004 USD" in printed and "先に処理能力が尽きます" in printed


def test_nothing_hosted_carries_leaves_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        call_command("plan", *COMPARE, "--hosted", "Llama-3.1-70B-Instruct:fp32:ml.g5.12xlarge")
    assert left.value.code == 1
    assert "does not fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*MEMORY[:-1], "131073", "--dtype", "int8", "--instance", "ml.g5.48xlarge"], "1 to 131,072 tokens"),
        ([*MEMORY, "--dtype", "int9", "--instance", "ml.g5.48xlarge"], "int9"),
        ([*MEMORY, "--dtype", "int8", "--instance", "ml.h5"], "The smallest that would do"),
        ([*MEMORY, "--dtype", "int8", "--instance", "ml.g5.48xlarge", "--usable-fraction", "NaN"], "usable_fraction"),
        ([*MEMORY, "--dtype", "int8", "--instance", "ml.g5.48xlarge", "--context", "x"], "invalid"),
        ([*MEMORY, "--dtype", "int8", "--instance", "ml.g5.48xlarge", "--region", "mars-1"], "Known are: "),
        (["memory", "--config", "/dev/zero", "--context", "1", "--dtype", "int8", "--instance", "a"], "too large"),
        (["memory", "--config", "/no/such", "--context", "1", "--dtype", "int8", "--instance", "a"], "Cannot read"),
        ([*COMPARE, "--tokens-in", "0"], "tokens_in has to be from 1"),
        ([*COMPARE, "--context", "839"], "does not fit into a context of 839"),
    ],
)
def test_bad_input_leaves_with_2_and_a_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("plan", *arguments)
    assert words in str(refused.value)
    assert refused.value.returncode in (1, 2)  # argparse's own errors get their status from the command line


def test_a_config_that_is_no_json_object_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        arguments = ["--config", str(tmp_path / "config.json"), "--context", "1", "--dtype", "int8", "--instance", "a"]
        with pytest.raises(CommandError):
            call_command("plan", "memory", *arguments)


def test_it_needs_no_database_and_no_settings_of_an_installation() -> None:
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    command = [sys.executable, "manage.py", "plan", *COMPARE[:-1], "0", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert json.loads(done.stdout)["code"] == "impossible_scenario"
    assert "seconds_per_request" in done.stderr
