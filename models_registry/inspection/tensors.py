"""Holds an adapter's tensor names and shapes against the base model.

The tensors are the truth about what an adapter changes; target_modules in its configuration is only a claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from models_registry.inspection.adapter_config import AdapterConfig
from models_registry.inspection.architecture import Architecture
from models_registry.inspection.engines import EngineRules
from models_registry.inspection.findings import Findings
from models_registry.inspection.quick_header import Tensor

_PREFIX = "base_model.model."
_PAIRED = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_EMBEDDING = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<side>[AB])")
_LAYER = re.compile(r"model\.layers\.(?P<index>0|[1-9][0-9]{0,5})\.(?P<module>.+)")
_IGNORED_BY_ENGINE = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")
_VOCABULARY = (".embed_tokens.weight", ".lm_head.weight")


@dataclass(frozen=True)
class AdapterTensors:
    """The tensors to keep, in file order, and the short names of the layers that they change, sorted."""

    kept: tuple[Tensor, ...]
    target_modules: tuple[str, ...]


@dataclass(frozen=True)
class _Half:
    """One matrix of a pair: which layer it changes, which side of it, and the shape that the base model asks for."""

    tensor: Tensor
    module: str
    side: str
    rank_axis: int
    size: int
    layer: int | None


def check_tensors(
    tensors: Iterable[Tensor], config: AdapterConfig, base: Architecture, engine: EngineRules, findings: Findings
) -> AdapterTensors:
    """Adds what speaks against these tensors to `findings` and gives back those that serve."""
    tensors = tuple(tensors)
    modules = _modules_of(tensors, config, base)
    if modules is None:
        tensors, modules = _place_all(tensors, config, base, findings)
    if "lm_head" in modules and base.vocabulary > engine.max_lm_head_vocabulary:
        findings.error(
            "lm_head_vocabulary_too_large",
            f"The engine cannot adapt lm_head for vocabularies above {engine.max_lm_head_vocabulary:,}.",
            "Train without lm_head in target_modules.",
        )
    return AdapterTensors(tensors, tuple(sorted({module.rsplit(".", 1)[-1] for module in modules})))


def _modules_of(tensors: Sequence[Tensor], config: AdapterConfig, base: Architecture) -> set[str] | None:
    """The modules that these tensors change when each is in its place, with its partner, in the right shape.

    None for anything else; the slow way tells what. This one looks from the base model's side, because writing the
    names that may be there is cheaper than taking apart those that are.
    """
    rank, found = config.rank, dict(map(itemgetter(0, 2), tensors))
    if rank is None or len(base.in_layer) * base.layers > 4 * len(found) + 10_000:
        return None
    modules: set[str] = set()
    placed = 0
    for module, (inputs, outputs) in base.in_layer.items():
        wanted_a, wanted_b = (rank, inputs), (outputs, rank)
        for layer in range(base.layers):
            stem = f"{_PREFIX}model.layers.{layer}.{module}.lora_"
            seen_a, seen_b = found.get(stem + "A.weight"), found.get(stem + "B.weight")
            if seen_a == wanted_a and seen_b == wanted_b:
                placed += 2
                modules.add(module)
            elif seen_a is not None or seen_b is not None:
                return None
    return modules if placed == len(found) else None


def _place_all(
    tensors: Sequence[Tensor], config: AdapterConfig, base: Architecture, findings: Findings
) -> tuple[tuple[Tensor, ...], set[str]]:
    """Every tensor by its own name, with a finding for each that is wrong; those that serve, and their modules."""
    halves = []
    for tensor in tensors:
        half = _place(tensor, config, base, findings)
        if half is not None:
            halves.append(half)
    if not halves and not findings.refuses:
        findings.error(
            "no_lora_tensors", "The file holds no LoRA weights.", "Save the adapter with model.save_pretrained(folder)."
        )
    _check_shapes(halves, config, base, findings)
    _check_pairs(halves, findings)
    return tuple(half.tensor for half in halves), {half.module for half in halves}


def _place(tensor: Tensor, config: AdapterConfig, base: Architecture, findings: Findings) -> _Half | None:
    """Where in the base model this tensor belongs; None, with a finding, when nowhere."""
    if tensor.name.endswith(_IGNORED_BY_ENGINE):
        findings.warn(
            "base_layer_ignored", "A copy of a base layer is in the file; it will not be kept.", tensor=tensor.name
        )
        return None
    name = tensor.name.removeprefix(_PREFIX)
    if name == tensor.name:
        _add_misplaced(tensor, config, findings)
        return None
    if match := _PAIRED.fullmatch(name):
        return _place_linear(tensor, match["module"], match["side"], base, config, findings)
    if (match := _EMBEDDING.fullmatch(name)) and match["module"] == "model.embed_tokens":
        size = base.vocabulary if match["side"] == "A" else base.hidden
        return _Half(tensor, "embed_tokens", match["side"], 0 if match["side"] == "A" else 1, size, None)
    _add_misplaced(tensor, config, findings)
    return None


def _place_linear(
    tensor: Tensor, module: str, side: str, base: Architecture, config: AdapterConfig, findings: Findings
) -> _Half | None:
    layer: int | None = None
    sizes = base.lm_head if module == "lm_head" else None
    if match := _LAYER.fullmatch(module):
        layer, module = int(match["index"]), match["module"]
        sizes = base.in_layer.get(module)
    if sizes is None:
        _add_misplaced(tensor, config, findings)
        return None
    # lora_A is [rank, input], lora_B is [output, rank].
    return _Half(tensor, module, side, 0 if side == "A" else 1, sizes[0] if side == "A" else sizes[1], layer)


def _add_misplaced(tensor: Tensor, config: AdapterConfig, findings: Findings) -> None:
    """Names the reason why a tensor has no place, unless the configuration has already told it."""
    name = tensor.name
    if ".lora_magnitude_vector" in name:
        code, message, hint = "dora_unsupported", "The file holds DoRA magnitudes.", "Train without use_dora."
    elif name.endswith((".lora_A.bias", ".lora_B.bias")):
        code, message, hint = "bias_unsupported", "The file holds trained biases.", "Train with lora_bias=False."
    elif config.brings_layers and name.endswith((".weight", ".bias")) and ".lora_" not in name:
        code, message, hint = "modules_to_save_unsupported", "The file holds a whole layer.", "Train without it."
    elif name.endswith(_VOCABULARY):
        code, message, hint = (
            "added_vocabulary_unsupported",
            "The file holds a whole embedding or head, as PEFT saves it when the vocabulary was changed.",
            "Train without added tokens, or save with save_embedding_layers=False.",
        )
    else:
        code, message, hint = (
            "unknown_tensor",
            "The file holds a tensor that has no place in the base model.",
            "Check the base model, and save with model.save_pretrained(folder), not from a raw state dict.",
        )
    if code not in findings or code == "unknown_tensor":
        findings.error(code, message, hint, name)


def _check_shapes(halves: list[_Half], config: AdapterConfig, base: Architecture, findings: Findings) -> None:
    for half in halves:
        shape = half.tensor.shape
        rank = config.rank if config.rank is not None else shape[min(half.rank_axis, len(shape) - 1)]
        wanted = (rank, half.size) if half.rank_axis == 0 else (half.size, rank)
        if len(shape) != 2 or shape[1 - half.rank_axis] != half.size:
            findings.error(
                "shape_mismatch",
                f"A tensor has the shape {list(shape)}; this base model needs {list(wanted)}.",
                "The adapter was trained on another base model. Choose its own base, or train it again on this one.",
                half.tensor.name,
            )
        elif shape != wanted:
            findings.error(
                "rank_mismatch",
                f"A tensor has rank {shape[half.rank_axis]}, the configuration says {rank}.",
                "Use the adapter_config.json that PEFT wrote beside these weights.",
                half.tensor.name,
            )
    if "shape_mismatch" in findings:
        return  # Another base model: its number of layers says nothing new.
    for half in halves:
        if half.layer is not None and half.layer >= base.layers:
            findings.error(
                "layer_out_of_range",
                f"The adapter changes layer {half.layer}; the base model has layers 0 to {base.layers - 1}.",
                "The adapter was trained on a deeper base model. Choose its own base.",
                half.tensor.name,
            )


def _check_pairs(halves: list[_Half], findings: Findings) -> None:
    sides: dict[tuple[int | None, str], dict[str, str]] = {}
    for half in halves:
        sides.setdefault((half.layer, half.module), {})[half.side] = half.tensor.name
    for found in sides.values():
        if len(found) == 1:
            (side, name), missing = next(iter(found.items())), "B" if "A" in found else "A"
            findings.error(
                "missing_pair",
                f"lora_{side} is there, lora_{missing} of the same layer is not.",
                "Save the adapter again; the file seems to be incomplete.",
                name,
            )
