"""Inflates one gzip member from a stream, with bounds that a bomb cannot pass."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from models_registry.inspection.findings import Refusal

READ_BYTES = 64 * 1024
MAX_OUTPUT_BYTES = 256 * 1024
RATIO_FREE_BYTES = 8 * 1024 * 1024
"""Below this much output the ratio is not looked at: small archives of zeros are harmless."""
MAX_RATIO = 200
"""Trained weights shrink by less than two; a bomb by about a thousand."""

_MAKE_ARCHIVE = "Make the archive with: tar -czf adapter.tar.gz adapter_config.json adapter_model.safetensors"


class Gunzip:
    """Reads the content of a stream that holds exactly one gzip member and nothing else.

    Memory stays below a few hundred KiB whatever the stream holds. Raises Refusal with codes archive_not_gzip,
    archive_corrupt, archive_truncated, archive_trailing_data, archive_bomb, archive_too_large.
    """

    def __init__(self, stream: BinaryIO, *, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._inflate = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._pending = b""
        self._bytes_in = 0
        self._bytes_out = 0
        self._started = False

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; empty only at the end of a complete and valid member."""
        while not self._inflate.eof:
            # Asked before more input is fetched: zlib may still hold output of the input it has already taken.
            try:
                data = self._inflate.decompress(self._pending, min(count, MAX_OUTPUT_BYTES))
            except zlib.error as error:
                raise Refusal("archive_corrupt", f"The gzip stream is damaged: {error}.", _MAKE_ARCHIVE) from error
            self._pending = self._inflate.unconsumed_tail
            self._bytes_out += len(data)
            self._check_bounds()
            if data:
                return data
            if not self._pending and not self._inflate.eof:
                self._fill()
        self._refuse_trailing_data()
        return b""

    def read_exactly(self, count: int) -> bytes:
        """Exactly `count` bytes, for small counts; raises Refusal(archive_truncated) when the content ends before."""
        parts: list[bytes] = []
        missing = count
        while missing:
            data = self.read(missing)
            if not data:
                raise Refusal("archive_truncated", "The archive ends in the middle of a file.", "Upload it again.")
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _fill(self) -> None:
        chunk = self._stream.read(READ_BYTES)
        if not self._started:
            self._started = True
            _refuse_other_formats(chunk)
        if not chunk:
            raise Refusal("archive_truncated", "The archive is cut off before its end.", "Upload it again.")
        self._bytes_in += len(chunk)
        self._pending = chunk

    def _check_bounds(self) -> None:
        if self._bytes_out > self._max_bytes:
            raise Refusal(
                "archive_too_large",
                f"The archive unpacks to more than {self._max_bytes:,} bytes.",
                "Ask for a larger limit, or train with a lower rank.",
            )
        consumed = self._bytes_in - len(self._pending)
        if self._bytes_out > RATIO_FREE_BYTES and self._bytes_out > MAX_RATIO * max(consumed, 1):
            raise Refusal(
                "archive_bomb",
                f"The archive unpacks to more than {MAX_RATIO} times its own size, as no trained adapter does.",
                _MAKE_ARCHIVE,
            )

    def _refuse_trailing_data(self) -> None:
        if self._inflate.unused_data or self._stream.read(1):
            raise Refusal(
                "archive_trailing_data", "Something follows the end of the gzip stream in this file.", _MAKE_ARCHIVE
            )


def _refuse_other_formats(start: bytes) -> None:
    if start[:2] == b"\x1f\x8b":
        return
    if start[:4] == b"PK\x03\x04":
        raise Refusal(
            "archive_not_gzip", "This is a zip file (or a pickled checkpoint), not a .tar.gz archive.", _MAKE_ARCHIVE
        )
    raise Refusal("archive_not_gzip", "This file is not a .tar.gz archive.", _MAKE_ARCHIVE)
