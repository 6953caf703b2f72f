"""How much memory the gate takes for the largest headers it reads, in a fresh process each."""

import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from models_registry.inspection.engines import load_engine
from models_registry.inspection.repack import write_artifact
from models_registry.inspection.sources import CONFIG_NAME, WEIGHTS_NAME, source_from_path
from models_registry.inspection.verdict import inspect_adapter

TENSORS = 49_000
MODULES = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)  # fmt: skip
LAYERS = TENSORS // len(MODULES) // 2
WIDTH, VALUES = 8, 4
"""Tiny matrices: the header is what memory is needed for; values are read a mebibyte at a time."""
BASE: dict[str, Any] = {
    "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": LAYERS,
    "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 100,
}  # fmt: skip
ENGINE = "vllm-0.26"


def largest_adapter(folder: Path, *, is_unusual: bool) -> Path:
    """An adapter of 49,000 tensors in `folder`; an unusual header goes the strict reader's way."""
    header: dict[str, Any] = {}
    size = 2 * WIDTH
    for layer in range(LAYERS):
        for name in MODULES:
            for side, shape in (("A", [1, WIDTH]), ("B", [WIDTH, 1])):
                start = len(header) * size
                header[f"base_model.model.model.layers.{layer}.{name}.lora_{side}.weight"] = {
                    "dtype": "BF16",
                    "shape": shape,
                    "data_offsets": [start, start + size],
                }
    total = len(header) * size
    if is_unusual:
        header["__metadata__"] = {"format": "pt"}
    text = json.dumps(header, separators=(",", ":")).encode()
    folder.mkdir()
    (folder / WEIGHTS_NAME).write_bytes(struct.pack("<Q", len(text)) + text + b"\x00\x3c" * (total // 2))
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": "all-linear"}
    (folder / CONFIG_NAME).write_text(json.dumps(settings))
    return folder


def peak_bytes() -> int:
    """The largest resident size that this process has had."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def judge_and_print(folder: str) -> None:
    """Judge and repack in this process; print by how many bytes its peak has grown since everything was imported."""
    engine = load_engine(ENGINE)
    before = peak_bytes()
    with tempfile.TemporaryFile() as spool, tempfile.TemporaryFile() as packed:
        verdict = inspect_adapter(source_from_path(Path(folder)), base=BASE, engine=engine, spool=spool)
        if verdict.content is None:
            raise AssertionError(verdict.findings)
        write_artifact(spool, verdict.content, packed)
    print(peak_bytes() - before)


def print_memory(folder: Path) -> None:
    """Two lines: the usual and the unusual header."""
    for what, is_unusual in (("as the library writes it", False), ("read the strict way", True)):
        adapter = largest_adapter(folder / what, is_unusual=is_unusual)
        code = f"from bench.gate_memory import judge_and_print; judge_and_print({str(adapter)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        print(f"memory of {TENSORS:,} tensors, {what:<26} {int(done.stdout) / 2**20:6.1f} MiB above the interpreter")
