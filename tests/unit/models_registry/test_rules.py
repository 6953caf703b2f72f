"""Configuration rules, tensor names and shapes, base models, and the rules' own data."""

import json
from typing import Any

import pytest

from models_registry.inspection.architecture import FAMILIES, UnusableBase, read_architecture
from models_registry.inspection.engines import ENGINES_FOLDER, UnknownEngine, load_engine
from tests.unit.models_registry.making import (
    BASE,
    CONFIG,
    SAMPLES,
    WEIGHTS,
    codes,
    good,
    judge,
    pack,
    retensored,
    sample,
    tensors,
    with_config,
)

LAYER = "base_model.model.model.layers"
A, B = f"{LAYER}.0.self_attn.q_proj.lora_A.weight", f"{LAYER}.0.self_attn.q_proj.lora_B.weight"

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"use_dora": True}, "dora_unsupported"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save_unsupported"),
    ({"bias": "all"}, "bias_unsupported"),
    ({"bias": "lora_only"}, "bias_unsupported"),
    ({"bias": True}, "bias_unsupported"),
    ({"lora_bias": True}, "bias_unsupported"),
    ({"rank_pattern": {"q_proj": 4}}, "rank_pattern_unsupported"),
    ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern_unsupported"),
    ({"fan_in_fan_out": True}, "fan_in_fan_out_unsupported"),
    ({"layer_replication": [[0, 2]]}, "layer_replication_unsupported"),
    ({"use_qalora": True}, "qalora_unsupported"),
    ({"use_bdlora": {"a": 1}}, "bdlora_unsupported"),
    ({"alora_invocation_tokens": [1, 2]}, "alora_unsupported"),
    ({"trainable_token_indices": [1]}, "trainable_tokens_unsupported"),
    ({"target_parameters": ["a"]}, "target_parameters_unsupported"),
    ({"arrow_config": {"a": 1}}, "variant_unsupported"),
    ({"kasa_config": {"a": 1}}, "variant_unsupported"),
    *[
        ({"init_lora_weights": value}, "init_weights_unsupported")
        for value in ("pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "new", 1, [])
    ],
    ({"peft_type": "IA3"}, "peft_type_unsupported"),
    ({"peft_type": ["LORA"]}, "peft_type_unsupported"),
    ({"r": ...}, "missing_required_key"),
    ({"lora_alpha": ...}, "missing_required_key"),
    ({"target_modules": None}, "missing_required_key"),
    *[({"r": value}, "rank_invalid") for value in (0, -8, 8.0, "8", True, [8], 2**40)],
    ({"r": 1024}, "rank_too_large"),
    ({"r": 4}, "rank_mismatch"),
    *[({"lora_alpha": value}, "alpha_invalid") for value in (0, -1, "16", True, 10**400, 1e300, [])],
    *[({"target_modules": value}, "config_invalid") for value in ([], "", 7, [1], ["x" * 300], {"a": 1})],
    ({"use_rslora": "yes"}, "config_invalid"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSED, ids=lambda value: str(value)[:50])
def test_refused_configurations(changes: dict[str, Any], code: str) -> None:
    assert code in codes(judge(with_config(**changes)))


ACCEPTED: list[dict[str, Any]] = [
    {"use_rslora": True},
    {"target_modules": "all-linear"},
    {"target_modules": r".*\.(q|v)_proj"},
    {"peft_type": ...},
    {"bias": ...},
    {"lora_alpha": 8.5},
    {"init_lora_weights": "gaussian"},
    {"init_lora_weights": False},
    {"base_model_name_or_path": "https://example.org/\x1b[31mwhatever" * 50},
    {"auto_mapping": {"base_model_class": "os.system"}},
]


@pytest.mark.parametrize("changes", ACCEPTED, ids=lambda value: str(value)[:50])
def test_accepted_configurations(changes: dict[str, Any]) -> None:
    verdict = judge(with_config(**changes))
    assert (codes(verdict), verdict.findings) == ([], ())
    assert verdict.facts["claimed_base_model"].isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"7", b"\xff", b'{"r": NaN}', b'{"r": 8, "r": 8}', b"[" * 100_000,
        b'{"r": ' + b"9" * 5000 + b"}", b" " * (2 << 20),
    ],
    ids=range(11),
)  # fmt: skip
def test_unreadable_configurations(content: bytes) -> None:
    assert codes(judge(good() | {CONFIG: content})) == ["config_invalid"]


def test_unknown_settings_are_told_and_dropped() -> None:
    verdict = judge(with_config(new_option=1, another={"a": 1}))
    assert verdict.accepted
    [finding] = verdict.findings
    assert finding.code == "unknown_key_ignored" and "another, new_option" in finding.message


