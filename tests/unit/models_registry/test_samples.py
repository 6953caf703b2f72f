"""Real adapters, as archives and as files, under folder names that prove nothing."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from models_registry.inspection.sources import source_from_path
from models_registry.inspection.verdict import inspect_adapter
from tests.unit.models_registry.making import BASE, ENGINE, SAMPLES, archive, codes, judge, sample

EXPECTED = {
    "ok-r8-qv": [],
    "ok-r16-all": [],
    "ok-r8-bf16": [],
    "bad-dora": ["dora_unsupported"],
    "bad-modules-to-save": ["modules_to_save_unsupported"],
    "bad-pickle-only": ["pickle_refused"],
    "bad-wrong-base": ["shape_mismatch"],
}


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_samples_as_archives(name: str, expected: list[str]) -> None:
    for folder in ("", "x", "bad-dora", "ok-r8-qv"):
        for tar_format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
            verdict = judge(archive(sample(name), folder=folder, tar_format=tar_format))
            assert (verdict.accepted, codes(verdict)) == (not expected, expected)


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_samples_as_files(name: str, expected: list[str]) -> None:
    verdict = judge(sample(name))
    assert (verdict.accepted, codes(verdict)) == (not expected, expected)


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_samples_on_disk(name: str, expected: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "some folder" / "anything"
    shutil.copytree(SAMPLES / name, folder)
    packed = tmp_path / "upload.tgz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder, arcname=".")
    for path in (folder, folder.parent, folder / "adapter_model.safetensors", packed):
        verdict = inspect_adapter(source_from_path(path), base=BASE, engine=ENGINE)
        assert codes(verdict) == expected, path


def test_facts_are_the_same_however_an_adapter_comes() -> None:
    files = sample("ok-r16-all")
    facts = judge(files).facts
    assert judge(archive(files, folder="f")).facts == facts
    assert facts == {
        "engine": "vllm-0.26",
        "rank": 16,
        "alpha": 32.0,
        "use_rslora": False,
        "claimed_base_model": "example/tiny-llama",
        "dtype": "F32",
        "tensor_count": 28,
        "size_bytes": 146_912,
        "target_modules": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
        "base_family": "llama",
        # sha256sum of the weights file
        "sha256": "ea57f3e3e601ed42b33d090bc1580beed1b64c98be590ae1ebf1ef07fb739284",
    }


def test_an_adapter_fits_the_base_that_it_was_trained_on() -> None:

    base = json.loads((SAMPLES / "base-other-llama" / "config.json").read_text())
    assert judge(sample("bad-wrong-base"), base=base).accepted
    assert codes(judge(sample("ok-r8-qv"), base=base)) == ["shape_mismatch"]
