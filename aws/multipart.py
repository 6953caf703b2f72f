"""What the product needs of S3 to let a client send a large file in parts, straight to the bucket."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A part that has arrived: its number (from 1), bytes, hex sha256 as S3 verified it, and S3's tag for it."""

    number: int
    size_bytes: int
    sha256: str
    etag: str


@dataclass(frozen=True, slots=True)
class PresignedPart:
    """An address to PUT one part to, without credentials, and the headers that must go with it."""

    url: str = field(repr=False)
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An upload in parts that was neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


class MultipartStore(Protocol):
    """Uploads in parts into the artifact bucket, each part checked by S3 against its sha256."""

    def begin(self, key: str) -> str:
        """Open an upload; its id."""

    def presign(self, key: str, upload_id: str, *, number: int, size: int, sha256: str, seconds: int) -> PresignedPart:
        """The address for one part, good for these bytes only and for so long. Asks nobody."""

    def parts(self, key: str, upload_id: str) -> list[PartFacts]:
        """What has arrived, by number. Raises Missing when the upload was completed or aborted."""

    def complete(self, key: str, upload_id: str, parts: Sequence[PartFacts]) -> None:
        """Make the object of these parts. Raises Missing as `parts`, and InvalidRequest when S3 has others."""

    def abort(self, key: str, upload_id: str) -> None:
        """Drop the upload and what has arrived of it; gone already is fine."""

    def open_uploads(self, prefix: str) -> Iterator[OpenUpload]:
        """The unfinished uploads of keys that begin so, complete or an error."""

    def origin(self) -> str:
        """Scheme and host that presigned addresses lead to."""
