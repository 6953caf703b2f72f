"""What is known of the engine and of attacks, line by line, where no other test says it: names as in the facts."""

import json
import random
import time
from typing import Any

import pytest

from models_registry.inspection.architecture import read_architecture
from tests.unit.models_registry.making import (
    BASE,
    CONFIG,
    ENGINE,
    WEIGHTS,
    codes,
    entry,
    good,
    judge,
    raw_archive,
    retensored,
    tensors,
    with_config,
)
from tests.unit.models_registry.test_repack import repack

LAYER = "base_model.model.model.layers"
A, B = f"{LAYER}.0.self_attn.q_proj.lora_A.weight", f"{LAYER}.0.self_attn.q_proj.lora_B.weight"


def only(entries: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, bytes]:
    return good() | {WEIGHTS: tensors(entries)}


def test_the_ranks_that_the_engine_can_be_set_to() -> None:
    assert ENGINE.ranks == (1, 8, 16, 32, 64, 128, 256, 320, 512)
    for rank, accepted in ((1, True), (7, True), (512, True), (513, False)):
        files = with_config(r=rank) | {WEIGHTS: tensors({A: ("F32", (rank, 64)), B: ("F32", (64, rank))})}
        assert judge(files).accepted == accepted


@pytest.mark.parametrize(
    "name",
    [
        f"{LAYER}.0.self_attn.q_norm.lora_A.weight",  # Qwen3 has these layers; no LoRA goes on them
        f"{LAYER}.0.self_attn.k_norm.weight",
        f"{LAYER}.0.input_layernorm.weight",
        f"{LAYER}.0.self_attn.qkv_proj.lora_A.weight",  # Phi-3's fused layer, on a base without it
        f"{LAYER}.0.mlp.experts.0.w1.lora_A.weight",
        f"{LAYER}.0.block_sparse_moe.gate.lora_A.weight",
        f"{LAYER}.0.self_attn.q_proj.lora_A.default.weight",
        f"{LAYER}.0.self_attn.q_proj.lora_embedding_A",
        "base_model.model.model.embed_tokens.lora_A.weight",
    ],
)
def test_layers_that_take_no_adapter(name: str) -> None:
    verdict = judge(retensored(lambda entries: entries.__setitem__(name, ("F32", (8, 64)))))
    assert codes(verdict) == ["unknown_tensor"] and verdict.findings[0].tensor == name


def test_a_smaller_base_loads_silently_in_the_engine_and_is_refused_here() -> None:
    for change in ({"hidden_size": 32}, {"num_hidden_layers": 1}, {"num_attention_heads": 2, "head_dim": 16}):
        assert not judge(good(), base=BASE | change).accepted, change
    deeper = judge(good(), base=BASE | {"num_hidden_layers": 1})
    assert codes(deeper) == ["layer_out_of_range"]


def test_heads_of_their_own_width() -> None:
    base = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 1, "vocab_size": 100,
    }  # fmt: skip
    for family, head in (("gemma", 256), ("gemma2", 256), ("gemma3_text", 256), ("qwen3", 128), ("llama", 16)):
        shapes = read_architecture(base | {"model_type": family, "num_key_value_heads": 1}).in_layer
        assert shapes["self_attn.q_proj"] == (64, 4 * head)
        assert shapes["self_attn.k_proj"] == (64, head)
        assert shapes["self_attn.o_proj"] == (4 * head, 64)
    fused = read_architecture(base | {"model_type": "phi3"}).in_layer
    assert fused["self_attn.qkv_proj"] == (64, 64 + 2 * 16) and fused["mlp.gate_up_proj"] == (64, 192)


def test_an_embedding_for_another_vocabulary_is_refused() -> None:
    name = "base_model.model.model.embed_tokens.lora_embedding"
    assert judge(only({f"{name}_A": ("F32", (8, 512)), f"{name}_B": ("F32", (64, 8))})).accepted
    for vocabulary in (511, 520):
        files = only({f"{name}_A": ("F32", (8, vocabulary)), f"{name}_B": ("F32", (64, 8))})
        assert codes(judge(files)) == ["shape_mismatch"]


@pytest.mark.parametrize("family", ["mixtral", "gpt2", "gemma3", "llama4", "", None, 7])
def test_unknown_families_say_what_is_needed(family: Any) -> None:
    [finding] = judge(good(), base=BASE | {"model_type": family}).findings
    assert finding.code == "unknown_architecture"
    assert "llama" in finding.message and "phi3" in finding.message
    assert "config.json" in finding.hint and "shapes" in finding.hint


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("F32", b"\x00\x00\x7a\x44"), ("F16", b"\xd0\x63\xd0\xe3"), ("BF16", b"\x7a\x44\x7a\xc4")],
)
def test_absurd_values_are_a_warning(dtype: str, fill: bytes) -> None:
    entries = {A: (dtype, (8, 64)), B: (dtype, (64, 8))}
    verdict = judge(good() | {WEIGHTS: tensors(entries, fill)})
    assert verdict.accepted and [finding.code for finding in verdict.findings] == ["absurd_values"]


def test_names_prove_nothing() -> None:
    """The same bytes are accepted under any archive's name and folder, and a wrong file under the right name is not."""
    files = good()
    assert not judge({CONFIG: files[WEIGHTS], WEIGHTS: files[CONFIG]}).accepted
    swapped = raw_archive(entry(b"adapter_model.bin/" + CONFIG.encode(), files[CONFIG]))
    assert not judge(swapped).accepted
    renamed = raw_archive(*(entry(b"llama-70b-final/" + name.encode(), data) for name, data in files.items()))
    assert judge(renamed).accepted


def test_bombs_of_many_shapes_end_soon() -> None:
    began = time.perf_counter()
    rng = random.Random(2)
    for number in range(25):
        zeros = bytes(rng.choice((9, 12, 20)) << 20)
        name = rng.choice([b"README.md", WEIGHTS.encode(), b"._x", b"x" * 90])
        before = [entry(key.encode(), data) for key, data in good().items()] if number % 2 else []
        verdict = judge(raw_archive(*before, entry(name, zeros)))
        assert codes(verdict)
    assert time.perf_counter() - began < 25


def test_smuggled_settings_do_not_come_through() -> None:
    smuggled = {
        "auto_mapping": {"base_model_class": "os.system"},
        "base_model_name_or_path": "https://example.org/evil",
        "revision": "$(touch x)",
        "runtime_config": {"ephemeral_gpu_offload": True},
        "something_new": {"__class__": "x"},
    }
    content, _ = repack(with_config(**smuggled))
    for word in (b"evil", b"os.system", b"touch", b"something_new", b"ephemeral"):
        assert word not in content
    kept = json.loads(content[content.index(b"{") : content.index(b"}") + 1])
    assert kept["base_model_name_or_path"] is None and kept.keys() <= {
        "base_model_name_or_path", "bias", "inference_mode", "lora_alpha", "lora_dropout", "peft_type", "r",
        "target_modules", "task_type", "use_rslora",
    }  # fmt: skip
