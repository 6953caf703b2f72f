"""What a caller gets back: an answer and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from dataplane.budgets import Limit


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer, what it cost in tokens, and which version on which line gave it.

    A streamed answer that ended early is partial: `cut_reason` says why, and the tokens are those that were delivered.
    `first_byte_seconds` is the time from the request to the first byte of a stream, None for an answer that came whole.
    `over` are the soft token limits that the request was over. Of a prompt's tokens `input_tokens` holds those that the
    model worked through, and neither those it read from a cache nor those that Bedrock wrote to one.
    """

    text: str
    input_tokens: int
    output_tokens: int
    adapter_version: str
    line: str
    version_number: int | None
    cut_reason: str = ""
    first_byte_seconds: float | None = None
    over: tuple[Limit, ...] = ()
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_input_tokens

    @property
    def is_partial(self) -> bool:
        """Whether the answer ended before its end."""
        return bool(self.cut_reason)
