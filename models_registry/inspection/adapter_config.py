"""Reads PEFT's adapter_config.json and says which of its settings the engine refuses or silently ignores.

The engine drops most keys without a word and then answers wrongly, so silence of the engine is not consent here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models_registry.inspection.engines import EngineRules
from models_registry.inspection.findings import Findings, Refusal
from models_registry.inspection.safetensors import refuse_pickle

MAX_CONFIG_BYTES = 1024 * 1024
MAX_TARGETS = 1000
MAX_TEXT = 256


@dataclass(frozen=True)
class AdapterConfig:
    """The settings that matter for serving; `rank` and `alpha` are None when they are missing or unusable."""

    rank: int | None
    alpha: float | None
    use_rslora: bool
    claimed_base: str
    brings_layers: bool


def parse_config(content: bytes) -> dict[str, Any]:
    """The JSON object of an adapter_config.json. Raises Refusal (config_invalid, pickle_refused)."""
    refuse_pickle(content[:8], "adapter_config.json")
    if len(content) > MAX_CONFIG_BYTES:
        raise _invalid(f"adapter_config.json is larger than {MAX_CONFIG_BYTES:,} bytes.")
    try:
        config = json.loads(content.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"adapter_config.json cannot be read: {str(error)[:200]}.") from error
    if not isinstance(config, dict):
        raise _invalid("adapter_config.json is not a JSON object.")
    return config


def check_config(config: Mapping[str, Any], engine: EngineRules, max_rank: int, findings: Findings) -> AdapterConfig:
    """Adds what speaks against this configuration to `findings` and gives back what matters for serving.

    Raises Refusal(peft_type_unsupported): what else is wrong with another type of adapter by LoRA's rules is no news.
    """
    _refuse_other_types(config, engine)
    for key in engine.required_keys:
        if config.get(key) is None:
            findings.error(
                "missing_required_key",
                f"adapter_config.json lacks {key!r}.",
                "Use the adapter_config.json that PEFT wrote beside the weights.",
            )
    for rule in engine.key_rules:
        if rule.key in config and rule.is_broken_by(config[rule.key]):
            findings.error(rule.code, rule.message, rule.hint)
    _check_unknown_keys(config, engine, findings)
    _check_targets(config.get("target_modules"), findings)
    return AdapterConfig(
        rank=_rank(config.get("r"), max_rank, findings),
        alpha=_alpha(config.get("lora_alpha"), findings),
        use_rslora=_flag(config, "use_rslora", findings),
        claimed_base=_text(config.get("base_model_name_or_path")),
        brings_layers=bool(config.get("modules_to_save")),
    )


def _refuse_other_types(config: Mapping[str, Any], engine: EngineRules) -> None:
    peft_type = config.get("peft_type", engine.peft_types[0])
    if peft_type in engine.peft_types:
        return
    name, hint = _text(peft_type), "Train a LoRA adapter (peft.LoraConfig)."
    served = f"the engine serves {', '.join(engine.peft_types)} only"
    if name in engine.mergeable_peft_types:
        message = f"The adapter is of type {name}; {served}, so no line can serve it as an adapter."
        hint = (
            "Merge it into the base model (merge_and_unload) and have the result served as a base model of its own, on "
            "a line with its own base component; or train a LoRA adapter (peft.LoraConfig)."
        )
    elif name in engine.unmergeable_peft_types:
        message = (
            f"The adapter is of type {name}, which cannot be merged into weights; {served}, so no line can serve it."
        )
    else:
        message = f"{name!r} is no type of adapter that is known here; {served}."
    raise Refusal("peft_type_unsupported", message, hint)


def _check_unknown_keys(config: Mapping[str, Any], engine: EngineRules, findings: Findings) -> None:
    known = engine.ignored_keys | set(engine.required_keys) | {rule.key for rule in engine.key_rules}
    unknown = sorted(_text(key) for key in config if key not in known)
    if unknown:
        shown = ", ".join(unknown[:5]) + (" …" if len(unknown) > 5 else "")
        findings.warn(
            "unknown_key_ignored",
            f"The engine does not know these settings and they will not be kept: {shown}.",
            "Check that the adapter does not depend on them.",
        )


def _check_targets(targets: Any, findings: Findings) -> None:
    if targets is None:
        return
    listed = isinstance(targets, list) and 0 < len(targets) <= MAX_TARGETS
    if listed and all(isinstance(target, str) and 0 < len(target) <= MAX_TEXT for target in targets):
        return
    if isinstance(targets, str) and 0 < len(targets) <= MAX_TEXT * 16:
        return
    findings.error(
        "config_invalid",
        "target_modules must be a list of module names or one regular expression.",
        "Use the adapter_config.json that PEFT wrote beside the weights.",
    )


def _rank(value: Any, max_rank: int, findings: Findings) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value < 2**31:
        findings.error("rank_invalid", "The rank r must be a whole number above zero.", "Train with r=8 or r=16.")
        return None
    if value > max_rank:
        findings.error(
            "rank_too_large",
            f"The adapter has rank {value}; this serving profile takes up to {max_rank}.",
            f"Train with r={max_rank} or less, or ask for a profile with a larger maximum rank.",
        )
    return value


def _alpha(value: Any, findings: Findings) -> float | None:
    if value is None:
        return None
    usable = type(value) in (int, float) and abs(value) < 1e9 and math.isfinite(value) and value > 0
    if not usable:
        findings.error("alpha_invalid", "lora_alpha must be a number above zero.", "Train with lora_alpha=2*r.")
        return None
    return float(value)


def _flag(config: Mapping[str, Any], key: str, findings: Findings) -> bool:
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        findings.error("config_invalid", f"{key} must be true or false.")
    return value is True


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(character if character.isprintable() else "?" for character in value[:MAX_TEXT])


def _invalid(message: str) -> Refusal:
    return Refusal("config_invalid", message, "Use the adapter_config.json that PEFT wrote beside the weights.")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number")
