"""Sends files to the bucket in parts from the command line: several at once, again when one fails, with a bar."""

import io
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TextIO

from aws.multipart import PartFacts, PresignedPart
from models_registry.models import AdapterUpload
from models_registry.services.multipart import WantedPart, presign_parts

PARALLEL = 4
TRIES = 6
TIMEOUT_SECONDS = 60
WINDOW_SECONDS = 8.0
BAR_WIDTH = 24


class PartNotSent(Exception):
    """A part could not be sent in `TRIES` tries; what has arrived stays, so that the same command goes on with it."""


@dataclass(frozen=True)
class _Part:
    file: int
    number: int
    content: bytes
    digest: str
    attempt: int = 1


def checksums_of(paths: Sequence[Path], part_bytes: int) -> list[list[str]]:
    """The hex sha256 of every part of every file."""
    return [[digest for _, digest in _cut(path, part_bytes)] for path in paths]


def agrees(received: Sequence[Sequence[PartFacts]], checksums: Sequence[Sequence[str]]) -> bool:
    """Whether everything that has arrived is a part of these files."""
    return all(
        part.number <= len(said) and said[part.number - 1] == part.sha256
        for file, said in zip(received, checksums, strict=True)
        for part in file
    )


def send(
    upload: AdapterUpload, paths: Sequence[Path], received: Sequence[Sequence[PartFacts]], out: TextIO = sys.stderr
) -> None:
    """Send every part that has not arrived. Raises PartNotSent, core.errors.DomainError, OSError for a local file."""
    there = {(file, part.number) for file, parts in enumerate(received) for part in parts}
    bar = Bar(sum(path.stat().st_size for path in paths), out)
    todo = _parts(paths, upload.part_bytes, there, bar)
    again: deque[_Part] = deque()
    running: dict[Future[None], _Part] = {}
    with ThreadPoolExecutor(PARALLEL) as pool:
        while True:
            while len(running) < PARALLEL and (part := again.popleft() if again else next(todo, None)):
                [address] = presign_parts(upload_id=upload.pk, parts=[WantedPart(part.file, part.number, part.digest)])
                running[pool.submit(_put, address, part, bar)] = part
            if not running:
                break
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                part = running.pop(ended)
                if ended.exception() is not None:
                    again.append(_next_try(part, ended.exception()))
    bar.end()


def _next_try(part: _Part, error: BaseException | None) -> _Part:
    if not isinstance(error, OSError):
        raise error or RuntimeError("no error")
    if part.attempt == TRIES:
        raise PartNotSent(f"Part {part.number} could not be sent in {TRIES} tries: {error}.") from error
    return _Part(part.file, part.number, part.content, part.digest, part.attempt + 1)


def _put(address: PresignedPart, part: _Part, bar: "Bar") -> None:
    if part.attempt > 1:
        time.sleep(min(10.0, 0.25 * 2**part.attempt))
    body = _Counted(part.content, bar)
    headers = {**address.headers, "Content-Type": "application/octet-stream", "Content-Length": str(len(part.content))}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address.url, body, headers, method="PUT"), timeout=TIMEOUT_SECONDS
        ):
            pass
    except BaseException:
        bar.add(-body.tell())
        raise


def _parts(paths: Sequence[Path], part_bytes: int, there: set[tuple[int, int]], bar: "Bar") -> Iterator[_Part]:
    for file, path in enumerate(paths):
        for number, (content, digest) in enumerate(_cut(path, part_bytes), 1):
            if (file, number) in there:
                bar.skip(len(content))
            else:
                yield _Part(file, number, content, digest)


def _cut(path: Path, part_bytes: int) -> Iterator[tuple[bytes, str]]:
    with path.open("rb") as file:
        while content := file.read(part_bytes):
            yield content, sha256(content).hexdigest()


class _Counted(io.BytesIO):
    """A part that tells the bar when some of it has been taken."""

    def __init__(self, content: bytes, bar: "Bar") -> None:
        super().__init__(content)
        self._bar = bar

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._bar.add(len(data))
        return data


class Bar:
    """How much has been sent, how fast of late, and how long the rest will take; silent unless it is a terminal."""

    def __init__(self, total: int, out: TextIO) -> None:
        self._total, self._out, self._sent = total, out, 0
        self._seen: deque[tuple[float, int]] = deque()
        self._drawn_at = 0.0
        self._lock = Lock()

    def add(self, count: int) -> None:
        """So many bytes more (or, after a failure, fewer) are on their way."""
        with self._lock:
            self._sent += count
            now = time.monotonic()
            self._seen.append((now, self._sent))
            while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_SECONDS:
                self._seen.popleft()
            if now - self._drawn_at > 0.1:
                self._draw(now)

    def skip(self, count: int) -> None:
        """So many bytes had arrived before; they say nothing about the speed."""
        with self._lock:
            self._sent += count
            self._seen.clear()

    def end(self) -> None:
        """Draw it full and leave the line."""
        with self._lock:
            self._draw(time.monotonic())
            if self._out.isatty():
                self._out.write("\n")

    def line(self, now: float) -> str:
        """The bar as text."""
        part = self._sent / self._total if self._total else 1.0
        began, before = self._seen[0] if self._seen else (now, self._sent)
        speed = (self._sent - before) / (now - began) if now - began > 0.5 else 0.0
        bar = f"[{'#' * round(part * BAR_WIDTH):<{BAR_WIDTH}}] {part:4.0%}"
        text = f"{bar}  {self._sent / 1e6:.1f} / {self._total / 1e6:.1f} MB"
        if speed > 0 and self._sent < self._total:
            text += f"  {speed / 1e6:.1f} MB/s  {(self._total - self._sent) / speed:.0f} s left"
        return text

    def _draw(self, now: float) -> None:
        self._drawn_at = now
        if self._out.isatty():
            self._out.write(f"\r\x1b[K{self.line(now)}")
            self._out.flush()
