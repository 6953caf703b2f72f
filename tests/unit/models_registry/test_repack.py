"""One content, one artifact, byte for byte; and what is in it."""

import gzip
import io
import json
import tarfile
import tempfile
import tracemalloc
import zlib
from collections.abc import Mapping

import numpy as np
import pytest
from safetensors.numpy import load

from models_registry.inspection.repack import Artifact, write_artifact
from tests.unit.models_registry.making import (
    CONFIG,
    WEIGHTS,
    archive,
    good,
    judge,
    pack,
    sample,
    tensors,
    unpack,
    with_config,
)


def repack(upload: Mapping[str, bytes] | bytes) -> tuple[bytes, Artifact]:
    spool, out = io.BytesIO(), io.BytesIO()
    verdict = judge(upload, spool=spool)
    assert verdict.content is not None
    artifact = write_artifact(spool, verdict.content, out)
    return out.getvalue(), artifact


@pytest.mark.parametrize("name", ["ok-r8-qv", "ok-r16-all", "ok-r8-bf16"])
def test_other_readers_find_equal_tensors(name: str) -> None:
    files = sample(name)
    content, artifact = repack(files)
    assert len(content) == artifact.size_bytes
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [CONFIG, WEIGHTS]
        assert {(m.mtime, m.uid, m.gid, m.mode, m.uname, m.isfile()) for m in members} == {(0, 0, 0, 0o644, "", True)}
        config = json.loads(tar.extractfile(CONFIG).read())  # type: ignore[union-attr]
        weights = tar.extractfile(WEIGHTS).read()  # type: ignore[union-attr]
    ours, theirs = load(weights), load(files[WEIGHTS])
    assert ours.keys() == theirs.keys()
    assert all((ours[key] == theirs[key]).all() and ours[key].dtype == theirs[key].dtype for key in ours)
    before = json.loads(files[CONFIG])
    assert (config["r"], config["lora_alpha"]) == (before["r"], before["lora_alpha"])
    assert config["target_modules"] == sorted(before["target_modules"])
    assert config["peft_type"] == "LORA" and config["base_model_name_or_path"] is None


def test_the_artifact_is_the_same_however_the_adapter_came() -> None:
    files = good()
    header, values = unpack(files[WEIGHTS])
    reordered = dict(reversed(header.items()))
    order = sorted((name for name in header if name != "__metadata__"), reverse=True)
    moved, position, data = {}, 0, b""
    for name in order:  # the same tensors at other places in the file
        begin, end = header[name]["data_offsets"]
        moved[name] = header[name] | {"data_offsets": [position, position + end - begin]}
        data, position = data + values[begin:end], position + end - begin
    variants: list[Mapping[str, bytes] | bytes] = [
        files,
        archive(files),
        archive(files, folder="some name", tar_format=tarfile.GNU_FORMAT),
        {**files, "README.md": b"# a card"},
        files | {WEIGHTS: pack(reordered, values)},
        files | {WEIGHTS: pack(moved, data)},
        files | {WEIGHTS: pack(header | {"__metadata__": {"anything": "else"}}, values)},
        with_config(base_model_name_or_path="other/claim", lora_dropout=0.1, new_option=7, lora_alpha=16.0),
    ]
    digests = {repack(variant)[1].sha256 for variant in variants}
    assert len(digests) == 1
    assert digests == {"13be486913dc941c512ffb014493a47652605077899c73b5b9aa5a582b76c4aa"}  # on every machine
    assert repack(sample("ok-r16-all"))[1].sha256 not in digests
    assert repack(with_config(lora_alpha=32))[1].sha256 not in digests


def test_repacking_the_artifact_gives_the_artifact() -> None:
    content, artifact = repack(sample("ok-r16-all"))
    assert repack(content) == (content, artifact)


def test_mixed_types_stay_aligned() -> None:
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    files = good() | {
        WEIGHTS: tensors({f"{prefix}.lora_A.weight": ("BF16", (8, 64)), f"{prefix}.lora_B.weight": ("F32", (64, 8))})
    }
    content, _ = repack(files)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        header, _ = unpack(tar.extractfile(WEIGHTS).read())  # type: ignore[union-attr]
    assert header[f"{prefix}.lora_B.weight"]["data_offsets"][0] == 0


def test_the_stream_is_plain_gzip() -> None:
    content, _ = repack(sample("ok-r16-all"))
    assert gzip.decompress(content) == zlib.decompressobj(31).decompress(content)
    assert content[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_memory_stays_bounded() -> None:
    """Some thirty megabytes of weights pass through the gate and the repack in a few megabytes of memory."""
    base = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    }  # fmt: skip
    entries: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer in range(32):
        for module, (inputs, outputs) in {"q_proj": (4096, 4096), "v_proj": (4096, 1024)}.items():
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            entries[f"{prefix}.lora_A.weight"] = ("F32", (16, inputs))
            entries[f"{prefix}.lora_B.weight"] = ("F32", (outputs, 16))
    noise = np.random.default_rng(5).standard_normal(1 << 18).astype("<f4").tobytes()
    upload = archive(good() | {WEIGHTS: tensors(entries, noise), CONFIG: with_config(r=16)[CONFIG]})
    del entries, noise
    with tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as out:
        tracemalloc.start()
        verdict = judge(upload, base=base, spool=spool)
        assert verdict.content is not None, verdict.findings
        write_artifact(spool, verdict.content, out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12 << 20
