"""The quick way through a header that is written as the safetensors library writes it.

A typed parser in C reads and bounds every entry; Python only compares whole columns. Whatever is unusual, right or
wrong, gives None, and the strict reader in `safetensors` looks at it and says why.
"""

from __future__ import annotations

import re
from functools import partial
from itertools import pairwise
from math import prod
from operator import attrgetter, itemgetter, mul, sub
from typing import Annotated, Literal, NamedTuple

import msgspec

MAX_TENSORS = 50_000
MAX_DIMENSIONS = 4
MAX_DIMENSION = 2**31
MAX_NAME_LENGTH = 512
ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4}

_METADATA = b'{"__metadata__":'
# A minus where a number may stand (or, harmlessly, inside a name): "-0" is zero to most parsers, not to safetensors.
_SIGN = re.compile(rb"[\[,:]\s*-")
_QUOTES_OF_ENTRY = 10
"""Two each around the name, three keys and the dtype."""


class Tensor(NamedTuple):
    """One tensor of the file; `start` and `end` are byte offsets behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


_Dimension = Annotated[int, msgspec.Meta(ge=1, lt=MAX_DIMENSION)]
_Offset = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    dtype: Literal["F16", "BF16", "F32"]
    shape: Annotated[tuple[_Dimension, ...], msgspec.Meta(min_length=1, max_length=MAX_DIMENSIONS)]
    data_offsets: tuple[_Offset, _Offset]


_ENTRIES = msgspec.json.Decoder(dict[str, _Entry])
_WORDS = msgspec.json.Decoder(dict[str, str])


def quick_tensors(text: bytes, data_bytes: int) -> tuple[Tensor, ...] | None:
    """The tensors in the order of their bytes, or None when the strict reader must look; see safetensors.read_header.

    Without escapes every quote in the text delimits a key or a string, so their number shows whether a name or a key
    came twice, which a parser into a dictionary would not tell.
    """
    if not text.startswith(b"{") or b"\\" in text or (b"-" in text and _SIGN.search(text)):
        return None
    try:
        entries_text = _without_metadata(text) if text.startswith(_METADATA) else text
        entries = _ENTRIES.decode(entries_text)
    except (msgspec.MsgspecError, ValueError):
        return None
    if not 0 < len(entries) <= MAX_TENSORS or entries_text.count(b'"') != _QUOTES_OF_ENTRY * len(entries):
        return None
    names = list(entries)
    # The parser has refused the control characters before the space.
    is_printable = (text.isascii() and b"\x7f" not in text) or "".join(names).isprintable()
    if "" in entries or max(map(len, names)) > MAX_NAME_LENGTH or not is_printable:
        return None
    return _in_order(names, list(entries.values()), data_bytes)


def _without_metadata(text: bytes) -> bytes:
    """The header without its first entry, which must be an object of texts. Raises ValueError when it is not."""
    end = text.index(b"}", len(_METADATA)) + 1
    block = text[len(_METADATA) : end]
    words = _WORDS.decode(block)
    if block.count(b'"') != 4 * len(words):
        raise ValueError("a key occurs twice")
    if text[end : end + 1] != b",":
        raise ValueError("nothing follows the metadata")
    return b"{" + text[end + 1 :]


def _in_order(names: list[str], entries: list[_Entry], data_bytes: int) -> tuple[Tensor, ...] | None:
    offsets = list(map(attrgetter("data_offsets"), entries))
    starts, ends = list(map(itemgetter(0), offsets)), list(map(itemgetter(1), offsets))
    dtypes, shapes = list(map(attrgetter("dtype"), entries)), list(map(attrgetter("shape"), entries))
    if list(map(mul, map(prod, shapes), map(ITEM_BYTES.__getitem__, dtypes))) != list(map(sub, ends, starts)):
        return None
    # What Tensor(...) does for each, without the way through Python.
    tensors = list(map(partial(tuple.__new__, Tensor), zip(names, dtypes, shapes, starts, ends, strict=True)))
    if starts[0] != 0 or starts[1:] != ends[:-1]:
        tensors.sort(key=itemgetter(3))
        if tensors[0].start != 0 or any(after.start != before.end for before, after in pairwise(tensors)):
            return None
    return tuple(tensors) if tensors[-1].end == data_bytes else None
