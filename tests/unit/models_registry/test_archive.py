"""What an archive may not do. Every refusal names its reason; nothing is written to disk by a foreign name."""

import ast
import bz2
import gzip
import io
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest

from models_registry.inspection.sources import ArchiveSource
from models_registry.inspection.verdict import inspect_adapter
from tests.unit.models_registry.making import (
    BASE,
    CONFIG,
    ENGINE,
    WEIGHTS,
    archive,
    codes,
    entry,
    good,
    judge,
    raw_archive,
)

ROOM = Path(__file__).resolve().parents[3] / "models_registry"
FILES = good()
PLAIN = [entry(name.encode(), content) for name, content in FILES.items()]


def pax(key: str, value: str, kind: bytes = b"x") -> bytes:
    record = f" {key}={value}\n".encode()
    length = len(record) + 1
    while len(str(length)) + len(record) != length:
        length = len(str(length)) + len(record)
    return entry(b"PaxHeaders/x", str(length).encode() + record, kind=kind)


def test_plain_archives_are_read() -> None:
    assert judge(raw_archive(*PLAIN)).accepted
    assert judge(raw_archive(*reversed(PLAIN))).accepted
    assert judge(raw_archive(entry(b"./", kind=b"5"), entry(b"./f/", kind=b"5"), *PLAIN)).accepted
    assert judge(raw_archive(*PLAIN, end=bytes(10240))).accepted
    assert judge(
        raw_archive(pax("mtime", "1790000000.5"), PLAIN[0], pax("SCHILY.xattr.user.a", "b"), PLAIN[1])
    ).accepted
    assert judge(raw_archive(pax("comment", "made by git", kind=b"g"), *PLAIN)).accepted
    assert judge(raw_archive(entry(b"._" + CONFIG.encode(), b"mac"), *PLAIN)).accepted


REFUSED = {
    "symlink": ([entry(WEIGHTS.encode(), kind=b"2")], "archive_link_refused"),
    "hard link": ([entry(WEIGHTS.encode(), kind=b"1")], "archive_link_refused"),
    "character device": ([entry(b"tty", kind=b"3")], "archive_device_refused"),
    "block device": ([entry(b"sda", kind=b"4")], "archive_device_refused"),
    "named pipe": ([entry(b"pipe", kind=b"6")], "archive_device_refused"),
    "contiguous file": ([entry(b"c", kind=b"7")], "archive_type_refused"),
    "vendor type": ([entry(b"c", kind=b"Z")], "archive_type_refused"),
    "GNU long name": ([entry(b"././@LongLink", b"a" * 300, kind=b"L")], "archive_longname_refused"),
    "GNU long link": ([entry(b"././@LongLink", b"a" * 300, kind=b"K")], "archive_longname_refused"),
    "GNU sparse": ([entry(b"s", kind=b"S", magic=b"ustar  \0")], "archive_sparse_refused"),
    "pax path": ([pax("path", "../../etc/passwd")], "archive_pax_refused"),
    "pax size": ([pax("size", "99999999")], "archive_pax_refused"),
    "pax linkpath": ([pax("linkpath", "/etc/passwd")], "archive_pax_refused"),
    "pax sparse": ([pax("GNU.sparse.major", "1")], "archive_pax_refused"),
    "pax charset": ([pax("hdrcharset", "BINARY")], "archive_pax_refused"),
    "global pax path": ([pax("path", "x", kind=b"g")], "archive_pax_refused"),
    "oversized pax": ([entry(b"x", b"9" * 70_000, kind=b"x")], "archive_pax_refused"),
    "broken pax": ([entry(b"x", b"notanumber mtime=1\n", kind=b"x")], "archive_corrupt"),
    "pax length beyond": ([entry(b"x", b"999 mtime=1\n", kind=b"x")], "archive_corrupt"),
    "parent folder": ([entry(b"../" + WEIGHTS.encode(), b"x")], "archive_unsafe_name"),
    "hidden parent": ([entry(b"a/../../b", b"x")], "archive_unsafe_name"),
    "absolute": ([entry(b"/etc/passwd", b"x")], "archive_unsafe_name"),
    "backslash": ([entry(b"..\\b", b"x")], "archive_unsafe_name"),
    "control character": ([entry(b"a\nb", b"x")], "archive_unsafe_name"),
    "right-to-left override": ([entry("a\u202eb".encode(), b"x")], "archive_unsafe_name"),
    "not UTF-8": ([entry(b"\xff\xfe", b"x")], "archive_unsafe_name"),
    "same name twice": ([*PLAIN, PLAIN[0]], "archive_duplicate_name"),
    "same name in capitals": ([*PLAIN, entry(CONFIG.upper().encode(), b"{}")], "archive_duplicate_name"),
    "same name in another Unicode form": (
        [*PLAIN, entry("._ﬁ".encode(), b""), entry(b"._fi", b"")],
        "archive_duplicate_name",
    ),
    "wrong checksum": ([entry(b"a", b"x", checksum=b"000001\0 ")], "archive_corrupt"),
    "base-256 size": ([entry(b"a", size=b"\x80" + bytes(10) + b"\x09")], "archive_corrupt"),
    "negative size": ([entry(b"a", size=b"-0000000001\0")], "archive_corrupt"),
    "empty size": ([entry(b"a", size=bytes(12))], "archive_corrupt"),
    "folder with content": ([entry(b"d", b"x" * 10, kind=b"5")], "archive_corrupt"),
    "size beyond the end": ([entry(b"README.md", b"x", size=b"%011o\0" % 10_000_000)], "archive_truncated"),
    "too many entries": ([entry(b"d%d/" % n, kind=b"5") for n in range(300)], "archive_too_many_members"),
}


