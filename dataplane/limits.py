"""The tenant's token limits, kept by the kit: reserve, dispatch, settle, and what holds while the table is away.

While DynamoDB does not answer, soft and shadow limits let everything pass. A hard limit goes by its last known count:
each process may pass requests until that count is full, and at most a tenth of the amount per window (`GRACE_SHARE`).
Not open, because an outage would then be the way around a budget that somebody pays for; not closed, because the
table is not needed for answering, and most windows are far from full. So an outage costs at most a tenth of a budget
per process, and what was passed is counted when the table is back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dataplane.budgets import HARD, NOTHING, Budgets, Counter, Limit, Tokens, meter_of
from dataplane.errors import LimitsBusy, LimitsUnavailable
from dataplane.limit_table import LimitTable, Reservation

GRACE_SHARE = 0.1
# How long a table that did not answer is left alone: each try costs a request its timeouts.
COOL_SECONDS = 5.0
# How old the counts may be that an outage is begun with; other processes' use is only seen by looking.
LOOK_SECONDS = 10.0
SWEEP_SECONDS = 60.0
# Settlements that wait for the table; what is pushed out counts as nothing once its reservation expires.
WAITING = 1000
DRAINED_AT_ONCE = 10


class Ticket:
    """Leave for one request. `over` are the soft limits that it is over."""

    def __init__(
        self, limiter: Limiter | None, keys: tuple[str, ...], held: Tokens, reservation: Reservation | None = None
    ) -> None:
        self.keys = keys
        self.held = held
        self.reservation = reservation
        self.over: tuple[Limit, ...] = reservation.over if reservation else ()
        self._limiter = limiter

    def settle(self, actual: Tokens) -> None:
        """Count what was used; a second time does nothing. Never raises: the answer is there already."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.settle(self, actual)

    def release(self) -> None:
        """Give everything back: there was no answer to count."""
        self.settle(NOTHING)


class Limiter:
    """Limits of one tenant; safe to share between threads. `clock` (epoch seconds) decides expiry."""

    def __init__(
        self,
        client: Any,
        table: str,
        tenant: str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = LimitTable(client, table, tenant, clock)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}
        self._owed: dict[str, int] = {}
        self._waiting: deque[tuple[Reservation, Tokens]] = deque(maxlen=WAITING)
        self._away_until = self._look_at = float("-inf")
        self._sweep_at = monotonic() + SWEEP_SECONDS

    def reserve(self, budgets: Budgets, estimate: Tokens, at: float, allowance: Limit | None = None) -> Ticket:
        """Leave to spend up to `estimate` at this instant; with `allowance`, out of a line's allowance too.

        Raises LimitExceeded when a hard limit is full, InvalidRequest when it is smaller than the request, LimitsBusy
        when a crowd holds up its count, and LimitsUnavailable when the table is away and the grace is used up.
        """
        counters = budgets.counters(at, allowance)
        keys = tuple(each.key for each in counters)
        if not counters:
            return Ticket(None, (), estimate)
        if self._monotonic() >= self._away_until:
            try:
                reservation = self._table.reserve(counters, estimate, at)
            except LimitsBusy:
                # A table that answers is not away: grace would let a crowd past the budget that it crowds at.
                if any(each.limit.mode == HARD for each in counters):
                    raise
            except LimitsUnavailable:
                self._away_until = self._monotonic() + COOL_SECONDS
            else:
                self._note(keys, estimate, NOTHING)
                return Ticket(self, keys, estimate, reservation)
        self._go_by_grace(counters, estimate)
        return Ticket(self, keys, estimate)

    def settle(self, ticket: Ticket, actual: Tokens) -> None:
        """Count what a ticket's request used, now or as soon as the table answers. Never raises."""
        self._note(ticket.keys, actual, ticket.held)
        if ticket.reservation is None:
            self._owe(ticket.keys, actual, ticket.held)
        else:
            self._waiting.append((ticket.reservation, actual))
        if self._monotonic() < self._away_until:
            return
        try:
            self._drain()
            self._pay()
            self._look(ticket.keys)
        except LimitsBusy:
            pass  # it waits for the next settlement
        except LimitsUnavailable:
            self._away_until = self._monotonic() + COOL_SECONDS

    def _go_by_grace(self, counters: Sequence[Counter], estimate: Tokens) -> None:
        """Let a request pass without the table, or raise LimitsUnavailable."""
        with self._lock:
            for counter in counters:
                asked, amount = estimate.of(counter.limit.meter), counter.limit.amount
                passed = self._owed.get(counter.key, 0) + asked
                known = self._known.get(counter.key, 0) + asked
                if counter.limit.mode == HARD and (passed > amount * GRACE_SHARE or known > amount):
                    raise LimitsUnavailable(
                        f"The limits table does not answer, and this process has passed what it may without it of "
                        f"{amount} {counter.limit.meter} per {counter.limit.window}. Try again in a few seconds."
                    )
            keys = [each.key for each in counters]
            _shift(self._owed, keys, estimate, NOTHING)
            _shift(self._known, keys, estimate, NOTHING)

    def _note(self, keys: Iterable[str], more: Tokens, less: Tokens) -> None:
        with self._lock:
            _shift(self._known, keys, more, less)

    def _owe(self, keys: Iterable[str], more: Tokens, less: Tokens) -> None:
        with self._lock:
            _shift(self._owed, keys, more, less)

    def _drain(self) -> None:
        """Settle what waits, this request's own among it."""
        for _ in range(DRAINED_AT_ONCE):
            try:
                reservation, actual = self._waiting.popleft()
            except IndexError:
                return
            try:
                self._table.settle(reservation, actual)
            except LimitsUnavailable:
                self._waiting.append((reservation, actual))
                raise

    def _pay(self) -> None:
        """Count what was passed without the table; requests under way are in it with their estimates."""
        with self._lock:
            owed, self._owed = self._owed, {}
        try:
            self._table.add(owed)
        except LimitsUnavailable:
            with self._lock:
                for key, amount in owed.items():
                    self._owed[key] = self._owed.get(key, 0) + amount
            raise

    def _look(self, keys: Iterable[str]) -> None:
        """Now and then: see what others have used, and give back what was abandoned."""
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            seen = self._table.used(keys)
            with self._lock:
                self._known = seen  # counters of windows that have ended fall out
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            self._table.give_back_expired()


def _shift(counts: dict[str, int], keys: Iterable[str], more: Tokens, less: Tokens) -> None:
    for key in keys:
        meter = meter_of(key)
        counts[key] = counts.get(key, 0) + more.of(meter) - less.of(meter)
