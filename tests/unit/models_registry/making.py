"""Makes uploads for tests: archives with the standard library's writer or by hand, and safetensors files by hand."""

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models_registry.inspection.engines import load_engine
from models_registry.inspection.sources import ArchiveSource, FilesSource, PlainFile
from models_registry.inspection.verdict import Verdict, inspect_adapter

SAMPLES = Path(__file__).resolve().parents[2] / "data" / "adapters"
ENGINE = load_engine("vllm-0.26")
BASE: dict[str, Any] = json.loads((SAMPLES / "base-tiny-llama" / "config.json").read_text())
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def sample(name: str) -> dict[str, bytes]:
    """The files of a sample adapter by name."""
    return {file.name: file.read_bytes() for file in sorted((SAMPLES / name).iterdir())}


def good() -> dict[str, bytes]:
    """The files of an adapter that is accepted."""
    return sample("ok-r8-qv")


def with_config(**changes: Any) -> dict[str, bytes]:
    """A good adapter whose configuration has these keys changed; a value of ... removes the key."""
    files = good()
    config = json.loads(files[CONFIG]) | changes
    kept = {key: value for key, value in config.items() if value is not ...}
    return files | {CONFIG: json.dumps(kept).encode()}


def unpack(weights: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and values of a safetensors file."""
    (length,) = struct.unpack("<Q", weights[:8])
    return json.loads(weights[8 : 8 + length]), weights[8 + length :]


def pack(header: Mapping[str, Any] | bytes, values: bytes) -> bytes:
    """A safetensors file of any header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def tensors(entries: Mapping[str, tuple[str, tuple[int, ...]]], fill: bytes = b"\x00\x00\x80\x3f") -> bytes:
    """A safetensors file of these names with dtype and shape, `fill` repeated as their values (1.0 as F32)."""
    header: dict[str, Any] = {}
    position = 0
    for name, (dtype, shape) in entries.items():
        size = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I8": 1}[dtype]
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    return pack(header, (fill * (position // len(fill) + 1))[:position])


def retensored(change: Callable[[dict[str, tuple[str, tuple[int, ...]]]], None]) -> dict[str, bytes]:
    """A good adapter whose tensors were changed by name, dtype or shape."""
    header, _ = unpack(good()[WEIGHTS])
    entries = {
        name: (entry["dtype"], tuple(entry["shape"])) for name, entry in header.items() if name != "__metadata__"
    }
    change(entries)
    return good() | {WEIGHTS: tensors(entries)}


def archive(files: Mapping[str, bytes], *, folder: str = "", tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """A .tar.gz as Python's tarfile writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tar_format) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            info.size, info.mtime = len(content), 1_790_000_000.25  # a fraction makes tarfile write a pax header
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def entry(
    name: bytes, content: bytes = b"", *, kind: bytes = b"0", magic: bytes = b"ustar\x0000", **fields: Any
) -> bytes:
    """One tar entry by hand, with any mistake one likes; `size` may lie about the content."""
    header = bytearray(512)
    header[0 : len(name)] = name[:100]
    header[100:108] = b"0000644\0"
    header[124:136] = fields.get("size", b"%011o\0" % len(content))
    header[136:148] = b"00000000000\0"
    header[156:157] = kind
    header[257 : 257 + len(magic)] = magic
    header[148:156] = b" " * 8
    header[148:156] = fields.get("checksum", b"%06o\0 " % sum(header))
    return bytes(header) + content + bytes(-len(content) % 512)


def raw_archive(*entries: bytes, end: bytes = bytes(1024)) -> bytes:
    """A gzip stream of tar entries made by hand."""
    return gzip.compress(b"".join(entries) + end, mtime=0)


def judge(upload: Mapping[str, bytes] | bytes, *, base: Mapping[str, Any] = BASE, **options: Any) -> Verdict:
    """The verdict over files, or over an archive's bytes."""
    if isinstance(upload, bytes):
        content = upload
        return inspect_adapter(ArchiveSource(lambda: io.BytesIO(content)), base=base, engine=ENGINE, **options)
    files = [PlainFile(name, len(data), lambda data=data: io.BytesIO(data)) for name, data in upload.items()]  # type: ignore[misc]
    return inspect_adapter(FilesSource(files), base=base, engine=ENGINE, **options)


def codes(verdict: Verdict) -> list[str]:
    """The codes of a verdict's errors."""
    return [finding.code for finding in verdict.findings if finding.severity == "error"]
