"""Where an upload's files come from: one archive, or plain files. Both can be read more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from models_registry.inspection.archive import MAX_MEMBERS, Member, read_archive, safe_name
from models_registry.inspection.findings import Refusal

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
_GZIP = b"\x1f\x8b"
MAX_UPLOAD_BYTES = 5 * 1024**3
"""The largest single object that one S3 PUT takes, far above any LoRA adapter."""


class Source(Protocol):
    """Something that gives an upload's files, one after the other, as often as it is asked."""

    def members(self) -> Iterator[Member]:
        """The files in order; each is read before the next is asked for. Raises Refusal for an unsafe upload."""
        ...


@dataclass(frozen=True)
class ArchiveSource:
    """A .tar.gz; `open` starts a new read of the same bytes, `max_bytes` bounds what it may unpack to."""

    open: Callable[[], BinaryIO]
    max_bytes: int = MAX_UPLOAD_BYTES

    def members(self) -> Iterator[Member]:
        """The plain files of the archive, in its own order."""
        with closing(self.open()) as stream:
            yield from read_archive(stream, max_bytes=self.max_bytes)


@dataclass(frozen=True)
class PlainFile:
    """One file of an upload: its name as given, its size in bytes, and a way to read it from the start."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class FilesSource:
    """Files that were given one by one; `max_bytes` bounds their sum."""

    files: Sequence[PlainFile]
    max_bytes: int = MAX_UPLOAD_BYTES

    def members(self) -> Iterator[Member]:
        """The files by name; `adapter_config.json` comes before the weights."""
        if len(self.files) > MAX_MEMBERS:
            raise Refusal("too_many_files", f"More than {MAX_MEMBERS} files were given.", "Give the two files.")
        if sum(file.size for file in self.files) > self.max_bytes:
            raise Refusal("upload_too_large", f"The files are larger than {self.max_bytes:,} bytes together.")
        seen: set[str] = set()
        for file in sorted(self.files, key=lambda file: file.name):
            name = safe_name(file.name, seen)
            with closing(file.open()) as stream:
                yield Member(name, file.size, stream.read)


def source_of_upload(files: Sequence[PlainFile], max_bytes: int) -> Source:
    """The files of an upload as they were sent: one archive, or the files themselves.

    What a single file is, its first bytes say; one that is neither is read as an archive, which then says what it is.
    """
    if len(files) == 1:
        with closing(files[0].open()) as stream:
            is_gzip = stream.read(len(_GZIP)) == _GZIP
        if is_gzip or files[0].name not in (CONFIG_NAME, WEIGHTS_NAME):
            return ArchiveSource(files[0].open, max_bytes)
    return FilesSource(files, max_bytes)


def source_from_path(path: Path) -> Source:
    """The adapter at a path: a .tar.gz, a folder, or a .safetensors file (then the folder that it lies in).

    A folder may hold the adapter itself or one sub-folder that does. Raises OSError when it cannot be read.
    """
    if path.is_dir():
        return _folder_source(path)
    if path.suffix == ".safetensors":
        return _folder_source(path.parent)
    with path.open("rb"):
        pass
    return ArchiveSource(partial(_open, path))


def _folder_source(folder: Path) -> FilesSource:
    entries = sorted(folder.iterdir())
    sub_folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if len(sub_folders) == 1 and not any(entry.name.startswith("adapter_") for entry in entries if entry.is_file()):
        entries = sorted(sub_folders[0].iterdir())
    files = [entry for entry in entries if entry.is_file()]
    return FilesSource([PlainFile(file.name, file.stat().st_size, partial(_open, file)) for file in files])


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
