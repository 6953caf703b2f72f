"""What containers stream, read byte by byte: pure, and the same whatever the parts are cut into.

Three formats, told apart by what arrives and not by what was configured:

- OpenAI chunks, as vLLM sends them (`data: {…}`, closed by `data: [DONE]`) and as LMI forwards them (the same JSON
  without `data: `, closed by an empty line);
- token lines of TGI (`data:{"token": …}`), whose last line has `details`;
- token lines of LMI's `inputs` schema, the same without `data:`. LMI's `details.generated_tokens` is one more than
  `usage.completion_tokens` of the same answer when not streamed, so one is taken off.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dataplane.usage import Usage, cached_tokens

DATA = "data:"
DONE = "[DONE]"
OTHER_FIELDS = (":", "event:", "id:", "retry:")
"""What else server-sent events hold: comments, names, times. None of it is an answer."""
# No line of a container comes near it; a stream without line ends would otherwise fill the memory.
LONGEST_LINE_CHARACTERS = 4 << 20


class StreamBroken(Exception):
    """The stream itself says that it failed, or cannot be read; the text says which."""


@dataclass(slots=True)
class Tally:
    """What has been read so far. Token counts are the container's own; None is what it has not told."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str = ""
    pieces: int = 0
    is_final: bool = False
    """Whether the counts are those of the whole answer, and not of its beginning."""
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0

    def take(self, usage: Usage) -> None:
        """Replace the counts by these."""
        self.input_tokens, self.output_tokens = usage.input_tokens, usage.output_tokens
        self.cached_input_tokens = usage.cached_input_tokens
        self.cache_write_input_tokens = usage.cache_write_input_tokens

    @property
    def usage(self) -> Usage:
        """What is to be counted: of output that nobody told one token per piece, of a prompt nothing."""
        return Usage(
            self.input_tokens or 0,
            self.pieces if self.output_tokens is None else self.output_tokens,
            self.cached_input_tokens,
            self.cache_write_input_tokens,
        )


class LineReader:
    """Cuts bytes into lines of text; a character or a line may be spread over any number of parts."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="strict")
        self._waiting = ""

    def feed(self, part: bytes) -> Iterator[str]:
        """The lines that `part` completes. Raises StreamBroken for bytes that are no UTF-8, and for endless lines."""
        *lines, self._waiting = (self._waiting + self._decode(part, is_last=False)).split("\n")
        yield from lines
        if len(self._waiting) > LONGEST_LINE_CHARACTERS:
            raise StreamBroken(f"The container sent a line of more than {LONGEST_LINE_CHARACTERS:,} characters.")

    def end(self) -> Iterator[str]:
        """The last line, if the stream ended without a line end."""
        last, self._waiting = self._waiting + self._decode(b"", is_last=True), ""
        if last:
            yield last

    def _decode(self, part: bytes, *, is_last: bool) -> str:
        try:
            return self._decoder.decode(part, is_last)
        except UnicodeDecodeError:
            raise StreamBroken("The container sent bytes that are no UTF-8.") from None


class AnswerReader:
    """Turns lines into pieces of text and keeps the tally."""

    def __init__(self) -> None:
        self.tally = Tally()

    def read(self, line: str) -> str:
        """The text that one line adds, often empty. Raises StreamBroken for a container's error or an odd line."""
        line = line.strip()
        is_event = line.startswith(DATA)
        body = line.removeprefix(DATA).strip()
        if not body or body == DONE or line.startswith(OTHER_FIELDS):
            return ""
        try:
            found = json.loads(body)
        except ValueError:
            raise StreamBroken(f"The container sent a line that is no JSON: {body[:80]!r}.") from None
        if not isinstance(found, dict):
            raise StreamBroken("The container sent a line that is no JSON object.")
        try:
            return self._take(found, is_event)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise StreamBroken(f"The container sent a line of an unknown form ({type(error).__name__}).") from None

    def _take(self, found: dict[str, Any], is_event: bool) -> str:
        if found.get("error"):
            raise StreamBroken(f"The container gave up: {_words_of(found)}.")
        if "choices" in found:
            text = self._take_chunk(found)
        elif "token" in found:
            text = self._take_token(found, is_event)
        else:
            raise StreamBroken("The container sent a line that holds neither text nor usage.")
        self.tally.pieces += bool(text)
        return text

    def _take_chunk(self, found: dict[str, Any]) -> str:
        """A chunk of OpenAI's schemas: of a completion, of a chat, or usage alone. One answer is read: the first."""
        text = ""
        for choice in found["choices"]:
            if choice.get("index", 0) == 0:
                part = choice["text"] if "text" in choice else (choice.get("delta") or choice["message"]).get("content")
                text += part or ""
                self.tally.finish_reason = choice.get("finish_reason") or self.tally.finish_reason
        usage = found.get("usage")
        if usage:
            # Usage stands alone in the last chunk. Where each chunk has it, it counts all there is once the answer
            # has its finish reason; and a container that does not stream sends text, reason and usage in one line.
            is_final = not found["choices"] or bool(self.tally.finish_reason)
            # vLLM tells what it read from a cache in the last chunk only: a cut answer counts its prompt as input.
            counts = usage["prompt_tokens"], usage["completion_tokens"]
            self._count(*counts, cached=cached_tokens(usage), is_final=is_final)
        return text

    def _take_token(self, found: dict[str, Any], is_event: bool) -> str:
        """A token of TGI (an event) or of LMI's `inputs` schema (a bare line)."""
        token, details = found["token"], found.get("details") or {}
        reason = details.get("finish_reason") or ""
        if reason == "error" or token.get("id") == -1:
            raise StreamBroken("The container gave up: finish reason error.")
        self.tally.finish_reason = reason or self.tally.finish_reason
        if "generated_tokens" in details:
            one_too_many = 0 if is_event else 1
            self._count(details.get("input_length"), details["generated_tokens"] - one_too_many, is_final=True)
        return "" if token.get("special") else str(token["text"])

    def _count(self, tokens_in: Any, tokens_out: Any, *, cached: Any = 0, is_final: bool) -> None:
        for count in (tokens_in, tokens_out, cached):
            if count is not None and (type(count) is not int or count < 0):
                raise StreamBroken("The container reports token counts that are not whole numbers.")
        if tokens_in is not None:
            if cached > tokens_in:
                raise StreamBroken("The container reports more cached tokens than the prompt has.")
            self.tally.input_tokens, self.tally.cached_input_tokens = tokens_in - cached, cached
        self.tally.output_tokens = self.tally.output_tokens if tokens_out is None else tokens_out
        self.tally.is_final = is_final


def _words_of(found: dict[str, Any]) -> str:
    error = found["error"]
    said = error.get("message", "") if isinstance(error, dict) else error
    code = found.get("code") or (error.get("code") if isinstance(error, dict) else None)
    return f"{str(said).rstrip('.')}" + (f" (code {code})" if code else "")
