"""Writes an accepted adapter as the one artifact that is served: a two-file tar.gz, byte for byte reproducible.

Nothing of the upload goes through as it came: the configuration is rebuilt from the settings that were checked, the
header of the weights is written anew, and only the tensors that serve are kept. The gzip stream is of stored blocks,
because compressed bytes differ between builds of zlib and trained weights hardly shrink.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from models_registry.inspection.archive import BLOCK
from models_registry.inspection.quick_header import ITEM_BYTES, Tensor
from models_registry.inspection.sources import CONFIG_NAME, WEIGHTS_NAME
from models_registry.inspection.verdict import Accepted

COPY_BYTES = 1024 * 1024
_STORED_BLOCK = 65_535
_GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
"""Deflate, no flags, mtime 0, no extra hints, unknown operating system."""


@dataclass(frozen=True)
class Artifact:
    """What was written: its sha256 (the name under which it is kept) and its length in bytes."""

    sha256: str
    size_bytes: int


def write_artifact(weights: BinaryIO, content: Accepted, out: BinaryIO) -> Artifact:
    """Writes the canonical archive of an accepted adapter to `out`.

    `weights` is the uploaded weights file, seekable, as spooled by the verdict. Memory: one MiB and the header.
    """
    kept = sorted(content.tensors.kept, key=lambda tensor: (-ITEM_BYTES[tensor.dtype], tensor.name))
    config = canonical_config(content)
    header = _header(kept)
    writer = _StoredGzip(out)
    writer.write(_tar_entry(CONFIG_NAME, len(config)) + config + bytes(-len(config) % BLOCK))
    size = len(header) + sum(tensor.end - tensor.start for tensor in kept)
    writer.write(_tar_entry(WEIGHTS_NAME, size) + header)
    for tensor in kept:
        for chunk in _values(weights, content.header.size_bytes, tensor):
            writer.write(chunk)
    writer.write(bytes(-size % BLOCK + 2 * BLOCK))
    return writer.finish()


def canonical_config(content: Accepted) -> bytes:
    """adapter_config.json with what the engine reads, what PEFT needs to load it again, and nothing else."""
    alpha = content.config.alpha or 0.0
    settings: dict[str, Any] = {
        "base_model_name_or_path": None,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": int(alpha) if alpha.is_integer() else alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": content.config.rank,
        "target_modules": list(content.tensors.target_modules),
        "task_type": "CAUSAL_LM",
        "use_rslora": content.config.use_rslora,
    }
    return (json.dumps(settings, sort_keys=True, indent=2) + "\n").encode()


def _header(tensors: Sequence[Tensor]) -> bytes:
    text = bytearray(b'{"__metadata__":{"format":"pt"}')
    position = 0
    for tensor in tensors:
        end = position + tensor.end - tensor.start
        shape = ",".join(map(str, tensor.shape))
        text += (
            f',{json.dumps(tensor.name)}:{{"dtype":"{tensor.dtype}","shape":[{shape}],'
            f'"data_offsets":[{position},{end}]}}'
        ).encode()
        position = end
    text += b"}"
    text += b" " * (-len(text) % 8)  # The format asks for values that start on a multiple of eight.
    return struct.pack("<Q", len(text)) + text


def _values(weights: BinaryIO, offset: int, tensor: Tensor) -> Iterator[bytes]:
    weights.seek(offset + tensor.start)
    remaining = tensor.end - tensor.start
    while remaining:
        chunk = weights.read(min(remaining, COPY_BYTES))
        if not chunk:
            raise EOFError(f"the spooled weights end inside {tensor.name}")
        remaining -= len(chunk)
        yield chunk


def _tar_entry(name: str, size: int) -> bytes:
    """A POSIX ustar header of a plain file: mode 0644, owner 0, time 0."""
    fields = struct.pack(
        "100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12s",
        name.encode(),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size,
        b"%011o\0" % 0,
        b" " * 8,
        b"0",
        b"",
        b"ustar\0",
        b"00",
        b"",
        b"",
        b"0000000\0",
        b"0000000\0",
        b"",
        b"",
    )
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


class _StoredGzip:
    """A gzip stream of stored blocks, cut at fixed lengths, so that its bytes depend on the content alone."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._sha256 = hashlib.sha256()
        self._crc = 0
        self._length = 0
        self._written = 0
        self._buffer = bytearray()
        self._emit(_GZIP_HEADER)

    def write(self, data: bytes) -> None:
        """Take more content."""
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._buffer += data
        # The last block is kept back: only finish() knows that it is the last.
        start = 0
        while len(self._buffer) - start > _STORED_BLOCK:
            self._block(bytes(self._buffer[start : start + _STORED_BLOCK]), last=False)
            start += _STORED_BLOCK
        del self._buffer[:start]

    def finish(self) -> Artifact:
        """Write the last block and the trailer."""
        self._block(bytes(self._buffer), last=True)
        self._emit(struct.pack("<II", self._crc, self._length & 0xFFFF_FFFF))
        return Artifact(self._sha256.hexdigest(), self._written)

    def _block(self, data: bytes, *, last: bool) -> None:
        self._emit(struct.pack("<BHH", int(last), len(data), len(data) ^ 0xFFFF) + data)

    def _emit(self, data: bytes) -> None:
        self._sha256.update(data)
        self._written += len(data)
        self._out.write(data)
