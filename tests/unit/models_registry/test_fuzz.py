"""Files near good ones, by the thousand: what the gate accepts the safetensors library opens, and repacks equal.

A file that the header's reader refuses is refused by the gate, so most mutants need not go further.
"""

import gc
import gzip
import io
import json
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import safetensors

from models_registry.inspection.findings import Refusal
from models_registry.inspection.quick_header import Tensor, quick_tensors
from models_registry.inspection.repack import write_artifact
from models_registry.inspection.safetensors import read_header, strict_tensors
from models_registry.inspection.sources import FilesSource, PlainFile
from models_registry.inspection.verdict import inspect_adapter
from tests.unit.models_registry.making import BASE, CONFIG, ENGINE, WEIGHTS, archive, codes, good, judge, sample, unpack

SAMPLES = ("ok-r8-qv", "ok-r16-all", "ok-r8-bf16")
KEPT_SETTINGS = {
    "base_model_name_or_path", "bias", "inference_mode", "lora_alpha", "lora_dropout", "peft_type", "r",
    "target_modules", "task_type", "use_rslora",
}  # fmt: skip
OFTEN = ("ok-r8-qv",) * 7 + ("ok-r8-bf16",) * 2 + ("ok-r16-all",)
"""Small files make the same mistakes in less time."""
WORDS = [b"0", b"8", b"64", b"2048", b"-1", b"-0", b"null", b"true", b'"', b"{", b"}", b"[", b"]", b",", b" ", b"F16"]
WORDS += [
    b"BF16",
    b"F32",
    b"1e2",
    b"0.5",
    b"\\u0041",
    b"\\",
    b'"__metadata__":{},',
    b'"dtype":"F32",',
    b"\xff",
    b"\x7f",
]
SLOWEST_SECONDS = 0.05
"""Of the processor, so that other work on this machine does not count."""


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """The sample's name, and its weights with bytes flipped, cut, doubled, or words of headers put in."""
    rng = random.Random(seed)
    originals = {name: sample(name)[WEIGHTS] for name in SAMPLES}
    for number in range(count):
        name = OFTEN[number % len(OFTEN)]
        original = originals[name]
        (length,) = struct.unpack("<Q", original[:8])
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            mutate(data, length, rng)
        if rng.random() < 0.7:  # most should reach the JSON, not fail at its length
            data[:8] = struct.pack("<Q", max(0, length + len(data) - len(original)))
        yield name, bytes(data)


def mutate(data: bytearray, length: int, rng: random.Random) -> None:
    where = rng.randrange(8 + length) if rng.random() < 0.9 else rng.randrange(len(data))
    match rng.randrange(7):
        case 0:
            data[where % len(data)] ^= 1 << rng.randrange(8)
        case 1:
            del data[where : where + rng.randint(1, 8)]
        case 2:
            data[where:where] = rng.choice(WORDS)
        case 3:
            word = rng.choice(WORDS)
            data[where : where + len(word)] = word
        case 4:
            begin = rng.randrange(8 + length)
            data[where:where] = data[begin : begin + rng.randint(1, 400)]
        case 5:
            data[:8] = struct.pack("<Q", max(0, length + rng.randint(-9, 9)))
        case _:
            data[8 + length :] = bytes(data[8 + length :])[: rng.randrange(len(data) - 8 - length)]


def both_ways_agree(content: bytes) -> bool:
    """Whether the header is accepted; the quick reader may only accept what the strict one reads the same."""
    try:
        read_header(io.BytesIO(content).read, len(content))
        accepted = True
    except Refusal:
        accepted = False
    length = int.from_bytes(content[:8], "little")
    text, size = content[8 : 8 + length], len(content) - 8 - length
    quick: tuple[Tensor, ...] | None = quick_tensors(text, size) if len(text) == length else None
    if quick is not None:
        assert accepted and quick == strict_tensors(text, size)
    return accepted


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the collector, which looks through all that the test process holds: its pauses are not the gate's."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def check(count: int, seed: int) -> int:
    """How many were accepted."""
    accepted = 0
    for name, content in mutants(count, seed):
        with undisturbed():
            began = time.thread_time()
            if not both_ways_agree(content):
                continue
            spool = io.BytesIO()
            verdict = judge(sample(name) | {WEIGHTS: content}, spool=spool)
            assert time.thread_time() - began < SLOWEST_SECONDS
        theirs = dict(safetensors.deserialize(content))
        assert theirs.keys() == {tensor.name for tensor in read_header(io.BytesIO(content).read, len(content)).tensors}
        if verdict.content is None:
            continue
        accepted += 1
        out = io.BytesIO()
        write_artifact(spool, verdict.content, out)
        again = judge(out.getvalue())
        assert again.accepted and again.content is not None
        packed = gzip.decompress(out.getvalue())
        begin = packed.index(b'{"__metadata__"') - 8
        size = again.content.header.size_bytes + again.content.header.tensors[-1].end
        ours = dict(safetensors.deserialize(packed[begin : begin + size]))
        assert ours == {tensor.name: theirs[tensor.name] for tensor in verdict.content.tensors.kept}
    return accepted


