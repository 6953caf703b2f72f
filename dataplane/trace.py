"""Traces: when requests came and how many tokens each brought and took. Read from a file, or made from a seed.

The file format is that of Azure's published LLM inference traces: CSV with `TIMESTAMP,ContextTokens,GeneratedTokens`.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from dataplane.errors import TraceError

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
MAX_REQUESTS = 1_000_000
MAX_LINE_CHARACTERS = 200
MAX_CONTEXT_TOKENS = 1_000_000
MAX_GENERATED_TOKENS = 100_000
# Ten million to the second: the published traces carry seven digits.
TICKS_PER_SECOND = 10_000_000
STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?(?:Z|\+00:00)?\Z")
COUNT = re.compile(r"\d{1,9}\Z", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Period(Protocol):
    """A half-open span of time with aware ends."""

    @property
    def start(self) -> datetime: ...
    @property
    def end(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One request: when (in ticks of 100 ns), how many tokens of prompt, how many tokens of answer."""

    at_ticks: int
    context_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of time; never empty."""

    requests: Sequence[TraceRequest]

    @property
    def context_tokens(self) -> int:
        return sum(request.context_tokens for request in self.requests)

    @property
    def generated_tokens(self) -> int:
        return sum(request.generated_tokens for request in self.requests)

    def write(self, path: Path) -> None:
        """Write the trace as CSV; reading it gives an equal trace."""
        lines = (
            f"{_stamp(request.at_ticks)},{request.context_tokens},{request.generated_tokens}\n"
            for request in self.requests
        )
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(HEADER + "\n")
            file.writelines(lines)


@dataclass(frozen=True, slots=True)
class TimedRequest:
    """A request of the trace at the moment of the period that it was mapped to; `number` counts from 0 in the trace."""

    number: int
    at: float
    context_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a mapped trace that falls into [start, end)."""

    start: datetime
    end: datetime
    requests: Sequence[TimedRequest]


def read_trace(path: Path) -> Trace:
    """Read a trace file. Raises TraceError that names the file, the line and what is wrong there."""
    requests: list[TraceRequest] = []
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_CHARACTERS + 1):
                number += 1
                text = _line(line, path, number)
                if number == 1:
                    if text.removeprefix("\ufeff") != HEADER:
                        raise TraceError(f"{path}, line 1: expected the header {HEADER!r}, found {text[:80]!r}.")
                    continue
                if not text:
                    continue
                if len(requests) == MAX_REQUESTS:
                    raise TraceError(f"{path}, line {number}: more than {MAX_REQUESTS:,} requests.")
                requests.append(_request(text, path, number))
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror}.") from None
    if not requests:
        raise TraceError(f"{path}, line {number + 1}: the file ends without a request.")
    requests.sort(key=lambda request: request.at_ticks)
    return Trace(requests)


def _line(raw: bytes, path: Path, number: int) -> str:
    if len(raw) > MAX_LINE_CHARACTERS:
        raise TraceError(f"{path}, line {number}: longer than {MAX_LINE_CHARACTERS} characters.")
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        raise TraceError(f"{path}, line {number}: not UTF-8 text.") from None


def _request(text: str, path: Path, number: int) -> TraceRequest:
    columns = text.split(",")
    if len(columns) != 3:
        raise TraceError(f"{path}, line {number}: expected 3 columns, found {len(columns)}.")
    try:
        return TraceRequest(
            at_ticks=_ticks(columns[0].strip()),
            context_tokens=_count("ContextTokens", columns[1].strip(), MAX_CONTEXT_TOKENS),
            generated_tokens=_count("GeneratedTokens", columns[2].strip(), MAX_GENERATED_TOKENS),
        )
    except ValueError as error:
        raise TraceError(f"{path}, line {number}: {error}.") from None


def _ticks(text: str) -> int:
    match = STAMP.match(text)
    if match is None:
        raise ValueError(f"TIMESTAMP {text!r} is not like 2023-11-16 18:17:03.9799600")
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError:
        raise ValueError(f"TIMESTAMP {text!r} is not a real date and time") from None
    return (moment - EPOCH) // timedelta(seconds=1) * TICKS_PER_SECOND + int((match[3] or "").ljust(7, "0"))


def _count(name: str, text: str, most: int) -> int:
    if not COUNT.match(text):
        raise ValueError(f"{name} {text!r} is not a whole number")
    value = int(text)
    if not 1 <= value <= most:
        raise ValueError(f"{name} {value} is not from 1 to {most:,}")
    return value


def _stamp(ticks: int) -> str:
    seconds, fraction = divmod(ticks, TICKS_PER_SECOND)
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{fraction:07d}"


def make_trace(*, seed: int = 1, requests: int = 2400) -> Trace:
    """Make a trace of one hour: long prompts, short answers, bursts. The same seed, the same trace.

    The shape follows Azure's code-completion trace (median prompt about 1,500 tokens, median answer about 13).
    """
    source = random.Random(seed)
    start = int((datetime(2026, 1, 15, 9, tzinfo=UTC) - EPOCH).total_seconds()) * TICKS_PER_SECOND
    hour = 3600 * TICKS_PER_SECOND
    bursts = [(source.randrange(hour), source.randrange(5, 40) * TICKS_PER_SECOND) for _ in range(24)]
    made = []
    for _ in range(requests):
        if source.random() < 0.6:
            begin, length = source.choice(bursts)
            at = (begin + int(source.random() ** 2 * length)) % hour
        else:
            at = source.randrange(hour)
        prompt = min(7500, max(3, round(math.exp(7.3 + 0.85 * _normal(source)))))
        answer = min(1900, max(6, round(math.exp(2.6 + 0.8 * _normal(source)))))
        made.append(TraceRequest(start + at, prompt, answer))
    made.sort(key=lambda request: request.at_ticks)
    return Trace(made)


def _normal(source: random.Random) -> float:
    """Draw from the normal distribution; twelve uniforms, because only `random()` is the same on every Python."""
    return sum(source.random() for _ in range(12)) - 6


def slices(trace: Trace, period: Period, days: int = 1) -> Iterator[Slice]:
    """Stretch the trace linearly over the period and cut it every `days` times 24 hours, empty slices included.

    The first request falls on the period's start, the last just before its end. A caller that drives a test clock
    pushes it to a slice's end before replaying the slice, so that CloudWatch receives nothing from the future and
    nothing stale.
    """
    start, end = _microseconds(period.start), _microseconds(period.end)
    if start >= end:
        raise ValueError("the period must end after it starts")
    first = trace.requests[0].at_ticks
    span = trace.requests[-1].at_ticks - first + 1
    step = days * 86_400_000_000
    waiting = 0
    for left in range(start, end, step):
        right = min(left + step, end)
        mapped = []
        while waiting < len(trace.requests):
            request = trace.requests[waiting]
            at = start + (request.at_ticks - first) * (end - start) // span
            if at >= right:
                break
            mapped.append(TimedRequest(waiting, at / 1e6, request.context_tokens, request.generated_tokens))
            waiting += 1
        yield Slice(_moment(left), _moment(right), mapped)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
