"""Header rules, pickles under other names, values, and seeded mutants held against the safetensors library."""

import io
import json
import pickle
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load

from models_registry.inspection.repack import write_artifact
from models_registry.inspection.safetensors import MAX_HEADER_BYTES
from tests.unit.models_registry.making import (
    CONFIG,
    WEIGHTS,
    archive,
    codes,
    good,
    judge,
    pack,
    sample,
    tensors,
    unpack,
)

A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
HEADER, VALUES = unpack(good()[WEIGHTS])


def weights(content: bytes) -> dict[str, bytes]:
    return good() | {WEIGHTS: content}


def changed(**changes: object) -> bytes:
    """The good header with keys of the first tensor changed."""
    return pack(HEADER | {A: HEADER[A] | changes}, VALUES)


def renumbered(text: str, instead: str) -> bytes:
    raw = json.dumps(HEADER)
    assert text in raw
    return pack(raw.replace(text, instead, 1).encode(), VALUES)


HEADERS = {
    "empty file": (b"", "safetensors_truncated"),
    "five bytes": (b"\0" * 5, "safetensors_truncated"),
    "huge length": (struct.pack("<Q", 2**63) + VALUES, "safetensors_header_too_large"),
    "100 MB header": (struct.pack("<Q", 100_000_000) + VALUES, "safetensors_header_too_large"),
    "header beyond the end": (struct.pack("<Q", 1 << 20) + b"{}", "safetensors_truncated"),
    "not JSON": (pack(b"{nope}", VALUES), "safetensors_header_invalid"),
    "an array": (pack(b"[]", VALUES), "safetensors_header_invalid"),
    "leading space": (pack(b" " + json.dumps(HEADER).encode(), VALUES), "safetensors_header_invalid"),
    "deep JSON": (pack(b'{"a":' * 100_000, b""), "safetensors_header_invalid"),
    "not UTF-8": (pack(b'{"\xff":1}', b""), "safetensors_header_invalid"),
    "lone surrogate": (pack(b'{"\\ud800":1}', b""), "safetensors_header_invalid"),
    "no tensors": (pack({}, b""), "safetensors_empty"),
    "only metadata": (pack({"__metadata__": {"a": "b"}}, b""), "safetensors_empty"),
    "metadata number": (pack(HEADER | {"__metadata__": {"a": 1}}, VALUES), "safetensors_header_invalid"),
    "metadata null": (pack(HEADER | {"__metadata__": None}, VALUES), "safetensors_header_invalid"),
    "metadata surrogate": (pack(HEADER | {"__metadata__": {"a": "\ud800"}}, VALUES), "safetensors_header_invalid"),
    "duplicate name": (
        pack(json.dumps(HEADER)[:-1].encode() + f', "{A}": {{}}}}'.encode(), VALUES),
        "safetensors_header_invalid",
    ),
    "duplicate key": (
        renumbered('"shape": [8, 64]', '"shape": [8, 64], "shape": [8, 64]'),
        "safetensors_header_invalid",
    ),
    "extra key": (changed(extra=1), "safetensors_header_invalid"),
    "missing key": (pack(HEADER | {A: {"dtype": "F32"}}, VALUES), "safetensors_header_invalid"),
    "tensor null": (pack(HEADER | {A: None}, VALUES), "safetensors_header_invalid"),
    "unnamed tensor": (pack({"": HEADER[A]}, VALUES[:2048]), "safetensors_header_invalid"),
    "NUL in a name": (pack({"a\0b": HEADER[A]}, VALUES[:2048]), "safetensors_header_invalid"),
    "F64": (changed(dtype="F64"), "dtype_unsupported"),
    "I8": (changed(dtype="I8"), "dtype_unsupported"),
    "dtype number": (changed(dtype=1), "dtype_unsupported"),
    "dtype list": (changed(dtype=[]), "dtype_unsupported"),
    "zero dimension": (changed(shape=[0, 64]), "safetensors_shape_invalid"),
    "negative dimension": (changed(shape=[-8, -64]), "safetensors_header_invalid"),
    "2^62": (changed(shape=[2**62, 64]), "safetensors_shape_invalid"),
    "no dimension": (changed(shape=[]), "safetensors_shape_invalid"),
    "five dimensions": (changed(shape=[8, 64, 1, 1, 1]), "safetensors_shape_invalid"),
    "true as one": (changed(shape=[True, 512]), "safetensors_shape_invalid"),
    "fraction": (changed(shape=[8.0, 64]), "safetensors_header_invalid"),
    "exponent": (renumbered("2048", "2.048e3"), "safetensors_header_invalid"),
    "minus zero": (renumbered("[0, 2048]", "[-0, 2048]"), "safetensors_header_invalid"),
    "NaN": (renumbered("[0, 2048]", "[NaN, 2048]"), "safetensors_header_invalid"),
    "5000 digits": (renumbered("[0, 2048]", f"[{'9' * 5000}, 2048]"), "safetensors_header_invalid"),
    "overlap": (changed(data_offsets=[0, 4096], shape=[16, 64]), "safetensors_offsets_invalid"),
    "hole": (changed(data_offsets=[4, 2048]), "safetensors_offsets_invalid"),
    "backwards": (changed(data_offsets=[2048, 0]), "safetensors_offsets_invalid"),
    "three offsets": (changed(data_offsets=[0, 1, 2048]), "safetensors_offsets_invalid"),
    "shape and bytes disagree": (changed(shape=[8, 63]), "safetensors_offsets_invalid"),
    "trailing byte": (good()[WEIGHTS] + b"x", "safetensors_size_mismatch"),
    "one byte short": (good()[WEIGHTS][:-1], "safetensors_size_mismatch"),
}


