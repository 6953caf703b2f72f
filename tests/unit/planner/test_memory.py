"""Accelerator memory: the terms, which of them overflows, and what would do instead."""

from decimal import Decimal
from typing import Any

import pytest

from provisioning.planner.base_models import read_base_model
from provisioning.planner.memory import MemoryWish, known_instance, plan_memory, smallest_instance, why_not
from provisioning.planner.refusals import ImpossibleScenario, UnknownInstance, UnknownModel
from provisioning.planner.units import GIB_BYTES, bytes_of, said
from tests.unit.planner.making import CATALOGUE, LLAMA, memory

PUBLISHED_PARAMETERS = {
    "Llama-2-7b-hf": 6_738_415_616,
    "Llama-2-13b-chat-hf": 13_015_864_320,
    "Llama-3.1-8B-Instruct": 8_030_261_248,
    "Llama-3.1-70B-Instruct": 70_553_706_496,
    "Mistral-7B-Instruct-v0.3": 7_248_023_552,
}
# config.json of models whose parameters are counted on their model cards, with what is special about each family.
SMALL: dict[str, tuple[dict[str, Any], int]] = {
    "qwen2 with biases, tied": (
        {
            "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
            "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
        },
        494_032_768,
    ),
    "gemma with tied embeddings": (
        {
            "model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18,
            "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 256000,
        },
        2_506_172_416,
    ),
    "qwen3 with norms in the heads": (
        {
            "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
            "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
            "tie_word_embeddings": True,
        },
        596_049_920,
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", PUBLISHED_PARAMETERS)
def test_parameters_come_out_as_published(key: str) -> None:
    assert CATALOGUE.base_model(key).parameters == PUBLISHED_PARAMETERS[key]


@pytest.mark.parametrize("name", SMALL)
def test_parameters_of_other_families(name: str) -> None:
    config, parameters = SMALL[name]
    assert read_base_model("m", config).parameters == parameters


def test_weights_follow_the_dtype() -> None:
    model = CATALOGUE.base_model(LLAMA)
    sizes = [model.weight_bytes(dtype) for dtype in ("fp32", "bf16", "int8", "int4")]
    assert sizes == [4 * model.parameters, 2 * model.parameters, model.parameters, model.parameters // 2]
    assert bytes_of(3, "int4") == 2, "half a byte is a byte"


def test_an_adapter_slot_of_the_70b_takes_what_the_engine_reserves() -> None:
    model = CATALOGUE.base_model(LLAMA)
    assert model.adapter_slot_bytes(1) == 80 * 161_792 * 2  # 25.9 MB for each unit of rank
    assert model.adapter_slot_bytes(16) / 1e6 == pytest.approx(414, abs=0.5)
    assert 30 * model.adapter_slot_bytes(16) / 1e9 == pytest.approx(12.4, abs=0.05)


def test_slots_take_sequences_away() -> None:
    without = memory("int8", "ml.g5.48xlarge")
    with_slots = memory("int8", "ml.g5.48xlarge", lora_rank=16, lora_slots=30)
    assert (without.sequences, with_slots.sequences) == (5, 4)
    assert with_slots.adapter_bytes == 30 * CATALOGUE.base_model(LLAMA).adapter_slot_bytes(16)


def test_the_reserve_is_taken_from_every_accelerator() -> None:
    plain = memory("int8", "ml.g5.48xlarge")
    kept = memory("int8", "ml.g5.48xlarge", reserve_bytes=GIB_BYTES)
    assert plain.usable_bytes - kept.usable_bytes == 8 * GIB_BYTES


def test_more_accelerators_than_heads_hold_the_cache_several_times() -> None:
    model = "tiny-llama"  # two key-value heads
    one = memory("fp16", "ml.g5.2xlarge", 2048, model)
    eight = memory("fp16", "ml.g5.48xlarge", 2048, model)
    assert eight.cache_bytes_per_sequence == 4 * one.cache_bytes_per_sequence


@pytest.mark.parametrize(
    ("plan", "term", "words"),
    [
        (memory("fp16", "ml.g5.12xlarge"), "weights", "the fp16 weights need 131.42 GiB (141.11 GB)"),
        (memory("int4", "ml.g5.12xlarge", lora_rank=64, lora_slots=40), "adapters", "40 adapter slots of rank 64"),
        (
            memory("int8", "ml.g5.12xlarge", cache_dtype="fp32"),
            "kv_cache",
            "the KV cache of one sequence of 131,072 tokens needs 80.00 GiB",
        ),
    ],
)
def test_what_does_not_fit_names_the_term_that_overflows(plan: Any, term: str, words: str) -> None:
    detail, hint = why_not(plan, CATALOGUE.instances())
    assert not plan.fits and plan.missing_bytes > 0
    assert plan.limiting_term == term
    assert words in detail
    assert "The smallest that would do in us-west-2 is ml." in hint


def test_the_smallest_that_would_do_does_and_nothing_smaller_does() -> None:
    wish = memory("fp16", "ml.g5.12xlarge").wish
    found = smallest_instance(wish, CATALOGUE.instances(), region="us-west-2")
    assert found is not None and plan_memory(wish, found).fits
    for each in CATALOGUE.instances():
        if each.region == "us-west-2" and each.memory_bytes < found.memory_bytes:
            assert not plan_memory(wish, each).fits


def test_a_model_that_fits_nowhere_is_told_what_to_change() -> None:
    config = {
        "model_type": "llama", "hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126,
        "num_attention_heads": 128, "num_key_value_heads": 8, "vocab_size": 128256,
    }  # fmt: skip
    model = read_base_model("Llama-3.1-405B", config)
    plan = plan_memory(MemoryWish(model, "fp32", "fp32", 131072), CATALOGUE.instance("ml.p5.48xlarge", "us-west-2"))
    detail, hint = why_not(plan, CATALOGUE.instances())
    assert "weights need" in detail and "ml.p5.48xlarge" in detail
    assert "No instance type known in us-west-2 would do" in hint


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"dtype": "int3"}, "/dtype"),
        ({"cache_dtype": "q8"}, "/kv_dtype"),
        ({"context_tokens": 131_073}, "/context_tokens"),
        ({"context_tokens": 0}, "/context_tokens"),
        ({"lora_rank": 16}, "/lora_slots"),
        ({"lora_slots": 4}, "/lora_slots"),
        ({"lora_rank": -1, "lora_slots": 4}, "/lora_slots"),
        ({"usable_fraction": Decimal("1.1")}, "/usable_fraction"),
        ({"reserve_bytes": -1}, "/reserve_gib"),
    ],
)
def test_an_impossible_wish_names_its_input(changes: dict[str, Any], field: str) -> None:
    wish = {"dtype": "int8", "cache_dtype": "int8", "context_tokens": 4096} | changes
    with pytest.raises(ImpossibleScenario) as refused:
        plan_memory(MemoryWish(CATALOGUE.base_model(LLAMA), **wish), CATALOGUE.instance("ml.p5.48xlarge", "us-west-2"))
    assert [error.pointer for error in refused.value.errors] == [field]


def test_an_unknown_instance_is_answered_with_near_names_and_one_that_would_do() -> None:
    wish = memory("int8", "ml.g5.48xlarge").wish
    with pytest.raises(UnknownInstance) as refused:
        known_instance(CATALOGUE, wish, "ml.g5.47xlarge", "us-west-2")
    assert "ml.g5.48xlarge" in refused.value.hint
    assert "The smallest that would do" in refused.value.hint


@pytest.mark.parametrize("config", [{}, {"model_type": "mamba"}, {"model_type": "llama", "hidden_size": 8}])
def test_a_config_without_the_numbers_is_refused_by_name(config: dict[str, Any]) -> None:
    with pytest.raises(UnknownModel):
        read_base_model("m", config)


def test_sizes_are_said_in_both_units() -> None:
    assert said(GIB_BYTES) == "1.00 GiB (1.07 GB)"
