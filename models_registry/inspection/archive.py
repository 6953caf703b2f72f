"""Reads a tar.gz as a stream of plain files and refuses everything that a tar file can do besides.

Own reader instead of `tarfile`: uploads are hostile, and the general reader follows pax and GNU extensions that may
rename, resize or link members. Nothing is ever written to disk by a name from the archive.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from models_registry.inspection.findings import Refusal
from models_registry.inspection.gunzip import Gunzip

BLOCK = 512
MAX_MEMBERS = 256
MAX_PAX_BYTES = 64 * 1024
MAX_PADDING_BYTES = 1024 * 1024
"""tar pads its end to its blocking factor, by default 10 KiB; the largest factor in use stays below this."""
MAX_NAME_LENGTH = 200

_SAFE_PAX_KEYS = frozenset({"atime", "ctime", "mtime", "uid", "gid", "uname", "gname", "comment"})
_SAFE_PAX_PREFIXES = ("SCHILY.xattr.", "LIBARCHIVE.", "SCHILY.acl.", "SCHILY.fflags")
_REFUSED_TYPES = {
    b"1": ("archive_link_refused", "a hard link"),
    b"2": ("archive_link_refused", "a symbolic link"),
    b"3": ("archive_device_refused", "a character device"),
    b"4": ("archive_device_refused", "a block device"),
    b"6": ("archive_device_refused", "a named pipe"),
    b"K": ("archive_longname_refused", "a GNU long link name"),
    b"L": ("archive_longname_refused", "a GNU long name"),
    b"S": ("archive_sparse_refused", "a sparse file"),
}
_PLAIN = "Put only adapter_config.json and adapter_model.safetensors, as plain files, into the archive."


@dataclass
class Member:
    """One plain file of an upload, readable once, in order. `name` has forward slashes and no leading dot or slash."""

    name: str
    size: int
    _read: Callable[[int], bytes]
    remaining: int = field(init=False)

    def __post_init__(self) -> None:
        self.remaining = self.size

    def read(self, count: int) -> bytes:
        """Up to `count` bytes of the file; empty at its end. A file that ends early raises Refusal."""
        if not self.remaining:
            return b""
        data = self._read(min(count, self.remaining))
        if not data:
            raise Refusal("file_truncated", f"{self.name} is shorter than announced.", "Upload it again.")
        self.remaining -= len(data)
        return data

    def read_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes, or fewer at the end of the file."""
        parts: list[bytes] = []
        while count:
            data = self.read(count)
            if not data:
                break
            parts.append(data)
            count -= len(data)
        return b"".join(parts)


def read_archive(stream: BinaryIO, *, max_bytes: int) -> Iterator[Member]:
    """The plain files of a tar.gz, in order; what the caller leaves unread of a member is skipped.

    The stream must be one gzip member that holds one tar of plain files and folders with safe, distinct names, and
    nothing after it. `max_bytes` bounds the unpacked size. Raises Refusal otherwise, codes `archive_*`.
    """
    content = Gunzip(stream, max_bytes=max_bytes)
    seen: set[str] = set()
    count = 0
    while (header := content.read_exactly(BLOCK)) != bytes(BLOCK):
        count += 1
        if count > MAX_MEMBERS:
            raise Refusal("archive_too_many_members", f"The archive holds more than {MAX_MEMBERS} entries.", _PLAIN)
        entry = _parse_header(header)
        if entry.kind in (b"x", b"g"):
            _check_pax(content, entry.size)
            continue
        name = safe_name(entry.name, seen)
        if entry.kind == b"5":
            if entry.size:
                raise Refusal("archive_corrupt", f"The folder {name!r} claims to hold bytes.", _PLAIN)
            continue
        member = Member(name, entry.size, content.read)
        yield member
        _skip(content, member.remaining + _padding(entry.size))
    _check_end(content)


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    kind: bytes