HOSTILE = ["\0", "\ud800", "\x1b[31m", "<script>", "=1+1", "a\nb", "x" * 100_000, "\u202e"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_comes_out_harmless(text: str) -> None:
    """What a verdict quotes is stored in PostgreSQL and shown to people: short, printable, without NUL."""
    changes: list[dict[str, Any]] = [
        {"base_model_name_or_path": text},
        {text: text},
        {"peft_type": text},
        {"init_lora_weights": text},
        {"target_modules": [text]},
        {"bias": text},
    ]
    uploads: list[dict[str, bytes]] = [with_config(**change) for change in changes]
    for name, entry in (
        (text, {}),
        (text, []),
        (A, {"dtype": text}),
        (A, {"dtype": text, "shape": [1], "data_offsets": [0, 1]}),
    ):
        uploads.append(good() | {WEIGHTS: pack({name: entry}, b"")})
    for upload in uploads:
        verdict = judge(upload)
        quoted = [value for finding in verdict.findings for value in finding.as_dict().values()]
        quoted.append(verdict.facts.get("claimed_base_model", ""))
        assert all(value.isprintable() and len(value) < 700 for value in quoted)
        json.dumps(verdict.as_dict(), ensure_ascii=False).encode()


def test_the_serving_profiles_rank_counts() -> None:
    assert codes(judge(sample("ok-r16-all"), max_rank=8)) == ["rank_too_large"]
    assert judge(sample("ok-r16-all"), max_rank=16).accepted
    assert judge(good(), max_rank=10_000).accepted
    assert codes(judge(with_config(r=513), max_rank=10_000))[0] == "rank_too_large"


def reshaped(name: str, shape: tuple[int, ...]) -> dict[str, bytes]:
    return retensored(lambda entries: entries.__setitem__(name, ("F32", shape)))


def test_every_changed_dimension_is_found() -> None:
    for name, shape in ((A, (8, 63)), (A, (8, 65)), (A, (64, 8)), (B, (63, 8)), (B, (1, 8))):
        assert codes(judge(reshaped(name, shape))) == ["shape_mismatch"], shape
    for name, shape in ((A, (512,)), (A, (8, 8, 8)), (A, (2, 2, 2, 64))):
        assert codes(judge(reshaped(name, shape))) == ["shape_mismatch"], shape
    for name, shape in ((A, (7, 64)), (A, (16, 64)), (B, (64, 9))):
        assert codes(judge(reshaped(name, shape))) == ["rank_mismatch"], shape


UNKNOWN = {
    f"{LAYER}.0.self_attn.q_proj.lora_A.default.weight": "unknown_tensor",
    f"{LAYER}.0.self_attn.x_proj.lora_A.weight": "unknown_tensor",
    f"{LAYER}.00.self_attn.q_proj.lora_A.weight": "unknown_tensor",
    f"{LAYER}.-1.self_attn.q_proj.lora_A.weight": "unknown_tensor",
    "model.layers.0.self_attn.q_proj.lora_A.weight": "unknown_tensor",
    "base_model.model.model.norm.lora_A.weight": "unknown_tensor",
    f"{LAYER}.0.self_attn.q_proj.weight": "unknown_tensor",
    f"{LAYER}.0.self_attn.q_proj.lora_magnitude_vector": "dora_unsupported",
    f"{LAYER}.0.self_attn.q_proj.lora_B.bias": "bias_unsupported",
    "base_model.model.model.embed_tokens.weight": "added_vocabulary_unsupported",
    "base_model.model.lm_head.weight": "added_vocabulary_unsupported",
}


@pytest.mark.parametrize(("name", "code"), UNKNOWN.items())
def test_tensors_without_a_place(name: str, code: str) -> None:
    verdict = judge(retensored(lambda entries: entries.__setitem__(name, ("F32", (8, 64)))))
    assert codes(verdict) == [code]
    assert verdict.findings[0].tensor == name


def test_pairs_and_layers() -> None:
    assert codes(judge(retensored(lambda entries: entries.pop(B)))) == ["missing_pair"]

    def deeper(entries: dict[str, Any]) -> None:
        entries[A.replace(".0.", ".2.")] = ("F32", (8, 64))
        entries[B.replace(".0.", ".2.")] = ("F32", (64, 8))

    assert codes(judge(retensored(deeper))) == ["layer_out_of_range"]
    assert codes(judge(retensored(lambda entries: [entries.clear(), entries.update(x=("F32", (1,)))]))) == [  # type: ignore[func-returns-value]
        "unknown_tensor"
    ]


def test_head_and_embedding() -> None:
    def more(entries: dict[str, Any]) -> None:
        entries["base_model.model.lm_head.lora_A.weight"] = ("F32", (8, 64))
        entries["base_model.model.lm_head.lora_B.weight"] = ("F32", (512, 8))
        entries["base_model.model.model.embed_tokens.lora_embedding_A"] = ("F32", (8, 512))
        entries["base_model.model.model.embed_tokens.lora_embedding_B"] = ("F32", (64, 8))

    verdict = judge(retensored(more))
    assert verdict.accepted
    assert verdict.facts["target_modules"] == ["embed_tokens", "lm_head", "q_proj", "v_proj"]
    large = BASE | {"vocab_size": 300_000}
    assert "lm_head_vocabulary_too_large" in codes(judge(retensored(more), base=large))

    def base_layer(entries: dict[str, Any]) -> None:
        entries["base_model.model.lm_head.base_layer.weight"] = ("F32", (512, 64))

    verdict = judge(retensored(base_layer))
    assert verdict.accepted and [finding.code for finding in verdict.findings] == ["base_layer_ignored"]
    assert verdict.content is not None
    assert not any("base_layer" in tensor.name for tensor in verdict.content.tensors.kept)


def expected_shapes(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """The table of the engine's documentation, written down a second time."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    q, k = heads * head, config["num_key_value_heads"] * head
    if config["model_type"] == "phi3":
        return {
            "self_attn.qkv_proj": (hidden, q + 2 * k),
            "self_attn.o_proj": (q, hidden),
            "mlp.gate_up_proj": (hidden, 2 * inner),
            "mlp.down_proj": (inner, hidden),
        }
    return {
        "self_attn.q_proj": (hidden, q),
        "self_attn.k_proj": (hidden, k),
        "self_attn.v_proj": (hidden, k),
        "self_attn.o_proj": (q, hidden),
        "mlp.gate_proj": (hidden, inner),
        "mlp.up_proj": (hidden, inner),
        "mlp.down_proj": (inner, hidden),
    }


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_an_adapter_of_every_family(family: str) -> None:
    """Query width differs from the hidden size on purpose, as in Gemma and Qwen3."""
    base = {
        "model_type": family, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 20, "vocab_size": 100,
    }  # fmt: skip
    shapes = expected_shapes(base)
    entries: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer in range(2):
        for module, (inputs, outputs) in shapes.items():
            entries[f"{LAYER}.{layer}.{module}.lora_A.weight"] = ("BF16", (8, inputs))
            entries[f"{LAYER}.{layer}.{module}.lora_B.weight"] = ("BF16", (outputs, 8))
    files = good() | {WEIGHTS: tensors(entries, b"\x80\x3f\x80\x3f")}
    assert judge(files, base=base).accepted
    for module, (inputs, outputs) in shapes.items():
        for side, shape in (("A", (8, inputs + 1)), ("B", (outputs - 1, 8))):
            wrong = entries | {f"{LAYER}.1.{module}.lora_{side}.weight": ("BF16", shape)}
            verdict = judge(good() | {WEIGHTS: tensors(wrong, b"\x80\x3f\x80\x3f")}, base=base)
            assert codes(verdict) == ["shape_mismatch"]


def test_base_models() -> None:
    assert codes(judge(good(), base=BASE | {"model_type": "mixtral"})) == ["unknown_architecture"]
    assert codes(judge(good(), base={})) == ["unknown_architecture"]
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        for value in (None, 0, -1, 1.5, "64", True, 2**40):
            with pytest.raises(UnusableBase, match=key):
                read_architecture(BASE | {key: value})
    assert read_architecture(BASE | {"head_dim": None}).head_dim == 16
    assert read_architecture({key: value for key, value in BASE.items() if "key_value" not in key}).key_value_heads == 4
    assert read_architecture(BASE | {"model_type": "gemma", "head_dim": None}).head_dim == 256


def test_rules_name_their_source() -> None:
    for path in ENGINES_FOLDER.glob("*.json"):
        rules, raw = load_engine(path.stem), json.loads(path.read_text())
        assert rules.engine == path.stem and rules.source and rules.checked_on
        assert all(rule["message"] and rule["hint"] and rule["effect"] for rule in raw["key_rules"])
        assert not {rule.key for rule in rules.key_rules} & rules.ignored_keys
    with pytest.raises(UnknownEngine, match=r"vllm-0\.26"):
        load_engine("../../manage")


def test_every_setting_that_peft_writes_is_known() -> None:
    """A new PEFT setting is a warning for the tenant; those of PEFT 0.21 have all been thought about."""
    rules = load_engine("vllm-0.26")
    known = rules.ignored_keys | set(rules.required_keys) | {rule.key for rule in rules.key_rules}
    for folder in SAMPLES.glob("*-*"):
        if (folder / CONFIG).exists():
            assert json.loads((folder / CONFIG).read_text()).keys() <= known
