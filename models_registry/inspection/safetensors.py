"""Reads a safetensors header strictly: what is accepted here, the safetensors library accepts too, not the reverse.

The format: 8 bytes of little-endian header length N, N bytes of JSON `{name: {dtype, shape, data_offsets}}` with an
optional `__metadata__` of strings, then the values, without a gap. Only the header is read, never a value.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models_registry.inspection.findings import Refusal
from models_registry.inspection.quick_header import (
    ITEM_BYTES,
    MAX_DIMENSION,
    MAX_DIMENSIONS,
    MAX_NAME_LENGTH,
    MAX_TENSORS,
    Tensor,
    quick_tensors,
)

MAX_HEADER_BYTES = 8 * 1024 * 1024

_FOREIGN_STARTS = (b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"(lp0", b"(dp0", b"ccopy_reg", b"cos\n")
_SAVE_AGAIN = "Save the adapter again with PEFT: model.save_pretrained(folder, safe_serialization=True)."


@dataclass(frozen=True)
class Header:
    """A checked header; `tensors` are in the order of their bytes. Of its bytes only the digest is kept."""

    tensors: tuple[Tensor, ...]
    size_bytes: int
    """Where the values begin in the file."""
    sha256: bytes


def read_header(read: Callable[[int], bytes], file_size: int) -> Header:
    """Reads and checks the header of a safetensors file of `file_size` bytes.

    `read(n)` gives exactly n bytes unless the file ends. Raises Refusal: pickle_refused when the content is a pickle
    or a zip under another name, else codes `safetensors_*`.
    """
    start = read(8)
    refuse_pickle(start, "adapter_model.safetensors")
    if len(start) < 8:
        raise _invalid("safetensors_truncated", "The file is too short to be a safetensors file.")
    (length,) = struct.unpack("<Q", start)
    if length > MAX_HEADER_BYTES:
        raise _invalid(
            "safetensors_header_too_large", f"The header is {length:,} bytes; {MAX_HEADER_BYTES:,} are allowed."
        )
    if 8 + length > file_size:
        raise _invalid("safetensors_truncated", "The file ends inside its header.")
    text = read(length)
    if len(text) < length:
        raise _invalid("safetensors_truncated", "The file ends inside its header.")
    digest = hashlib.sha256(start)
    digest.update(text)
    data_bytes = file_size - 8 - length
    tensors = quick_tensors(text, data_bytes) or strict_tensors(text, data_bytes)
    return Header(tensors, 8 + length, digest.digest())


def strict_tensors(text: bytes, data_bytes: int) -> tuple[Tensor, ...]:
    """The tensors that a header describes, in the order of their bytes; raises Refusal with the first mistake."""
    return _tensors(_parse(text), data_bytes)


def refuse_pickle(start: bytes, name: str) -> None:
    """Raises Refusal(pickle_refused) when content that begins so is a pickle, a zip or a 7z archive."""
    # A header length that is allowed here leaves bytes 3 to 7 zero; a pickle has its first opcodes there.
    binary_pickle = start[:1] == b"\x80" and start[1:2] <= b"\x05" and len(start) > 1 and start[3:8] != bytes(5)
    if binary_pickle or start.startswith(_FOREIGN_STARTS):
        raise Refusal(
            "pickle_refused",
            f"The content of {name} is a pickle or a zip, not what its name says. Pickles can run code when loaded.",
            _SAVE_AGAIN,
        )


def _invalid(code: str, message: str, tensor: str = "") -> Refusal:
    return Refusal(code, message, _SAVE_AGAIN, tensor)


def _parse(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise _invalid("safetensors_header_invalid", "The header is not a JSON object.")
    try:
        header = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_no_duplicates_nor_surrogates,
            parse_int=_whole_number,
            parse_float=_no_other_number,
            parse_constant=_no_other_number,
        )
    except (ValueError, RecursionError) as error:
        raise _invalid("safetensors_header_invalid", f"The header cannot be read: {str(error)[:200]}.") from error
    if not isinstance(header, dict):
        raise _invalid("safetensors_header_invalid", "The header is not a JSON object.")
    return header


def _no_duplicates_nor_surrogates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, _ in pairs:
        name.encode("utf-8")  # A lone surrogate is valid JSON to Python, not to other readers.
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _whole_number(text: str) -> int:
    # "-0" is zero to Python and not a whole number to the safetensors library.
    if text.startswith("-"):
        raise ValueError(f"the number {text[:24]} is out of range")
    return int(text)


def _no_other_number(text: str) -> float:
    raise ValueError(f"the number {text[:24]} is not a whole number")


def _tensors(header: dict[str, Any], data_bytes: int) -> tuple[Tensor, ...]:
    _check_metadata(header.pop("__metadata__", {}))
    if not header:
        raise _invalid("safetensors_empty", "The file holds no tensors.")
    if len(header) > MAX_TENSORS:
        raise _invalid("safetensors_too_many_tensors", f"The file holds more than {MAX_TENSORS:,} tensors.")
    tensors = sorted((_tensor(name, entry) for name, entry in header.items()), key=lambda tensor: tensor.start)
    position = 0
    for tensor in tensors:
        if tensor.start != position:
            raise _invalid("safetensors_offsets_invalid", "The tensors overlap or leave a gap.", tensor.name)
        position = tensor.end
    if position != data_bytes:
        raise _invalid(
            "safetensors_size_mismatch",
            f"The header describes {position:,} bytes, the file has {data_bytes:,} behind it.",
        )
    return tuple(tensors)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _invalid("safetensors_header_invalid", "The metadata may only hold text.")
    try:
        "".join(metadata.values()).encode("utf-8")
    except UnicodeEncodeError as error:
        raise _invalid("safetensors_header_invalid", "The metadata holds broken text.") from error


def _tensor(name: str, entry: Any) -> Tensor:
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise _invalid("safetensors_header_invalid", f"The tensor name {name[:80]!r} is not allowed.")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _invalid("safetensors_header_invalid", "A tensor needs exactly dtype, shape and data_offsets.", name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise Refusal(
            "dtype_unsupported",
            f"The tensor type {str(dtype)[:20]!r} is not supported; F16, BF16 and F32 are.",
            "Convert the adapter with model.half() or model.to(torch.bfloat16) and save it again.",
            name,
        )
    if not _whole_numbers(shape) or not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise _invalid("safetensors_shape_invalid", f"A shape needs 1 to {MAX_DIMENSIONS} whole numbers.", name)
    if min(shape) < 1 or max(shape) >= MAX_DIMENSION:
        raise _invalid("safetensors_shape_invalid", "A dimension is zero or absurdly large.", name)
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _invalid("safetensors_offsets_invalid", "data_offsets needs a begin and an end.", name)
    if math.prod(shape) * ITEM_BYTES[dtype] != offsets[1] - offsets[0]:
        raise _invalid("safetensors_offsets_invalid", "The shape and the number of bytes disagree.", name)
    return Tensor(name, dtype, tuple(shape), offsets[0], offsets[1])


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int for number in value)
