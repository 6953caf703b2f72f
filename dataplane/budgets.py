"""Token limits as numbers: which windows an instant falls into, and what a request can cost at most. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

METERS = ("input_tokens", "output_tokens", "total_tokens")
WINDOWS = ("minute", "day", "month")
HARD, SOFT, SHADOW = MODES = ("hard", "soft", "shadow")
MINUTE_SECONDS = 60
# Begin, end and separators that a tokenizer adds by itself.
SPECIAL_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens in and out: estimated, reserved or used."""

    input: int
    output: int

    def of(self, meter: str) -> int:
        """How many of them a meter counts."""
        counted = {"input_tokens": self.input, "output_tokens": self.output}
        return counted.get(meter, self.input + self.output)


NOTHING = Tokens(0, 0)


@dataclass(frozen=True, slots=True)
class Limit:
    """`amount` tokens of `meter` per `window`. `hard` refuses, `soft` lets pass and marks, `shadow` only counts.

    With a `line` it is the tenant's allowance there: what has no room goes to another line.
    """

    meter: str
    window: str
    amount: int
    mode: str
    line: str = ""

    def __post_init__(self) -> None:
        if self.meter not in METERS or self.window not in WINDOWS or self.mode not in MODES or self.amount < 1:
            raise ValueError(f"no such limit: {self.amount} {self.meter} per {self.window}, {self.mode}")


@dataclass(frozen=True, slots=True)
class Counter:
    """The count of one limit in one window, from `start` up to, but not including, `end` (epoch seconds)."""

    limit: Limit
    start: int
    end: int

    @property
    def key(self) -> str:
        """Its name in the table; `meter_of` reads it."""
        place = f"{self.start}#{self.limit.line}" if self.limit.line else f"{self.start}"
        return f"c#{self.limit.window}#{place}#{self.limit.meter}"


@dataclass(frozen=True, slots=True)
class Budgets:
    """A tenant's limits, and the zone whose midnights bound its days and months."""

    limits: tuple[Limit, ...] = ()
    timezone: str = "UTC"

    def counters(self, at: float, allowance: Limit | None = None) -> tuple[Counter, ...]:
        """The counters that a request at this instant counts in; the tenant's own come before a line's allowance."""
        limits = self.limits if allowance is None else (*self.limits, allowance)
        return tuple(Counter(limit, *window_around(limit.window, at, self.timezone)) for limit in limits)


NO_BUDGETS = Budgets()


def budgets_of(limits: Mapping[str, Any]) -> Budgets:
    """The budgets of a runtime config's `limits`; none in a config that was written before there were any.

    Raises KeyError, TypeError or ValueError when they are malformed, or the zone is unknown here.
    """
    windows = limits.get("windows", [])
    if not windows and "timezone" not in limits:
        return NO_BUDGETS
    found = tuple(Limit(each["meter"], each["window"], int(each["amount"]), each["mode"]) for each in windows)
    if len({(each.meter, each.window) for each in found}) < len(found):
        raise ValueError("a meter is limited twice in one window")
    ZoneInfo(limits["timezone"])
    return Budgets(found, limits["timezone"])


def window_around(window: str, at: float, timezone: str) -> tuple[int, int]:
    """Start and end of the minute, day or month around an instant; days and months are the zone's."""
    if window == "minute":
        start = int(at // MINUTE_SECONDS) * MINUTE_SECONDS
        return start, start + MINUTE_SECONDS
    local = datetime.fromtimestamp(at, ZoneInfo(timezone))
    return _calendar(window, local.year, local.month, local.day, timezone)


@lru_cache(maxsize=64)
def _calendar(window: str, year: int, month: int, day: int, timezone: str) -> tuple[int, int]:
    """Cached: zone arithmetic is the dearest part of a reservation, and a day has one answer."""
    # Wall-clock arithmetic: in one zone, a day after a midnight is the next midnight.
    first = datetime(year, month, day if window == "day" else 1, tzinfo=ZoneInfo(timezone))
    following = first + timedelta(days=1 if window == "day" else 32)
    if window == "month":
        following = following.replace(day=1)
    # Where daylight saving skips midnight, its timestamp is the instant of the change, at which the local day begins.
    return int(first.timestamp()), int(following.timestamp())


def meter_of(key: str) -> str:
    """The meter that a counter's key names."""
    return key.rsplit("#", 1)[1]


def upper_bound(body: Mapping[str, Any]) -> Tokens:
    """The most that a request can cost. A token stands for at least one byte, whatever the tokenizer."""
    answers = max(1, _count(body.get("n")), _count(body.get("best_of")))
    prompt = str(body["prompt"])
    return Tokens(len(prompt.encode(errors="replace")) + SPECIAL_TOKENS, int(body["max_tokens"]) * answers)


def _count(value: Any) -> int:
    """A number of answers as containers read it, who take a text for a number; 1 for what they refuse."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 1
