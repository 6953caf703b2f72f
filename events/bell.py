"""The bell of a task that many things ring for: it sounds at once, and then no more often than is of use.

A ring costs a request about as much as two statements do, and one that finds nothing costs a worker a look. The
worker that hears it takes all rows that wait, so one ring serves all that happened before it.
"""

import threading
import time

from events.dispatch import ring_bell

QUIET_SECONDS = 0.25


class Bell:
    """Rings a task at once; what happens within a quarter of a second after that is rung for at the end of it.

    Each process has its own. When a process dies before its late ring, the sweep finds what that was for.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._is_promised = False

    def ring(self) -> None:
        """Have the task run soon; never raises for a broker that is away."""
        with self._lock:
            wait = self._quiet_until - time.monotonic()
            # A promise whose time is over was lost: its thread died with the process that this one was forked from.
            if self._is_promised and wait > -QUIET_SECONDS:
                return
            if wait > 0:
                self._is_promised = True
                threading.Timer(wait, self._ring_now).start()
                return
        self._ring_now()

    def _ring_now(self) -> None:
        with self._lock:
            self._quiet_until, self._is_promised = time.monotonic() + QUIET_SECONDS, False
        ring_bell(self._task, {})
