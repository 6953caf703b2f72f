"""The admission gate against its floors: `safetensors.safe_open` for the header, bare sha256 for the streamed pass.

The header verdict is everything that is known before a value is read: the header's own rules, and every tensor's name
and shape held against the base model.
"""

import hashlib
import io
import json
import random
import struct
import tempfile
from pathlib import Path
from typing import Any

from safetensors import safe_open

from bench.gate_memory import print_memory
from bench.measure import medians, print_ratio
from models_registry.inspection.adapter_config import AdapterConfig
from models_registry.inspection.architecture import Architecture, read_architecture
from models_registry.inspection.engines import EngineRules, load_engine
from models_registry.inspection.findings import Findings
from models_registry.inspection.safetensors import Header, read_header
from models_registry.inspection.tensors import check_tensors
from models_registry.inspection.values import scan_values

LAYERS = 1000
MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj")
TENSORS = LAYERS * len(MODULES) * 2
WIDTH = 16
STREAMED_BYTES = 256 << 20
READ_BYTES = 1 << 20
ENGINE = "vllm-0.26"


def base_model(layers: int) -> dict[str, Any]:
    """The config.json of a model in which every adapted matrix is square."""
    return {
        "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": layers,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 100,
    }  # fmt: skip


def adapter_header(layers: int, rank: int) -> dict[str, Any]:
    """The header of a BF16 adapter of that rank on that base model."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position, size = 0, 2 * rank * WIDTH
    for layer in range(layers):
        for module in MODULES:
            for side, shape in (("A", [rank, WIDTH]), ("B", [WIDTH, rank])):
                header[f"base_model.model.model.layers.{layer}.{module}.lora_{side}.weight"] = {
                    "dtype": "BF16",
                    "shape": shape,
                    "data_offsets": [position, position + size],
                }
                position += size
    return header


def safetensors_file(path: Path, header: dict[str, Any], size: int) -> Path:
    """A file of that header, `size` bytes of random, finite BF16 values behind it."""
    noise = bytearray(random.Random(1).randbytes(READ_BYTES))
    noise[1::2] = bytes(byte & 0x3F for byte in noise[1::2])  # clear the top exponent bit: every value is finite
    text = json.dumps(header, separators=(",", ":")).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for start in range(0, size, READ_BYTES):
            file.write(noise[: min(READ_BYTES, size - start)])
    return path


def header_verdict(path: Path, config: AdapterConfig, base: Architecture, engine: EngineRules) -> Header:
    """What the gate says before it looks at any value."""
    findings = Findings()
    with path.open("rb") as file:
        header = read_header(file.read, path.stat().st_size)
    kept = check_tensors(header.tensors, config, base, engine, findings).kept
    if findings.refuses or len(kept) != len(header.tensors):
        raise AssertionError(findings.told())
    return header


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


def print_streamed(folder: Path) -> None:
    """The streamed pass against the digest alone."""
    rank = STREAMED_BYTES // (2 * WIDTH * 2 * len(MODULES))
    large = safetensors_file(folder / "large", adapter_header(1, rank), rank * 2 * WIDTH * 2 * len(MODULES))
    content = large.read_bytes()
    with large.open("rb") as file:
        header = read_header(file.read, len(content))
    found = medians({"ours": lambda: streamed_pass(content, header), "sha256": lambda: digest_alone(content)}, rounds=7)
    print_ratio(f"digest and values, {STREAMED_BYTES >> 20} MiB", found["ours"], "sha256 alone", found["sha256"])


def main() -> None:
    """Measure the header, the streamed pass and the memory, and print them."""
    engine = load_engine(ENGINE)
    config = AdapterConfig(rank=1, alpha=1.0, use_rslora=False, claimed_base="", brings_layers=False)
    with tempfile.TemporaryDirectory() as folder:
        base = read_architecture(base_model(LAYERS))
        many = safetensors_file(Path(folder) / "many", adapter_header(LAYERS, 1), 2 * WIDTH * TENSORS)
        found = medians(
            {"ours": lambda: header_verdict(many, config, base, engine), "library": lambda: library_header(many)},
            rounds=15,
        )
        print_ratio(
            f"header verdict, {TENSORS:,} tensors", found["ours"], "safe_open, keys and shapes", found["library"]
        )

        print_streamed(Path(folder))
        print_memory(Path(folder))


if __name__ == "__main__":
    main()
