"""Looks at every value of an adapter once, in bounded memory: NaN and infinity, absurd sizes, nothing but zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models_registry.inspection.findings import Findings, Refusal
from models_registry.inspection.quick_header import ITEM_BYTES, Tensor

CHUNK_BYTES = 1024 * 1024
# Without their sign, floating point numbers are in the order of their bits, so that the largest tells all: from these
# on they are not finite. Looking at bits serves BF16 too, which numpy does not know.
_NOT_FINITE = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F80_0000}
# 1,000 in each format. Trained matrices stay below ten or so; the product of two that do not drowns the base model.
_ABSURD = {"F16": 0x63D0, "BF16": 0x447A, "F32": 0x447A_0000}
_MAGNITUDE = {"F16": 0x7FFF, "BF16": 0x7FFF, "F32": 0x7FFF_FFFF}
_UNSIGNED: dict[int, np.dtype[Any]] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}


def scan_values(read: Callable[[int], bytes], tensors: Sequence[Tensor], findings: Findings) -> None:
    """Reads the values behind the header, in file order; adds nan_or_inf (error), absurd_values, all_zero (warnings).

    `read(n)` gives exactly n bytes unless the file ends; a shorter answer raises Refusal(safetensors_truncated).
    """
    zero: set[str] = set()
    for tensor in tensors:
        largest = _largest(read, tensor)
        if largest >= _NOT_FINITE[tensor.dtype]:
            findings.error(
                "nan_or_inf",
                "A tensor holds NaN or infinity.",
                "The training diverged. Use an earlier checkpoint or a lower learning rate.",
                tensor.name,
            )
        elif largest >= _ABSURD[tensor.dtype]:
            findings.warn(
                "absurd_values",
                "A tensor holds values of 1,000 or more, as no trained adapter should.",
                "Was the training stable? Compare the answers with those of an earlier version before releasing it.",
                tensor.name,
            )
        elif not largest:
            zero.add(tensor.name)
    _warn_without_effect(tensors, zero, findings)


def _largest(read: Callable[[int], bytes], tensor: Tensor) -> int:
    """The bits, without the sign, of the tensor's value that is farthest from zero."""
    largest, magnitude = 0, _MAGNITUDE[tensor.dtype]
    dtype = _UNSIGNED[ITEM_BYTES[tensor.dtype]]
    remaining = tensor.end - tensor.start
    while remaining:
        count = min(remaining, CHUNK_BYTES)
        chunk = read(count)
        if len(chunk) < count:
            raise Refusal("safetensors_truncated", "The file ends inside its values.", "Upload it again.", tensor.name)
        largest = max(largest, int((np.frombuffer(chunk, dtype) & magnitude).max()))
        remaining -= count
    return largest


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
