"""The way down when a line does not answer: the next line, then a wait, then a refusal that says when to come again.

Each step down is a degrade, and is told to the control plane. A tenant's own limit is not the line's fault: no other
line is tried then. Neither is a request that a model refuses as wrong, or an answer that has begun.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from dataplane.breakers import Breakers
from dataplane.config import Ladder, Route, Target
from dataplane.errors import BreakerOpen, DataPlaneError, LimitExceeded, ModelFailed, ModelUnavailable
from dataplane.limits import Ticket
from dataplane.reports import REFUSED, Reporter

QUEUE = "queue"
# How long a request waits for a line that only failed, without saying when it will be back.
BREATH_SECONDS = 0.5
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class Way:
    """What a request goes down with: how to take leave to spend, whom to tell that a target did not answer, and the
    instant that it counts under."""

    route: Route
    ladder: Ladder
    at: float
    may_wait: bool
    reserve: Callable[[Target], Ticket]
    failed: Callable[[Target], None]


class Descent:
    """Takes requests down their ladder; one per process."""

    def __init__(self, breakers: Breakers, reporter: Reporter) -> None:
        self._breakers = breakers
        self._reporter = reporter

    def answer(self, way: Way, send: Callable[[Target, Ticket], Answered]) -> Answered:
        """The first answer on the way down. Raises what the last target was passed over for, or what ended it."""
        wait_until = time.monotonic() + (way.ladder.queue_seconds if way.may_wait else 0.0)
        while True:
            targets = list(tried(way.route))
            refusals: list[DataPlaneError] = []
            for place, target in enumerate(targets):
                try:
                    return self._try(way, target, send)
                except (LimitExceeded, ModelUnavailable) as refusal:
                    if isinstance(refusal, LimitExceeded) and not refusal.line:
                        refusals = [refusal]
                        break
                    refusals.append(refusal)
                    if not isinstance(refusal, LimitExceeded):
                        way.failed(target)
                    if place + 1 < len(targets):
                        self._tell(way, target, targets[place + 1].line, refusal)
                except ModelFailed:
                    way.failed(target)
                    raise
            last, wait = refusals[-1], min(_patience(refusal) for refusal in refusals)
            if time.monotonic() + wait > wait_until:
                self._tell(way, targets[-1], REFUSED, last)
                raise last
            self._tell(way, targets[-1], QUEUE, last)
            time.sleep(wait)

    def _try(self, way: Way, target: Target, send: Callable[[Target, Ticket], Answered]) -> Answered:
        name = way.route.name
        self._breakers.enter(name, target, way.ladder)
        try:
            ticket = way.reserve(target)
        except BaseException:
            self._breakers.left(name, target)
            raise
        try:
            answered = send(target, ticket)
        except ModelUnavailable as failure:
            ticket.release()
            self._breakers.failed(name, target, way.ladder, failure.detail)
            raise
        except BaseException:
            ticket.release()
            self._breakers.left(name, target)
            raise
        self._breakers.succeeded(name, target)
        return answered

    def _tell(self, way: Way, target: Target, to: str, refusal: DataPlaneError) -> None:
        self._reporter.degraded(way.route.name, target.line, to, refusal.code, way.at)


def tried(route: Route) -> Iterator[Target]:
    """The targets that a request tries, in order; one with a weight below 100 is passed over by the others' share."""
    for target in route.targets[:-1]:
        if target.weight >= 100 or random.randrange(100) < target.weight:
            yield target
    yield route.targets[-1]


def _patience(refusal: DataPlaneError) -> float:
    """After how many seconds it may help to come again."""
    if isinstance(refusal, LimitExceeded | BreakerOpen):
        return float(refusal.retry_after_seconds)
    return BREATH_SECONDS
