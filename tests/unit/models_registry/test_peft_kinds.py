"""Adapters of many kinds, as PEFT itself saved them: every supported family is accepted, every trick is named."""

import json
from typing import Any

import pytest

from tests.unit.models_registry.making import SAMPLES, codes, judge

KINDS = SAMPLES.parent / "peft-kinds"
EXPECTED: dict[str, dict[str, Any]] = json.loads((KINDS / "expected.json").read_text())["kinds"]


def base(family: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((KINDS / "bases" / f"{family}.json").read_text())
    return config


def files(name: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((KINDS / name).iterdir())}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_gate_says_of_it(name: str) -> None:
    expected = EXPECTED[name]
    verdict = judge(files(name), base=base(expected["base"]))
    found = codes(verdict)
    assert found[:1] == expected["codes"][:1], found
    assert verdict.accepted == (not expected["codes"])
    assert all(finding.hint for finding in verdict.findings if finding.severity == "error")


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith("-all-linear")])
def test_it_fits_no_other_family_of_the_same_sizes(name: str) -> None:
    """Where the shapes differ; llama and qwen2 are the same here, and no check of shapes could tell them apart."""
    own = base(EXPECTED[name]["base"])
    for family in ("llama", "mistral", "gemma", "phi3"):
        other = base(family)
        # Fused projections, or another width of the heads, are another shape.
        same = (own["model_type"] == "phi3") == (family == "phi3") and width(own) == width(other)
        assert judge(files(name), base=other).accepted == same, family


def width(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def test_types_are_told_apart_by_name() -> None:
    told = {}
    for name, expected in EXPECTED.items():
        if expected["codes"] == ["peft_type_unsupported"]:
            [finding] = [each for each in judge(files(name)).findings if each.code == "peft_type_unsupported"]
            told[json.loads(files(name)["adapter_config.json"])["peft_type"]] = f"{finding.message} {finding.hint}"
    assert told.keys() >= {"IA3", "LOHA", "LOKR", "OFT", "HRA", "VERA", "LN_TUNING", "PROMPT_TUNING", "PREFIX_TUNING"}
    for kind, words in told.items():
        assert kind in words
        can_be_merged = "PROMPT" not in kind and "PREFIX" not in kind
        assert ("its own base component" in words) == can_be_merged
        assert ("cannot be merged" in words) != can_be_merged
