"""The admission gate against its floors: `safetensors.safe_open` for the header, bare sha256 for the streamed pass."""

import hashlib
import io
import json
import random
import struct
import tempfile
from pathlib import Path

from safetensors import safe_open

from bench.measure import medians, print_ratio
from models_registry.inspection.findings import Findings
from models_registry.inspection.safetensors import Header, read_header
from models_registry.inspection.values import scan_values

TENSORS = 10_000
STREAMED_BYTES = 256 << 20
READ_BYTES = 1 << 20


def safetensors_file(path: Path, tensors: int, tensor_bytes: int) -> Path:
    """A BF16 file of equal tensors with random, finite values."""
    noise = bytearray(random.Random(1).randbytes(min(tensor_bytes, READ_BYTES)))
    noise[1::2] = bytes(byte & 0x3F for byte in noise[1::2])  # clear the top exponent bit: every value is finite
    body = (bytes(noise) * (tensor_bytes // len(noise) + 1))[:tensor_bytes]
    header = {
        f"base_model.model.model.layers.{number}.self_attn.q_proj.lora_A.weight": {
            "dtype": "BF16",
            "shape": [tensor_bytes // 2],
            "data_offsets": [number * tensor_bytes, (number + 1) * tensor_bytes],
        }
        for number in range(tensors)
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(tensors):
            file.write(body)
    return path


def header_verdict(path: Path) -> Header:
    """What the gate reads before it looks at any value."""
    with path.open("rb") as file:
        return read_header(file.read, path.stat().st_size)


def library_header(path: Path) -> None:
    """Names and shapes through the safetensors library."""
    with safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118  (safe_open is no mapping)
            file.get_slice(name).get_shape()


def streamed_pass(content: bytes, header: Header) -> None:
    """Digest and values in one pass, as validation does it."""
    stream, digest = io.BytesIO(content), hashlib.sha256()

    def read(count: int) -> bytes:
        data = stream.read(count)
        digest.update(data)
        return data

    read(header.size_bytes)
    scan_values(read, header.tensors, Findings())


def digest_alone(content: bytes) -> None:
    """The floor of the streamed pass."""
    stream, digest = io.BytesIO(content), hashlib.sha256()
    while data := stream.read(READ_BYTES):
        digest.update(data)


def main() -> None:
    """Measure both and print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        many = safetensors_file(Path(folder) / "many.safetensors", TENSORS, 64)
        found = medians({"ours": lambda: header_verdict(many), "library": lambda: library_header(many)})
        print_ratio(
            f"header verdict, {TENSORS:,} tensors", found["ours"], "safe_open, keys and shapes", found["library"]
        )

        large = safetensors_file(Path(folder) / "large.safetensors", 64, STREAMED_BYTES // 64)
        content, header = large.read_bytes(), header_verdict(large)
        found = medians(
            {"ours": lambda: streamed_pass(content, header), "sha256": lambda: digest_alone(content)}, rounds=3
        )
        print_ratio(f"digest and values, {STREAMED_BYTES >> 20} MiB", found["ours"], "sha256 alone", found["sha256"])


if __name__ == "__main__":
    main()