@pytest.mark.parametrize(("entries", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_entries(entries: list[bytes], code: str) -> None:
    verdict = judge(raw_archive(*entries))
    assert codes(verdict) == [code]
    # Behind the two files, where the first look has ended, it is found just the same.
    if entries[0] not in PLAIN:
        assert code in codes(judge(raw_archive(*PLAIN, *entries)))


def test_refused_streams() -> None:
    whole = raw_archive(*PLAIN)
    inner = gzip.decompress(whole)
    zeros = bytes(20 << 20)
    cases = {
        "empty": (b"", "archive_not_gzip"),
        "zip": (b"PK\x03\x04" + bytes(100), "archive_not_gzip"),
        "bare tar": (inner, "archive_not_gzip"),
        "bzip2": (bz2.compress(inner), "archive_not_gzip"),
        "cut header": (whole[:8], "archive_truncated"),
        "cut trailer": (whole[:-4], "archive_truncated"),
        "bad crc": (whole[:-8] + b"\0\0\0\0" + whole[-4:], "archive_corrupt"),
        "two members": (whole + whole, "archive_trailing_data"),
        "trailing text": (whole + b"x", "archive_trailing_data"),
        "trailing zeros": (whole + bytes(512), "archive_trailing_data"),
        "content behind the end": (raw_archive(*PLAIN, end=bytes(1024) + b"x" * 512), "archive_trailing_data"),
        "one end block": (raw_archive(*PLAIN, end=bytes(512)), "archive_truncated"),
        "no end": (raw_archive(*PLAIN, end=b""), "archive_truncated"),
        "half a block": (raw_archive(*PLAIN, end=bytes(700)), "archive_truncated"),
        "bomb in a file": (raw_archive(entry(b"README.md", zeros), *PLAIN), "archive_bomb"),
        "bomb behind the end": (raw_archive(*PLAIN, end=zeros), "archive_trailing_data"),
    }
    for name, (content, code) in cases.items():
        assert codes(judge(content)) == [code], name


def test_every_cut_is_refused() -> None:
    whole = archive(FILES, folder="f")
    for cut in range(0, len(whole), 97):
        assert not judge(whole[:cut]).accepted, cut


def test_bombs_cost_little_memory() -> None:
    """Ten gigabytes of zeros: refused after a few megabytes, in far less memory than they would need."""

    class Bomb(io.RawIOBase):
        def __init__(self) -> None:
            self.squeeze = zlib.compressobj(wbits=31)
            self.start = entry(b"README.md", size=b"77777777777\0")
            self.served = 0

        def read(self, count: int = -1) -> bytes:
            out = b""
            while not out:
                block = self.start if not self.served else bytes(1 << 20)
                self.served += len(block)
                out = self.squeeze.compress(block) + self.squeeze.flush(zlib.Z_SYNC_FLUSH)
            return out

    bombs: list[Bomb] = []

    def open_bomb() -> io.RawIOBase:
        bombs.append(Bomb())
        return bombs[-1]

    tracemalloc.start()
    verdict = inspect_adapter(ArchiveSource(open_bomb, max_bytes=10 << 30), base=BASE, engine=ENGINE)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes(verdict) == ["archive_bomb"]
    assert sum(bomb.served for bomb in bombs) < 64 << 20
    assert peak < 16 << 20


def test_size_is_bounded_without_a_high_ratio() -> None:
    noise = random.Random(7).randbytes(3 << 20)
    source = ArchiveSource(lambda: io.BytesIO(raw_archive(entry(b"README.md", noise))), max_bytes=1 << 20)
    assert codes(inspect_adapter(source, base=BASE, engine=ENGINE)) == ["archive_too_large"]


def test_layout() -> None:
    config, weights = FILES[CONFIG], FILES[WEIGHTS]
    accepted = [
        {f"x/{CONFIG}": config, f"x/{WEIGHTS}": weights},
        {**FILES, "README.md": b"# card", "tokenizer.json": b"{}"},
        {f"x/{CONFIG}": config, f"x/{WEIGHTS}": weights, "__MACOSX/x/._a": b"1", "x/.DS_Store": b"1"},
    ]
    for files in accepted:
        assert judge(archive(files)).accepted
    refused = {
        "layout_invalid": {f"x/{CONFIG}": config, f"y/{WEIGHTS}": weights},
        "unexpected_file": {**FILES, "model.py": b"import os"},
        "missing_file": {CONFIG: config},
        "pickle_refused": {**FILES, "adapter_model.bin": b"x"},
    }
    for code, files in refused.items():
        assert code in codes(judge(archive(files))), code
    assert "layout_invalid" in codes(judge(archive({f"x/y/{CONFIG}": config, f"x/y/{WEIGHTS}": weights})))
    assert codes(judge(archive({"README.md": b""}))) == ["missing_file"]
    assert codes(judge(archive({**FILES, "optimizer.PT": b""}))) == ["pickle_refused"]


def test_nothing_in_this_room_can_unpickle_or_unpack() -> None:
    forbidden = {"tarfile", "pickle", "zipfile", "shutil", "torch", "marshal", "shelve", "dill", "joblib"}
    for path in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & forbidden, path
