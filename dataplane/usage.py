"""What an answer says it used, in one meaning whoever says it: no token is in two counts, so none is billed twice.

OpenAI's `prompt_tokens` hold those that were read from a cache; here they are taken out. Bedrock's `inputTokens` hold
neither what was read from a cache nor what was written to one, and CloudWatch counts the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.budgets import Tokens


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. Of a prompt's tokens each is input, cached (read from a cache), or written to a cache."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0

    def __post_init__(self) -> None:
        for count in (self.input_tokens, self.output_tokens, self.cached_input_tokens, self.cache_write_input_tokens):
            whole(count)

    @property
    def tokens(self) -> Tokens:
        """What token limits count: the whole prompt, for as much was reserved."""
        return Tokens(self.input_tokens + self.cached_input_tokens + self.cache_write_input_tokens, self.output_tokens)


def usage_of_completion(told: Mapping[str, Any]) -> Usage:
    """An OpenAI `usage`. Raises KeyError, TypeError, AttributeError or ValueError when it cannot be read."""
    cached = cached_tokens(told)
    return Usage(whole(told["prompt_tokens"]) - whole(cached), told["completion_tokens"], cached)


def cached_tokens(told: Mapping[str, Any]) -> Any:
    """What an OpenAI `usage` says of tokens read from a cache; 0 where it says nothing."""
    return (told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


def whole(count: Any) -> int:
    """The count itself. Raises ValueError when it is no whole number of at least 0."""
    if type(count) is not int or count < 0:
        raise ValueError("a token count that is no whole number")
    return count


def usage_of_converse(told: Mapping[str, Any]) -> Usage:
    """Converse's `usage`. Raises as `usage_of_completion` does."""
    read, written = told.get("cacheReadInputTokens") or 0, told.get("cacheWriteInputTokens") or 0
    return Usage(told["inputTokens"], told["outputTokens"], read, written)
