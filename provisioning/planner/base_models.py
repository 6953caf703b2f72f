"""A base model as the planner needs it: how many weights, how much cache per token, how much per adapter slot.

Worked out from config.json alone, so a model can be planned before anybody has downloaded it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models_registry.inspection.architecture import (
    Architecture,
    UnknownArchitecture,
    UnusableBase,
    read_architecture,
)
from provisioning.planner.refusals import UnknownModel
from provisioning.planner.units import bytes_of

# Where config.json is silent, from the families' configuration classes (transformers 5).
_TIES_EMBEDDINGS = frozenset({"gemma", "gemma2", "gemma3_text"})
_HAS_QKV_BIAS = frozenset({"qwen2"})
_NORMS_HEADS = frozenset({"qwen3", "gemma3_text"})
_HAS_FOUR_NORMS = frozenset({"gemma2", "gemma3_text"})

# vLLM keeps adapters in 16 bits whatever the weights are (`lora_dtype`: auto, float16, bfloat16).
ADAPTER_BYTES = 2


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model: its key in the catalogue, a name for people, and the numbers that memory depends on.

    `max_context_tokens` is None where config.json does not say.
    """

    key: str
    name: str
    architecture: Architecture
    parameters: int
    max_context_tokens: int | None

    def weight_bytes(self, dtype: str) -> int:
        """Bytes of the weights: parameters x bits / 8."""
        return bytes_of(self.parameters, dtype)

    def cache_bytes_per_token(self, dtype: str) -> int:
        """Bytes of keys and values of one token of one sequence.

        2 x layers x key-value heads x head dimension x bytes (Llama 3.1 70B: 327,680 bytes in 16 bits, which gives
        the table of the AWS Summit Japan session AI-T3-01). Layers with a sliding window keep less; they are counted
        in full, so the answer is an upper bound for them.
        """
        shape = self.architecture
        return bytes_of(2 * shape.layers * shape.key_value_heads * shape.head_dim, dtype)

    def adapter_slot_bytes(self, max_rank: int) -> int:
        """Bytes that the engine reserves for one adapter slot, whatever the adapter's own rank.

        max_lora_rank x layers x sum of (in + out) over the adapted modules x 2 bytes (vLLM 0.26, lora/layers: the
        buffers have the maximum rank). All linear layers are counted.
        """
        per_layer = sum(inner + outer for inner, outer in self.architecture.in_layer.values())
        return max_rank * self.architecture.layers * per_layer * ADAPTER_BYTES


def read_base_model(key: str, config: Mapping[str, Any], *, name: str = "") -> BaseModel:
    """The base model behind a config.json. Raises UnknownModel, saying which number is missing."""
    try:
        shape = read_architecture(config)
    except (UnknownArchitecture, UnusableBase) as error:
        raise UnknownModel(str(error), hint="The planner needs the config.json that Transformers writes.") from error
    longest = config.get("max_position_embeddings")
    return BaseModel(
        key=key,
        name=name or str(config.get("model_id") or key).rpartition("/")[2],
        architecture=shape,
        parameters=_parameters(shape, config),
        max_context_tokens=longest if type(longest) is int and longest > 0 else None,
    )


def _parameters(shape: Architecture, config: Mapping[str, Any]) -> int:
    """Embeddings, head (unless tied), linear layers, biases and norms; the published counts come out exactly."""
    family, hidden = shape.family, shape.hidden
    is_tied = config.get("tie_word_embeddings", family in _TIES_EMBEDDINGS)
    linear = sum(inner * outer for inner, outer in shape.in_layer.values())
    norms = hidden * (4 if family in _HAS_FOUR_NORMS else 2)
    if family in _NORMS_HEADS:
        norms += 2 * shape.head_dim
    embeddings = shape.vocabulary * hidden * (1 if is_tied else 2)
    return embeddings + shape.layers * (linear + norms + _biases(shape, config)) + hidden


def _biases(shape: Architecture, config: Mapping[str, Any]) -> int:
    outputs = {module: outer for module, (_inner, outer) in shape.in_layer.items()}
    attention = config.get("attention_bias", False)
    biased: set[str] = set()
    if attention:
        biased |= {module for module in outputs if module.startswith("self_attn.")}
    elif shape.family in _HAS_QKV_BIAS:
        biased |= {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}
    if config.get("mlp_bias", False):
        biased |= {module for module in outputs if module.startswith("mlp.")}
    return sum(outputs[module] for module in biased)
