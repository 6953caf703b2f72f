"""The shapes that a base model gives to its adapters, worked out from its config.json.

No engine notices an adapter that was trained on another base model: smaller matrices are copied into the corner of
larger ones and the answers are quietly wrong. These shapes are the only guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MAX_NUMBER = 2**31
# Values that the model families take when config.json is silent (transformers 5: the families' configuration classes).
_DEFAULT_HEAD_DIM = {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "qwen3": 128}
_KV_HEADS_DEFAULT_TO_HEADS = frozenset({"llama", "phi3"})
_SPLIT_PROJECTIONS = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"})
_FUSED_PROJECTIONS = frozenset({"phi3"})
FAMILIES = _SPLIT_PROJECTIONS | _FUSED_PROJECTIONS


class UnusableBase(ValueError):
    """The config.json of the base model lacks a number that the shapes need; the message names it."""


class UnknownArchitecture(ValueError):
    """The base model is of a family whose shapes are not known here; the message names it."""


@dataclass(frozen=True)
class Architecture:
    """The numbers of a base model, and (input, output) of every layer that an adapter may change."""

    family: str
    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_dim: int
    vocabulary: int
    in_layer: Mapping[str, tuple[int, int]]

    @property
    def lm_head(self) -> tuple[int, int]:
        """Input and output of the head that turns hidden states into tokens."""
        return self.hidden, self.vocabulary


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture behind a base model's config.json; raises UnknownArchitecture or UnusableBase."""
    family = config.get("model_type")
    if family not in FAMILIES:
        raise UnknownArchitecture(
            f"The shapes of base models of the type {str(family)[:40]!r} are not known here; known are the types "
            f"{', '.join(sorted(FAMILIES))}."
        )
    hidden, inner = _number(config, "hidden_size"), _number(config, "intermediate_size")
    heads = _number(config, "num_attention_heads")
    head = _number(config, "head_dim", _DEFAULT_HEAD_DIM.get(family, hidden // heads))
    kv_heads = _number(config, "num_key_value_heads", heads if family in _KV_HEADS_DEFAULT_TO_HEADS else None)
    query, key_value = heads * head, kv_heads * head
    if family in _FUSED_PROJECTIONS:
        modules = {
            "self_attn.qkv_proj": (hidden, query + 2 * key_value),
            "self_attn.o_proj": (query, hidden),
            "mlp.gate_up_proj": (hidden, 2 * inner),
            "mlp.down_proj": (inner, hidden),
        }
    else:
        modules = {
            "self_attn.q_proj": (hidden, query),
            "self_attn.k_proj": (hidden, key_value),
            "self_attn.v_proj": (hidden, key_value),
            "self_attn.o_proj": (query, hidden),
            "mlp.gate_proj": (hidden, inner),
            "mlp.up_proj": (hidden, inner),
            "mlp.down_proj": (inner, hidden),
        }
    return Architecture(
        family=family,
        layers=_number(config, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        key_value_heads=kv_heads,
        head_dim=head,
        vocabulary=_number(config, "vocab_size"),
        in_layer=modules,
    )


def _number(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if type(value) is not int or not 1 <= value < _MAX_NUMBER:
        raise UnusableBase(f"The base model's config.json needs a whole number above zero for {key!r}.")
    return value
