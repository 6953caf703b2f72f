"""What a serving engine accepts of an adapter, as data: one file per engine version in `data/engines`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENGINES_FOLDER = Path(__file__).resolve().parents[2] / "data" / "engines"


class UnknownEngine(ValueError):
    """There are no rules for this engine; the message lists those there are."""


@dataclass(frozen=True)
class KeyRule:
    """A key of adapter_config.json that the engine refuses or silently ignores, with the values that do no harm.

    `harmless` None means: every empty value (null, false, "", [], {}).
    """

    key: str
    harmless: tuple[Any, ...] | None
    code: str
    message: str
    hint: str

    def is_broken_by(self, value: Any) -> bool:
        """True when this value would be refused by the engine, or would make it answer wrongly."""
        if self.harmless is None:
            return bool(value)
        # By type as well: in Python True equals 1, in a configuration it does not.
        return not any(type(value) is type(allowed) and value == allowed for allowed in self.harmless)


@dataclass(frozen=True)
class EngineRules:
    """The admission rules of one engine version, with their source and the day they were read."""

    engine: str
    source: str
    checked_on: str
    ranks: tuple[int, ...]
    required_keys: tuple[str, ...]
    peft_types: tuple[str, ...]
    mergeable_peft_types: frozenset[str]
    unmergeable_peft_types: frozenset[str]
    key_rules: tuple[KeyRule, ...]
    ignored_keys: frozenset[str]
    max_lm_head_vocabulary: int

    @property
    def max_rank(self) -> int:
        """The largest rank that the engine can be set to serve."""
        return max(self.ranks)


def load_engine(name: str, folder: Path = ENGINES_FOLDER) -> EngineRules:
    """The rules of an engine such as "vllm-0.26". Raises UnknownEngine with the names that exist."""
    known = sorted(path.stem for path in folder.glob("*.json"))
    if name not in known:
        raise UnknownEngine(f"There are no rules for the engine {name!r}; known: {', '.join(known)}.")
    return _rules(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))


def _rules(data: Mapping[str, Any]) -> EngineRules:
    return EngineRules(
        engine=data["engine"],
        source=data["source"],
        checked_on=data["checked_on"],
        ranks=tuple(data["max_lora_rank_choices"]),
        required_keys=tuple(data["required_keys"]),
        peft_types=tuple(data["peft_types"]),
        mergeable_peft_types=frozenset(data["other_peft_types"]["mergeable"]),
        unmergeable_peft_types=frozenset(data["other_peft_types"]["unmergeable"]),
        key_rules=tuple(_key_rule(rule) for rule in data["key_rules"]),
        ignored_keys=frozenset(data["ignored_keys"]),
        max_lm_head_vocabulary=data["max_lm_head_vocabulary"],
    )


def _key_rule(rule: Mapping[str, Any]) -> KeyRule:
    harmless = rule.get("harmless")
    return KeyRule(
        key=rule["key"],
        harmless=None if harmless is None else tuple(harmless),
        code=rule["code"],
        message=rule["message"],
        hint=rule["hint"],
    )