@pytest.mark.parametrize("seed", range(4))
def test_what_we_accept_the_library_opens_and_repacks_equal(seed: int) -> None:
    assert check(5_000, seed) > 100  # bits of values and metadata may change harmlessly: the property is not empty


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_hundred_thousand_mutants() -> None:
    assert check(200_000, 99) > 4_000


def test_mutants_take_little_memory() -> None:
    tracemalloc.start()
    for name, content in mutants(300, 77):
        judge(sample(name) | {WEIGHTS: content}, spool=io.BytesIO())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_what_changes_between_two_reads_is_refused_or_judged_as_it_is_stored() -> None:
    """Replaced after the first look: what is repacked is what the second read judged, never a mixture."""
    rng, first, accepted = random.Random(7), good(), 0
    (length,) = struct.unpack("<Q", first[WEIGHTS][:8])
    for number in range(100):
        second = {name: bytearray(content) for name, content in first.items()}
        name = CONFIG if number % 4 == 0 else WEIGHTS
        at = rng.randrange(len(second[name])) if number % 4 < 2 else 8 + length + rng.randrange(1000)
        second[name][at] ^= 1 << rng.randrange(8)
        reads = {name: iter([first[name], bytes(second[name])]) for name in first}
        files = [PlainFile(name, len(first[name]), lambda of=of: io.BytesIO(next(of))) for name, of in reads.items()]  # type: ignore[misc]
        spool = io.BytesIO()
        verdict = inspect_adapter(FilesSource(files), base=BASE, engine=ENGINE, spool=spool)
        if verdict.content is None:
            assert codes(verdict), (name, at)
            continue
        accepted += 1
        assert name == WEIGHTS and spool.getvalue() == second[WEIGHTS]
        assert judge({name: bytes(content) for name, content in second.items()}).accepted
    assert 20 < accepted < 76


CONFIGURATIONS = [1_500, pytest.param(20_000, marks=pytest.mark.long)]


@pytest.mark.parametrize("count", CONFIGURATIONS)
def test_mutated_configurations_never_crash(count: int) -> None:
    """Settings flipped, doubled and nested: every answer is a verdict, and only a whole configuration is accepted."""
    rng = random.Random(5)
    original = good()[CONFIG]
    words = [b"null", b"true", b"-1", b"1e999", b"[]", b"{}", b'"x"', b"NaN", b"\\ud800", b"9" * 400, b"[" * 300]
    accepted = 0
    for _ in range(count):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            where = rng.randrange(len(data))
            word = rng.choice(words) if rng.random() < 0.5 else bytes([rng.randrange(256)])
            data[where : where + rng.choice((0, len(word)))] = word
        verdict = judge(good() | {CONFIG: bytes(data)})
        accepted += verdict.accepted
        assert verdict.accepted or codes(verdict)
    assert accepted > 20


def any_value(rng: random.Random, depth: int = 3) -> Any:
    """Some JSON value: of every type, nested, large, or looking like what PEFT writes."""
    plain: list[Any] = [
        None, True, False, 0, -1, 8, 8.0, 0.5, 1e308, 1 << 70, "", "none", "all", "lora_only", "LORA", "q_proj",
        "https://x", "\udcff", "x" * rng.choice((1, 5_000)), ["q_proj", "v_proj"], {"q_proj": 4},
    ]  # fmt: skip
    if depth and rng.random() < 0.3:
        values = [any_value(rng, depth - 1) for _ in range(rng.randrange(4))]
        return values if rng.random() < 0.5 else {str(any_value(rng, 0)): value for value in values}
    return rng.choice(plain)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", CONFIGURATIONS)
def test_settings_of_any_value_never_crash_and_never_come_through(count: int) -> None:
    """Settings known and unknown, with values of every type; what is repacked has the allowed keys and no other."""
    rng = random.Random(9)
    original = json.loads(good()[CONFIG])
    keys = [*original, "modules_to_save", "use_dora", "auto_mapping", "revision", "layer_replication", "trust_me"]
    accepted = 0
    for _ in range(count):
        changes = {rng.choice(keys): any_value(rng) for _ in range(rng.choice((1, 1, 2, 5)))}
        spool = io.BytesIO()
        verdict = judge(good() | {CONFIG: json.dumps(original | changes).encode()}, spool=spool)
        assert verdict.accepted or codes(verdict)
        if verdict.content is None:
            continue
        accepted += 1
        if accepted % 10 == 0:
            out = io.BytesIO()
            write_artifact(spool, verdict.content, out)
            text = gzip.decompress(out.getvalue())[512:]
            kept = json.loads(text[: text.index(b"\0")])
            assert kept.keys() <= KEPT_SETTINGS and kept["r"] == 8 and kept["base_model_name_or_path"] is None
    assert accepted > count / 50


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_mutated_archives_never_crash(count: int) -> None:
    rng = random.Random(11)
    original = archive(good(), folder="f")
    for _ in range(count):
        data = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        assert judge(bytes(data)).facts["engine"]


def test_the_quick_reader_reads_what_the_library_writes() -> None:
    """It would be no harm, but no help either, if every file took the strict way."""
    for name in SAMPLES:
        content = sample(name)[WEIGHTS]
        (length,) = struct.unpack("<Q", content[:8])
        header, values = unpack(content)
        quick = quick_tensors(content[8 : 8 + length], len(values))
        assert quick is not None and {tensor.name for tensor in quick} == header.keys() - {"__metadata__"}