@pytest.mark.parametrize(("content", "code"), HEADERS.values(), ids=HEADERS.keys())
def test_refused_headers(content: bytes, code: str) -> None:
    assert codes(judge(weights(content))) == [code]


def test_too_many_tensors() -> None:
    entry = {"dtype": "F16", "shape": [1]}
    header = {f"t{n}": entry | {"data_offsets": [2 * n, 2 * n + 2]} for n in range(50_001)}
    assert codes(judge(weights(pack(header, bytes(2 * len(header)))))) == ["safetensors_too_many_tensors"]
    assert len(json.dumps(header)) < MAX_HEADER_BYTES


def pickles() -> list[bytes]:
    values: list[object] = [{}, [], {"a": 1}, [1] * 100, "text" * 50, {"w": np.zeros(4)}, (1, 2), b"x" * 70_000]
    samples = [pickle.dumps(value, protocol) for value in values for protocol in range(6)]
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", compression) as zipped:
            zipped.writestr("archive/data.pkl", samples[5])
        samples += [out.getvalue(), out.getvalue()[:-20]]
    samples.append(b"7z\xbc\xaf\x27\x1c" + samples[5])
    samples.append(sample("bad-pickle-only")["adapter_model.bin"])
    samples.append(b"cposix\nsystem\n(S'true'\ntR.")
    samples.append(b"cos\nsystem\n(S'true'\ntR.")
    samples.append(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    return samples


def test_pickles_are_refused_under_any_name() -> None:
    samples = pickles()
    assert len(samples) > 50
    for content in samples:
        assert not judge(weights(content)).accepted
        assert not judge(good() | {CONFIG: content}).accepted
        for name in ("adapter_model.bin", "x.pt", "x.pkl", "X.PTH", "optimizer.ckpt"):
            assert "pickle_refused" in codes(judge(good() | {name: content}))
    binary = [content for content in samples if content[:1] == b"\x80" or content[:2] in (b"PK", b"7z")]
    for content in binary:
        assert codes(judge(weights(content))) == ["pickle_refused"]


def test_a_header_whose_length_looks_like_a_pickle_is_none() -> None:
    """0x0180 bytes of header begin with 80 01, as a pickle of protocol 1 would."""
    for length in (0x0180, 0x0280, 0x010480):
        text = json.dumps({A: HEADER[A]})
        content = pack(text.ljust(length).encode(), VALUES[:2048])
        assert "pickle_refused" not in codes(judge(weights(content)))


PATTERNS = {
    "F32": {
        "nan": b"\x00\x00\xc0\x7f",
        "signalling": b"\x01\x00\x80\x7f",
        "inf": b"\x00\x00\x80\x7f",
        "-inf": b"\x00\x00\x80\xff",
    },
    "F16": {"nan": b"\x00\x7e", "inf": b"\x00\x7c", "-inf": b"\x00\xfc"},
    "BF16": {"nan": b"\xc0\x7f", "inf": b"\x80\x7f", "-inf": b"\x80\xff"},
}
ONE = {"F32": b"\x00\x00\x80\x3f", "F16": b"\x00\x3c\x00\x3c", "BF16": b"\x80\x3f\x80\x3f"}


def of_dtype(dtype: str, fill: bytes) -> bytes:
    entries = {name: (dtype, tuple(entry["shape"])) for name, entry in HEADER.items() if name != "__metadata__"}
    return tensors(entries, fill)


@pytest.mark.parametrize("dtype", PATTERNS)
def test_nan_and_infinity_are_found_wherever_they_are(dtype: str) -> None:
    content = of_dtype(dtype, ONE[dtype])
    assert judge(weights(content)).accepted
    (length,) = struct.unpack("<Q", content[:8])
    size = len(next(iter(PATTERNS[dtype].values())))
    count = (len(content) - 8 - length) // size
    places = [0, count - 1, *(random.Random(3).randrange(count) for _ in range(20))]
    for pattern in PATTERNS[dtype].values():
        for place in places:
            planted = bytearray(content)
            at = 8 + length + place * size
            planted[at : at + size] = pattern
            assert codes(judge(weights(bytes(planted)))) == ["nan_or_inf"]


@pytest.mark.parametrize("dtype", PATTERNS)
def test_all_zero_is_a_warning(dtype: str) -> None:
    for fill in (bytes(4), b"\x00\x80\x00\x80" if dtype != "F32" else b"\x00\x00\x00\x80"):
        verdict = judge(weights(of_dtype(dtype, fill)))
        assert verdict.accepted
        assert [finding.code for finding in verdict.findings] == ["all_zero"]


def test_an_untrained_adapter_changes_nothing() -> None:
    """PEFT starts with lora_B at zero: not all is zero, but the product is."""
    header, values = unpack(good()[WEIGHTS])
    content = bytearray(values)
    for name, entry in header.items():
        if "lora_B" in name:
            begin, end = entry["data_offsets"]
            content[begin:end] = bytes(end - begin)
    verdict = judge(weights(pack(header, bytes(content))))
    assert [finding.code for finding in verdict.findings] == ["all_zero"]


def mutants(count: int, seed: int) -> list[bytes]:
    """Files near a good one: flipped bytes, cut or doubled pieces, numbers moved, header texts exchanged."""
    rng = random.Random(seed)
    original = good()[WEIGHTS]
    (length,) = struct.unpack("<Q", original[:8])
    words = [
        b"0",
        b"8",
        b"64",
        b"2048",
        b"-1",
        b"null",
        b"true",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b" ",
        b"F16",
        b"1e2",
    ]
    made = []
    for _ in range(count):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            where = rng.randrange(8 + length) if rng.random() < 0.9 else rng.randrange(len(data))
            match rng.randrange(6):
                case 0:
                    data[where % len(data)] ^= 1 << rng.randrange(8)
                case 1:
                    del data[where : where + rng.randint(1, 8)]
                case 2:
                    data[where:where] = rng.choice(words)
                case 3:
                    word = rng.choice(words)
                    data[where : where + len(word)] = word
                case 4:
                    begin = rng.randrange(8 + length)
                    data[where:where] = data[begin : begin + rng.randint(1, 40)]
                case _:
                    data[:8] = struct.pack("<Q", max(0, length + rng.randint(-9, 9)))
        if rng.random() < 0.5:  # most mutants should reach the JSON, not fail at its length
            data[:8] = struct.pack("<Q", max(0, length + len(data) - len(original)))
        made.append(bytes(data))
    return made


@pytest.mark.parametrize("seed", range(4))
def test_what_we_accept_the_library_accepts_too(seed: int, tmp_path: Path) -> None:
    accepted = 0
    path = tmp_path / "mutant.safetensors"
    for content in mutants(1000, seed):
        spool = io.BytesIO()
        verdict = judge(weights(content), spool=spool)
        if not verdict.accepted:
            continue
        accepted += 1
        path.write_bytes(content)
        with safetensors.safe_open(path, framework="np") as theirs:
            assert set(theirs.keys()) == {tensor.name for tensor in verdict.content.header.tensors}
        out = io.BytesIO()
        write_artifact(spool, verdict.content, out)
        repacked = judge(out.getvalue())
        assert repacked.accepted
        assert load(content).keys() == {tensor.name for tensor in repacked.content.header.tensors}
    assert accepted > 10  # value bits and metadata may change harmlessly, so the property is not empty


def test_mutated_archives_never_crash() -> None:
    rng = random.Random(11)
    original = archive(good(), folder="f")
    for _ in range(300):
        data = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        assert judge(bytes(data)).facts["engine"]
