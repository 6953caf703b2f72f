"""What a data plane tells the control plane: that requests were degraded, and how its circuit breakers stand.

Items of the tenant in the limits table, gone by themselves after a while:

    degrade#{minute}#{route}#{line}#{to}#{reason}   how often in that minute a request was passed on from `line`
    degraded                                        how often degrades were told: a reader that knows the count, and
                                                    finds it unchanged, need not look for new ones
    breaker#{route}#{line}#{process}                the state of one process's breaker, and since when
    away#{hour}#{line}                              how often in that hour `line` did not answer and another had to,
                                                    or nobody did; without a line: refused by the tenant's own limits

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
from dataplane.errors import LimitExceeded

DEGRADE, BREAKER = "degrade", "breaker"
DEGRADED = "degraded"
EVERY_SECONDS = 5.0
MINUTE_SECONDS, HOUR_SECONDS = 60, 3600
REFUSED = "refused"
KEEP_DEGRADES_SECONDS = 30 * 86_400
KEEP_AWAYS_SECONDS = 86_400
# A process that ends says nothing; what it told is taken for stale after this.
KEEP_BREAKERS_SECONDS = 3600
# What is not told yet; beyond it the newest kinds of degrade are left out, and what is known is counted on.
WAITING = 500

Degrade = tuple[int, str, str, str, str]  # minute, route, line, to, reason


def away_key(at: float, line: str = "") -> str:
    """The item that counts requests which a line, or without one the tenant's limits, turned away in the hour of `at`.

    Known beforehand, so that the control plane reads those of many tenants at once.
    """
    return f"away#{int(at // HOUR_SECONDS) * HOUR_SECONDS}#{line}"


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
        self._aways: Counter[str] = Counter()
        self._owes_mark = False
        self._turns: dict[tuple[str, str], tuple[Turn, float]] = {}
        self._next = time.monotonic()

    def degraded(self, route: str, line: str, to: str, reason: str, at: float) -> None:
        """A request of `route` was passed on from `line` to another line, to the queue, or refused."""
        key = (int(at // MINUTE_SECONDS) * MINUTE_SECONDS, route, line, to, reason)
        with self._lock:
            if key in self._degrades or len(self._degrades) < WAITING:
                self._degrades[key] += 1
            if reason != LimitExceeded.code:
                self._aways[away_key(at, line)] += 1
            elif to == REFUSED:  # otherwise its allowance on the line is used, and the next one answers as it should
                self._aways[away_key(at)] += 1

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
            aways, self._aways = self._aways, Counter()
            turns, self._turns = self._turns, {}
            owes_mark, self._owes_mark = self._owes_mark or bool(degrades), False
        if self._client is None:
            return
        try:
            while turns:
                self._put(*next(iter(turns.values())))
                turns.pop(next(iter(turns)))
            while degrades:
                key = next(iter(degrades))
                minute, *words = key
                self._add("#".join([DEGRADE, f"{minute:010d}", *words]), degrades[key], KEEP_DEGRADES_SECONDS)
                degrades.pop(key)
            if owes_mark:  # after them, so that whoever sees the mark finds them
                self._add(DEGRADED, 1, KEEP_DEGRADES_SECONDS)
                owes_mark = False
            while aways:
                name = next(iter(aways))
                self._add(name, aways[name], KEEP_AWAYS_SECONDS)
                aways.pop(name)
        except (ClientError, BotoCoreError):
            with self._lock:
                self._degrades.update(degrades)
                self._aways.update(aways)
                self._turns = turns | self._turns
                self._owes_mark |= owes_mark

    def _put(self, turn: Turn, at: float) -> None:
        item = self._key(f"{BREAKER}#{turn.route}#{turn.line}#{self._process}")
        item |= {
            "state": {"S": turn.state},
            "reason": {"S": turn.reason[:500]},
            "at": {"N": str(int(at))},
            "expires_at": {"N": str(int(self._real()) + KEEP_BREAKERS_SECONDS)},
        }
        self._client.put_item(TableName=self._table, Item=item)

    def _add(self, item: str, times: int, keep_seconds: int) -> None:
        self._client.update_item(
            TableName=self._table,
            Key=self._key(item),
            UpdateExpression="ADD times :n SET expires_at = :e",
            ExpressionAttributeValues={
                ":n": {"N": str(times)},
                ":e": {"N": str(int(self._real()) + keep_seconds)},
            },
        )

    def _key(self, item: str) -> dict[str, Any]:
        return {"tenant": {"S": self._tenant}, "item": {"S": item}}
