"""Looks at every value of an adapter once, in bounded memory: NaN and infinity, and matrices of nothing but zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models_registry.inspection.findings import Findings, Refusal
from models_registry.inspection.safetensors import ITEM_BYTES, Tensor

CHUNK_BYTES = 1024 * 1024
# Not finite means: all exponent bits are set. Looking at bits serves BF16 too, which numpy does not know.
_EXPONENT = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F80_0000}
_MAGNITUDE = {"F16": 0x7FFF, "BF16": 0x7FFF, "F32": 0x7FFF_FFFF}
_UNSIGNED: dict[int, np.dtype[Any]] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}


def scan_values(read: Callable[[int], bytes], tensors: Sequence[Tensor], findings: Findings) -> None:
    """Reads the values behind the header, in file order, and adds nan_or_inf (error) and all_zero (warning).

    `read(n)` gives exactly n bytes unless the file ends; a shorter answer raises Refusal(safetensors_truncated).
    """
    zero: set[str] = set()
    for tensor in tensors:
        finite, any_value = _scan(read, tensor)
        if not finite:
            findings.error(
                "nan_or_inf",
                "A tensor holds NaN or infinity.",
                "The training diverged. Use an earlier checkpoint or a lower learning rate.",
                tensor.name,
            )
        if not any_value:
            zero.add(tensor.name)
    _warn_without_effect(tensors, zero, findings)


def _scan(read: Callable[[int], bytes], tensor: Tensor) -> tuple[bool, bool]:
    """Whether all values are finite, and whether any is not zero."""
    finite, any_value = True, False
    exponent, magnitude = _EXPONENT[tensor.dtype], _MAGNITUDE[tensor.dtype]
    dtype = _UNSIGNED[ITEM_BYTES[tensor.dtype]]
    remaining = tensor.end - tensor.start
    while remaining:
        count = min(remaining, CHUNK_BYTES)
        chunk = read(count)
        if len(chunk) < count:
            raise Refusal("safetensors_truncated", "The file ends inside its values.", "Upload it again.", tensor.name)
        bits = np.frombuffer(chunk, dtype)
        finite = finite and not bool(((bits & exponent) == exponent).any())
        any_value = any_value or bool((bits & magnitude).any())
        remaining -= count
    return finite, any_value


def _warn_without_effect(tensors: Sequence[Tensor], zero: set[str], findings: Findings) -> None:
    """A pair changes nothing when either half is zero; PEFT starts training with lora_B at zero."""
    pairs = {_pair(tensor.name) for tensor in tensors}
    silent = {_pair(name) for name in zero}
    if pairs and silent == pairs:
        findings.warn(
            "all_zero",
            "Every pair of matrices multiplies to zero: the adapter changes nothing.",
            "Was it saved before training? The release check will refuse an adapter without effect.",
            next(tensor.name for tensor in tensors if tensor.name in zero),
        )


def _pair(name: str) -> str:
    return (
        name.replace(".lora_embedding_A", ".lora")
        .replace(".lora_embedding_B", ".lora")
        .replace(".lora_A.weight", ".lora")
        .replace(".lora_B.weight", ".lora")
    )
