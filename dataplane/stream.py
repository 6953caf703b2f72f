"""An answer that is handed out while it is made, and counted however it ends.

The container is asked to report usage with every chunk (vLLM's `continuous_usage_stats`), so that an answer that is
cut, by the network, by AWS's eight minutes or by its reader, is counted to the token that was delivered. From a
container that reports less, what was delivered is counted as one token per piece of text and none of the prompt:
never more than the truth, and flagged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from botocore.eventstream import ParserError
from botocore.exceptions import BotoCoreError, ClientError, EventStreamError
from urllib3.exceptions import HTTPError

from dataplane.completion import Completion
from dataplane.config import API, Target
from dataplane.converse import ConverseReader, open_converse
from dataplane.errors import DataPlaneError, ModelFailed, ModelUnavailable
from dataplane.invoke import failure, strip
from dataplane.lines import AnswerReader, LineReader, StreamBroken, Tally
from dataplane.usage import Usage

USAGE_ALWAYS = {"include_usage": True, "continuous_usage_stats": True}
# What reading a response raises when the connection, and not the model, fails. botocore does not wrap urllib3's.
WIRE_ERRORS = (HTTPError, BotoCoreError, ParserError, OSError)


class Reader(Protocol):
    """Makes pieces of text out of a stream's events."""

    @property
    def tally(self) -> Tally:
        """What has been read so far."""

    def pieces(self, events: Iterator[Mapping[str, Any]]) -> Iterator[str]:
        """The pieces as they come. Raises StreamBroken for what cannot be read."""


class PartsReader:
    """Reads what a container on SageMaker streams, in whatever parts it comes."""

    def __init__(self) -> None:
        self._answer = AnswerReader()

    @property
    def tally(self) -> Tally:
        """The container's own counts. It runs along line by line, and so counts no line that nobody asked for."""
        return self._answer.tally

    def pieces(self, events: Iterator[Mapping[str, Any]]) -> Iterator[str]:
        """See Reader.pieces."""
        lines = LineReader()
        for event in events:
            if "PayloadPart" not in event:
                raise StreamBroken(f"AWS sent {', '.join(event)} in place of a part.")
            for line in lines.feed(event["PayloadPart"]["Bytes"]):
                yield from self._take(line)
        for line in lines.end():
            yield from self._take(line)

    def _take(self, line: str) -> Iterator[str]:
        piece = self._answer.read(line)
        if piece:
            yield piece


@dataclass(frozen=True, slots=True)
class Delivered:
    """What of a streamed answer reached the caller, and why it is not all of it (empty when it is)."""

    text: str
    usage: Usage
    cut_reason: str
    first_byte_seconds: float


class Stream:
    """The pieces of one answer, in order, and its `completion` when it has ended.

    Iterating never raises: an answer that is cut simply ends, and says why in `completion.cut_reason`. Whoever stops
    half-way calls `close()`, or uses the stream as a context manager, so that what was delivered is counted. `on_end`
    is called exactly once, with what was delivered, and makes the completion.
    """

    def __init__(self, events: Any, reader: Reader, began: float, on_end: Callable[[Delivered], Completion]) -> None:
        self._events = events
        self._reader = reader
        self._began = began
        self._on_end = on_end
        self._text: list[str] = []
        self._first_byte_seconds: float | None = None
        self._broken: DataPlaneError | None = None
        self._is_open = True
        self._completion: Completion | None = None
        self._pieces = self._read()
        self._first = self._wait_for_first()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece, self._first = self._first, None
        if piece is None:
            piece = next(self._pieces, None) if self._is_open else None
        if piece is None:
            self.close()
            raise StopIteration
        return piece

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop here; what was delivered is counted. Closing again does nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self._events.close()
        self._completion = self._on_end(self._delivered())

    @property
    def completion(self) -> Completion:
        """The answer as far as it was delivered. Raises RuntimeError while it has not ended."""
        if self._completion is None:
            raise RuntimeError("The answer has not ended: read the stream to its end, or close it.")
        return self._completion

    def _wait_for_first(self) -> str | None:
        """The first piece. Raises what broke the stream before it: with nothing delivered there is nothing to count."""
        piece = next(self._pieces, None)
        if piece is None and self._broken is not None:
            self._is_open = False
            self._events.close()
            raise self._broken
        return piece

    def _delivered(self) -> Delivered:
        tally = self._reader.tally
        if tally.is_final:
            reason = ""  # whatever broke after the last word took nothing away
        elif self._broken is not None:
            reason = self._broken.detail
        else:
            reason = "The reader stopped, or the container ended without its usage."
        return Delivered(
            text="".join(self._text),
            usage=tally.usage,
            cut_reason=reason,
            first_byte_seconds=self._first_byte_seconds or 0.0,
        )

    def _read(self) -> Iterator[str]:
        """The pieces as they come, and in `_broken` what ended them early."""
        try:
            for piece in self._reader.pieces(self._arriving()):
                self._text.append(piece)
                yield piece
        except StreamBroken as told:
            self._broken = ModelFailed(str(told))
        except EventStreamError as told:
            said = told.response.get("Error", {})
            self._broken = ModelUnavailable(f"The stream broke off: {said.get('Code')}: {said.get('Message')}")
        except WIRE_ERRORS as error:
            self._broken = ModelUnavailable(f"The connection broke off: {error}")

    def _arriving(self) -> Iterator[Mapping[str, Any]]:
        for event in self._events:
            if self._first_byte_seconds is None:
                self._first_byte_seconds = time.monotonic() - self._began
            yield event


def open_stream(
    client: Any, target: Target, body: Mapping[str, Any], on_end: Callable[[Delivered], Completion]
) -> Stream:
    """Send `body` to the target and wait for its first piece of text.

    Raises ModelUnavailable (try again) or ModelFailed (do not) while nothing was delivered, without calling `on_end`.
    """
    began = time.monotonic()
    if target.kind == API:
        return Stream(open_converse(client, target, body), ConverseReader(), began, on_end)
    return Stream(_open_parts(client, target, body), PartsReader(), began, on_end)


def _open_parts(client: Any, target: Target, body: Mapping[str, Any]) -> Any:
    asked = {**strip(body), "stream": True, "stream_options": USAGE_ALWAYS}
    try:
        reply = client.invoke_endpoint_with_response_stream(
            EndpointName=target.endpoint,
            InferenceComponentName=target.component,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps(asked).encode(),
        )
    except ClientError as error:
        raise failure(target, error) from None
    except BotoCoreError as error:
        raise ModelUnavailable(f"Endpoint {target.endpoint} does not answer: {error}") from None
    return reply["Body"]
