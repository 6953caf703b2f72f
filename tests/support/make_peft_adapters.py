"""Makes adapters of many kinds with PEFT itself, on tiny random models of every family that the gate knows.

    uv venv /tmp/peft && uv pip install -p /tmp/peft -r requirements/peft.in
    /tmp/peft/bin/python tests/support/make_peft_adapters.py tests/data/peft-kinds

Stands alone: it is run with an environment of its own. What it wrote is committed, and the gate's tests go by that.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, {}),
    "mistral": (transformers.MistralConfig, {"head_dim": 12}),
    "qwen2": (transformers.Qwen2Config, {}),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 16}),
    "gemma": (transformers.GemmaConfig, {"head_dim": 16}),
    "gemma2": (transformers.Gemma2Config, {"head_dim": 16}),
    "gemma3": (transformers.Gemma3TextConfig, {"head_dim": 16}),
    "phi3": (transformers.Phi3Config, {}),
}


def model_of(family: str) -> Any:
    """A tiny model with random weights."""
    make, extra = FAMILIES[family]
    torch.manual_seed(7)
    return transformers.AutoModelForCausalLM.from_config(make(**SIZES, **extra))


def lora(**settings: Any) -> Any:
    """A LoRA configuration; q_proj and v_proj unless told otherwise."""
    return peft.LoraConfig(
        **{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | settings
    )


QV = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
# name: (family, configuration, codes of the errors that the gate must find)
KINDS: dict[str, tuple[str, Any, list[str]]] = {
    **{f"{family}-all-linear": (family, lora(target_modules="all-linear"), []) for family in FAMILIES},
    "llama-rslora": ("llama", lora(use_rslora=True), []),
    "llama-embedding-and-head": ("llama", lora(target_modules=["embed_tokens", "lm_head"]), []),
    "llama-last-layer-only": ("llama", lora(layers_to_transform=[1]), []),
    "llama-gaussian-start": ("llama", lora(init_lora_weights="gaussian"), []),
    "llama-eight-bits-of-rank": ("llama", lora(r=8, lora_alpha=3), []),
    "llama-dora": ("llama", lora(use_dora=True), ["dora_unsupported"]),
    "llama-lora-bias": ("llama", lora(lora_bias=True), ["bias_unsupported"]),
    "qwen2-bias-all": ("qwen2", lora(bias="all"), ["bias_unsupported"]),
    "llama-rank-pattern": ("llama", lora(rank_pattern={"q_proj": 2}), ["rank_pattern_unsupported"]),
    "llama-alpha-pattern": ("llama", lora(alpha_pattern={"q_proj": 2}), ["alpha_pattern_unsupported"]),
    "llama-saved-head": ("llama", lora(modules_to_save=["lm_head"]), ["modules_to_save_unsupported"]),
    "llama-pissa": ("llama", lora(init_lora_weights="pissa"), ["init_weights_unsupported"]),
    "llama-olora": ("llama", lora(init_lora_weights="olora"), ["init_weights_unsupported"]),
    "llama-new-tokens": ("llama", lora(trainable_token_indices=[3, 5]), ["trainable_tokens_unsupported"]),
    "llama-replicated-layers": ("llama", lora(layer_replication=[[0, 2], [1, 2]]), ["layer_replication_unsupported"]),
    "llama-adalora": (
        "llama",
        peft.AdaLoraConfig(total_step=10, init_r=4, target_r=2, **QV),
        ["peft_type_unsupported"],
    ),
    "llama-ia3": ("llama", peft.IA3Config(feedforward_modules=[], **QV), ["peft_type_unsupported"]),
    "llama-loha": ("llama", peft.LoHaConfig(r=4, **QV), ["peft_type_unsupported"]),
    "llama-lokr": ("llama", peft.LoKrConfig(r=4, **QV), ["peft_type_unsupported"]),
    "llama-oft": ("llama", peft.OFTConfig(oft_block_size=8, **QV), ["peft_type_unsupported"]),
    "llama-hra": ("llama", peft.HRAConfig(r=4, **QV), ["peft_type_unsupported"]),
    "llama-vera": (
        "llama",
        peft.VeraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        ["peft_type_unsupported"],
    ),
    "llama-ln-tuning": (
        "llama",
        peft.LNTuningConfig(target_modules=["input_layernorm"], task_type="CAUSAL_LM"),
        ["peft_type_unsupported"],
    ),
    "llama-prompt-tuning": (
        "llama",
        peft.PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
        ["peft_type_unsupported"],
    ),
    "llama-prefix-tuning": (
        "llama",
        peft.PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
        ["peft_type_unsupported"],
    ),
}


def make(name: str, folder: Path) -> None:
    """One adapter as PEFT saves it; what training would have changed is random instead."""
    family, config, _ = KINDS[name]
    model = peft.get_peft_model(model_of(family), config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")


def main(target: Path) -> None:
    """All kinds, the bases' configurations, and what the gate must say of each."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "bases").mkdir(parents=True)
    for family, (build, extra) in FAMILIES.items():
        facts = build(**SIZES, **extra).to_dict()
        kept = {key: facts[key] for key in (*SIZES, "model_type", "head_dim") if facts.get(key) is not None}
        (target / "bases" / f"{family}.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    for name in KINDS:
        make(name, target / name)
    expected = {name: {"base": family, "codes": codes} for name, (family, _, codes) in KINDS.items()}
    versions = {"peft": peft.__version__, "transformers": transformers.__version__}
    text = json.dumps({"made_with": versions, "kinds": expected}, indent=1)
    (target / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