def _parse_header(header: bytes) -> _Entry:
    _check_sum(header)
    kind = header[156:157]
    kind = b"0" if kind == b"\0" else kind
    if kind in _REFUSED_TYPES:
        code, what = _REFUSED_TYPES[kind]
        raise Refusal(code, f"The archive holds {what}.", _PLAIN)
    if kind not in (b"0", b"5", b"x", b"g"):
        raise Refusal("archive_type_refused", f"The archive holds an entry of the unusual type {kind!r}.", _PLAIN)
    name = _text(header[0:100])
    # The GNU dialect uses the prefix field for times; only POSIX ustar joins it to the name.
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
        name = f"{prefix}/{name}"
    return _Entry(name, _octal(header[124:136]), kind)


def _check_sum(header: bytes) -> None:
    expected = _octal(header[148:156])
    blanked = header[:148] + b" " * 8 + header[156:]
    if sum(blanked) != expected:
        raise Refusal("archive_corrupt", "The archive is not a tar file, or it is damaged.", _PLAIN)


def _octal(raw: bytes) -> int:
    digits = raw.strip(b" \0")
    # Base-256 numbers (first bit set) are for files above 8 GiB, larger than any adapter.
    if not digits or digits.strip(b"01234567"):
        raise Refusal("archive_corrupt", "A number in the archive cannot be read.", _PLAIN)
    return int(digits, 8)


def _text(raw: bytes) -> str:
    try:
        return raw.split(b"\0", 1)[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("archive_unsafe_name", "A file name in the archive is not UTF-8.", _PLAIN) from error


def safe_name(name: str, seen: set[str]) -> str:
    """The name without a leading `./`; refuses names that lead elsewhere or that look like one already seen.

    Adds the folded form to `seen`: names that differ only by case or by Unicode form would collide on some disks.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    unsafe = (
        name.startswith("/")
        or ".." in parts
        or "\\" in name
        or len(name) > MAX_NAME_LENGTH
        or any(unicodedata.category(character).startswith("C") for character in name)
    )
    if unsafe:
        raise Refusal("archive_unsafe_name", f"The name {name[:80]!r} is not allowed in an upload.", _PLAIN)
    plain = "/".join(parts)
    folded = unicodedata.normalize("NFKC", plain).casefold()
    if plain and folded in seen:
        raise Refusal("archive_duplicate_name", f"{plain!r} is there twice (upper and lower case are one).", _PLAIN)
    seen.add(folded)
    return plain


def _check_pax(content: Gunzip, size: int) -> None:
    """Skips a pax header that only carries times and owners; refuses one that renames, resizes or links."""
    if size > MAX_PAX_BYTES:
        raise Refusal("archive_pax_refused", "The archive holds an oversized extended header.", _PLAIN)
    block = content.read_exactly(size + _padding(size))[:size]
    while block:
        length_text, _, _ = block.partition(b" ")
        if not length_text.isdigit() or len(length_text) > 6 or not len(length_text) < int(length_text) <= len(block):
            raise Refusal("archive_corrupt", "An extended header in the archive cannot be read.", _PLAIN)
        record = block[len(length_text) + 1 : int(length_text)]
        key = record.partition(b"=")[0].decode("utf-8", "replace")
        if key not in _SAFE_PAX_KEYS and not key.startswith(_SAFE_PAX_PREFIXES):
            raise Refusal("archive_pax_refused", f"The archive overrides {key[:40]!r} in an extended header.", _PLAIN)
        block = block[int(length_text) :]


def _padding(size: int) -> int:
    return -size % BLOCK


def _skip(content: Gunzip, count: int) -> None:
    while count:
        data = content.read(min(count, 256 * 1024))
        if not data:
            raise Refusal("archive_truncated", "The archive ends in the middle of a file.", "Upload it again.")
        count -= len(data)


def _check_end(content: Gunzip) -> None:
    """After the first empty block: a second one, zeros up to the blocking factor, and the end of the stream."""
    content_after = content.read_exactly(BLOCK)
    padding = 0
    while content_after:
        padding += len(content_after)
        if content_after.strip(b"\0") or padding > MAX_PADDING_BYTES:
            raise Refusal("archive_trailing_data", "Something follows the end of the archive.", _PLAIN)
        content_after = content.read(64 * 1024)
