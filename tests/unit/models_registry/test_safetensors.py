"""Header rules, pickles under other names, values, and seeded mutants held against the safetensors library."""

import io
import json
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest

from models_registry.inspection.safetensors import MAX_HEADER_BYTES
from tests.unit.models_registry.making import (
    CONFIG,
    WEIGHTS,
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
    values: list[object] = [{}, [], {"a": 1}, [1] * 100, "text" * 50, {"w": np.zeros(4)}, (1, 2), b"x" * 70_000, {1, 2}]
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
    assert len(samples) > 60
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
@pytest.mark.parametrize("count_of_places", [20, pytest.param(100, marks=pytest.mark.long)])
def test_nan_and_infinity_are_found_wherever_they_are(dtype: str, count_of_places: int) -> None:
    content = of_dtype(dtype, ONE[dtype])
    assert judge(weights(content)).accepted
    (length,) = struct.unpack("<Q", content[:8])
    size = len(next(iter(PATTERNS[dtype].values())))
    count = (len(content) - 8 - length) // size
    places = [0, count - 1, *(random.Random(3).randrange(count) for _ in range(count_of_places))]
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
