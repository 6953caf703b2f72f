"""Bodies that are files: streamed from the connection to disk, never whole in memory, and never half.

A multipart body holds an adapter's files (or one archive) and the words about them; any other body is the archive
itself. Either way the length is announced, compared with what the tier takes before a byte is read, and must arrive
in full: Django's own reader would take a cut connection for the end of the body.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser
from rest_framework.request import Request

from api.bodies import LengthRequired
from api.problems import BodyTooLarge, MalformedBody, UnsupportedMediaType
from core.errors import DomainError, FieldError, Invalid
from models_registry.services.provenance import WORDS
from models_registry.services.uploads import UploadedPart

ARCHIVE_TYPES = ("application/gzip", "application/x-gzip", "application/x-tar", "application/octet-stream")
MULTIPART = "multipart/form-data"
# Room for the boundaries, headers and words of a multipart body beside the files that the tier allows.
ENVELOPE_BYTES = 1 << 20


class UploadCutShort(DomainError):
    """The connection ended before the announced length arrived. Nothing was kept; send it again."""

    code = "upload_cut_short"
    status = 400
    title = "The upload was cut short"
    retryable = True


class UploadWordsInvalid(Invalid):
    """The fields beside the files are unknown or cannot be read."""

    code = "invalid_body"
    title = "The body is not valid"


class WholeStream:
    """Reads a request's body and notices when it ends before its announced length."""

    def __init__(self, request: HttpRequest, length: int) -> None:
        self._request = request
        self._left = length

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes; empty at the end. Raises UploadCutShort."""
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        try:
            data: bytes = self._request.read(wanted)
        except OSError as error:
            raise self._cut() from error
        if not data:
            raise self._cut()
        self._left -= len(data)
        return data

    def _cut(self) -> UploadCutShort:
        return UploadCutShort(f"{self._left} bytes of the upload did not arrive.", hint="Send it again.")


@dataclass(frozen=True)
class Upload:
    """What was sent: parts to be read once, in order, and the words about them."""

    files: list[UploadedPart]
    words: dict[str, Any] = field(default_factory=dict)


@contextmanager
def received(request: Request, *, max_bytes: int) -> Iterator[Upload]:
    """The upload of this request; temporary files are gone when the context ends.

    Raises LengthRequired, BodyTooLarge, UploadCutShort, UnsupportedMediaType, UploadWordsInvalid and Django's own
    refusals of a malformed multipart body.
    """
    plain: HttpRequest = request._request  # DRF's own `data` would parse the body by its rules
    length = _announced(plain)
    if length > max_bytes + ENVELOPE_BYTES:
        raise BodyTooLarge(
            f"The upload has {length:,} bytes; the tier takes adapters of up to {max_bytes:,}.",
            hint="Train with a lower rank or save in bfloat16, or move the tenant to a larger tier.",
        )
    kind = (plain.content_type or "").lower()
    stream = WholeStream(plain, length)
    if kind in ARCHIVE_TYPES:
        yield Upload([UploadedPart("adapter.tar.gz", stream)])
    elif kind == MULTIPART:
        handlers = [TemporaryFileUploadHandler(plain)]
        words, files = MultiPartParser(plain.META, stream, handlers, "utf-8").parse()  # type: ignore[arg-type]
        sent = [file for _, group in files.lists() for file in group]
        try:
            yield Upload([UploadedPart(file.name, file) for file in sent], _read_words(words.dict()))
        finally:
            for file in sent:
                file.close()
    else:
        raise UnsupportedMediaType(
            f"An upload is {MULTIPART} or an archive, not {kind or 'nothing'}.",
            hint=f"Send the adapter's files as {MULTIPART}, or one .tar.gz as {ARCHIVE_TYPES[0]}.",
        )


def _announced(request: HttpRequest) -> int:
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length <= 0:
        raise LengthRequired("The upload does not announce its length.", hint="Send a Content-Length header.")
    return length


def _read_words(sent: dict[str, Any]) -> dict[str, Any]:
    errors = [
        FieldError(f"/{name}", "unknown_field", f"There is no field {name}.") for name in sent if name not in WORDS
    ]
    if errors:
        raise UploadWordsInvalid("Some fields are wrong.", hint=f"Fields are: {', '.join(WORDS)}.", errors=errors)
    for name, text in sent.items():
        if "\x00" in str(text):
            raise MalformedBody(f"{name} holds the character NUL.")
    if "metrics" not in sent:
        return sent
    try:
        metrics = json.loads(sent["metrics"])
    except (ValueError, RecursionError) as error:
        detail = FieldError("/metrics", "not_json", "Metrics are a JSON object.")
        raise UploadWordsInvalid("Some fields are wrong.", errors=[detail]) from error
    if not isinstance(metrics, dict):
        detail = FieldError("/metrics", "wrong_type", "Metrics are a JSON object.")
        raise UploadWordsInvalid("Some fields are wrong.", errors=[detail])
    return {**sent, "metrics": metrics}
