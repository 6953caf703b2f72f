"""A circuit breaker per route, line and version: what fails again and again is left alone for a while.

    closed --so many failures in a row--> open --after a while--> half_open --one request answers--> closed
                                            ^                        |
                                            +---- it fails ----------+

Each process has its own. People can trip one for all (`is_tripped` in the config keeps it open) and reset it
(`resets` in the config grows: whatever it was, it is closed).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dataplane.config import Ladder, Target
from dataplane.errors import BreakerOpen

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
# While another request tries the line, and for a tripped breaker: nobody knows how long it takes.
LOOK_AGAIN_SECONDS = 1.0
TRIPPED_SECONDS = 60.0


@dataclass(slots=True)
class _Breaker:
    state: str = CLOSED
    failures: int = 0
    opened_at: float = 0.0
    resets: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A breaker that changed: which one, to what, and why."""

    route: str
    line: str
    state: str
    reason: str


class Breakers:
    """The breakers of one process; safe to share between threads. `on_turn` is told of every change of state."""

    def __init__(self, on_turn: Callable[[Turn], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._on_turn = on_turn
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # Of two versions that share a line's requests, one may fail and the other must go on.
        self._breakers: dict[tuple[str, str, str], _Breaker] = {}

    def enter(self, route: str, target: Target, ladder: Ladder) -> None:
        """Let a request try the target. Raises BreakerOpen. Who entered calls `succeeded`, `failed` or `left`."""
        turn: Turn | None = None
        try:
            with self._lock:
                breaker = self._breakers.setdefault(_key(route, target), _Breaker(resets=target.resets))
                if breaker.resets != target.resets:
                    breaker.resets, breaker.failures = target.resets, 0
                    turn = self._turn(route, target.line, breaker, CLOSED, "Reset by a person.")
                if target.is_tripped:
                    turn = self._turn(route, target.line, breaker, OPEN, "Tripped by a person.") or turn
                    raise BreakerOpen(
                        f"Line {target.line} was closed to traffic by a person.", retry_after_seconds=TRIPPED_SECONDS
                    )
                turn = self._enter_untripped(route, target, breaker, ladder) or turn
        finally:
            self._tell(turn)

    def _enter_untripped(self, route: str, target: Target, breaker: _Breaker, ladder: Ladder) -> Turn | None:
        if breaker.state == CLOSED:
            return None
        if breaker.state == HALF_OPEN:
            raise BreakerOpen(
                f"Line {target.line} failed, and another request is trying it.", retry_after_seconds=LOOK_AGAIN_SECONDS
            )
        left = breaker.opened_at + ladder.breaker_open_seconds - self._monotonic()
        if left > 0:
            raise BreakerOpen(
                f"Line {target.line} failed {breaker.failures} times in a row and is left alone: {breaker.reason}",
                retry_after_seconds=left,
            )
        return self._turn(route, target.line, breaker, HALF_OPEN, "One request tries it.")

    def succeeded(self, route: str, target: Target) -> None:
        """The target answered."""
        with self._lock:
            breaker = self._breakers[_key(route, target)]
            breaker.failures = 0
            turn = self._turn(route, target.line, breaker, CLOSED, "It answers again.")
        self._tell(turn)

    def failed(self, route: str, target: Target, ladder: Ladder, reason: str) -> None:
        """The target did not answer."""
        turn = None
        with self._lock:
            breaker = self._breakers[_key(route, target)]
            breaker.failures += 1
            breaker.reason = reason
            if breaker.state == HALF_OPEN or breaker.failures >= ladder.breaker_failures:
                breaker.opened_at = self._monotonic()
                turn = self._turn(route, target.line, breaker, OPEN, reason)
        self._tell(turn)

    def left(self, route: str, target: Target) -> None:
        """The request ended without saying anything about the target: it had no room, or was wrong itself."""
        with self._lock:
            breaker = self._breakers[_key(route, target)]
            if breaker.state == HALF_OPEN:  # whoever comes next tries it
                breaker.state = OPEN

    def _turn(self, route: str, line: str, breaker: _Breaker, state: str, reason: str) -> Turn | None:
        if breaker.state == state:
            return None
        breaker.state = state
        return Turn(route, line, state, reason)

    def _tell(self, turn: Turn | None) -> None:
        if turn is not None:
            self._on_turn(turn)


def _key(route: str, target: Target) -> tuple[str, str, str]:
    return route, target.line, target.adapter_version
