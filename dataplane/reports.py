"""What a data plane tells the control plane: that requests were degraded, and how its circuit breakers stand.

Items of the tenant in the limits table, gone by themselves after a while:

    degrade#{minute}#{route}#{line}#{to}#{reason}   how often in that minute a request was passed on from `line`
    breaker#{route}#{line}#{process}                the state of one process's breaker, and since when

Telling is best effort: a request never waits for more than a second for it, and never fails by it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataplane.breakers import Turn

DEGRADE, BREAKER = "degrade", "breaker"
EVERY_SECONDS = 5.0
MINUTE_SECONDS = 60
KEEP_DEGRADES_SECONDS = 30 * 86_400
# A process that ends says nothing; what it told is taken for stale after this.
KEEP_BREAKERS_SECONDS = 3600
# What is not told yet; beyond it the newest kinds of degrade are left out, and what is known is counted on.
WAITING = 500

Degrade = tuple[int, str, str, str, str]  # minute, route, line, to, reason


class Reporter:
    """Tells about one tenant's data plane in this process; safe to share between threads.

    Without a client it tells nothing. `clock` stamps what happened; `real` (epoch seconds) bounds how long it is kept.
    """

    def __init__(self, client: Any, table: str, tenant: str, real: Callable[[], float] = time.time) -> None:
        self._client = client
        self._table = table
        self._tenant = tenant
        self._real = real
        self._process = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._degrades: Counter[Degrade] = Counter()
        self._turns: dict[tuple[str, str], tuple[Turn, float]] = {}
        self._next = time.monotonic()

    def degraded(self, route: str, line: str, to: str, reason: str, at: float) -> None:
        """A request of `route` was passed on from `line` to another line, to the queue, or refused."""
        key = (int(at // MINUTE_SECONDS) * MINUTE_SECONDS, route, line, to, reason)
        with self._lock:
            if key in self._degrades or len(self._degrades) < WAITING:
                self._degrades[key] += 1

    def turned(self, turn: Turn, at: float) -> None:
        """A breaker changed; told at once."""
        with self._lock:
            self._turns[turn.route, turn.line] = (turn, at)
            self._next = time.monotonic()

    def tell_when_due(self) -> None:
        """Tell what happened, every few seconds at most."""
        if time.monotonic() >= self._next:
            self.tell()

    def tell(self) -> None:
        """Tell now. What cannot be told now is kept for the next time."""
        with self._lock:
            self._next = time.monotonic() + EVERY_SECONDS
            degrades, self._degrades = self._degrades, Counter()
            turns, self._turns = self._turns, {}
        if self._client is None:
            return
        try:
            while turns:
                self._put(*next(iter(turns.values())))
                turns.pop(next(iter(turns)))
            while degrades:
                key = next(iter(degrades))
                self._add(key, degrades[key])
                degrades.pop(key)
        except (ClientError, BotoCoreError):
            with self._lock:
                self._degrades.update(degrades)
                self._turns = turns | self._turns

    def _put(self, turn: Turn, at: float) -> None:
        item = self._key(f"{BREAKER}#{turn.route}#{turn.line}#{self._process}")
        item |= {
            "state": {"S": turn.state},
            "reason": {"S": turn.reason[:500]},
            "at": {"N": str(int(at))},
            "expires_at": {"N": str(int(self._real()) + KEEP_BREAKERS_SECONDS)},
        }
        self._client.put_item(TableName=self._table, Item=item)

    def _add(self, degrade: Degrade, times: int) -> None:
        minute, *words = degrade
        self._client.update_item(
            TableName=self._table,
            Key=self._key("#".join([DEGRADE, f"{minute:010d}", *words])),
            UpdateExpression="ADD times :n SET expires_at = :e",
            ExpressionAttributeValues={
                ":n": {"N": str(times)},
                ":e": {"N": str(int(self._real()) + KEEP_DEGRADES_SECONDS)},
            },
        )

    def _key(self, item: str) -> dict[str, Any]:
        return {"tenant": {"S": self._tenant}, "item": {"S": item}}
