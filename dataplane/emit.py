"""Token counts on their way to CloudWatch: summed per route and period, put once, never put twice.

PutMetricData has no idempotency token, so a repeated put counts twice on an invoice. Retries are therefore off, and a
put whose fate is unknown is not repeated: it is reported as unconfirmed. What certainly did not arrive is kept for
the next flush.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

# What an invoice may rest on; reports and reconciliations are about these.
COUNTED = ("InputTokens", "OutputTokens", "Requests", "CachedInputTokens")
# Put only where there are any: where Requests is and this is not, it was zero.
WHERE_ANY = frozenset({"CachedInputTokens"})
# How long the requests took, each for itself: its sum with Requests gives their mean latency, and CloudWatch gives
# percentiles of it, which it does not of sets of statistics. Put in the same call.
BUSY = "BusyMilliseconds"
METRICS = (*COUNTED, BUSY)
UNITS = ("Count", "Count", "Count", "Count", "Milliseconds")
# Requests that a version did not answer, whoever did then; put only where there are any, and never on an invoice.
ERRORS = "Errors"
DATUMS_PER_PUT = 1000  # PutMetricData's own limit
# A datum takes 150 values: each of 75 buckets, a fifth wider than the one below, is told by two of them.
BUCKET_RATIO, LAST_BUCKET = 1.2, 73
KEYS_PER_PUT = DATUMS_PER_PUT // (len(METRICS) + 1)
# A put answered with 4xx was turned away whole. With these codes something inside it is at fault (a stamp older than
# two weeks, say), so sending the same again is useless and the rest of the batch must not suffer for it.
FAULTY_CODES = frozenset(
    {"InvalidParameterValue", "InvalidParameterCombination", "MissingParameter", "InvalidFormat", "ValidationError"}
)

Key = tuple[str, str, str, int]  # namespace, adapter version, line, start of the period (epoch seconds)


@dataclass(slots=True)
class _Total:
    """A StatisticSet per metric, kept as whole numbers; of the busy time also by bucket, as number and sum."""

    requests: int = 0
    errors: int = 0
    sums: list[int] = field(default_factory=lambda: [0] * len(METRICS))
    lows: list[int] = field(default_factory=lambda: [0] * len(METRICS))
    highs: list[int] = field(default_factory=lambda: [0] * len(METRICS))
    busy: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, values: Sequence[int]) -> None:
        first = self.requests == 0
        self.requests += 1
        for at, value in enumerate(values):
            self.sums[at] += value
            self.lows[at] = value if first else min(self.lows[at], value)
            self.highs[at] = value if first else max(self.highs[at], value)
        self._busy(_bucket(values[-1]), 1, values[-1])

    def _busy(self, bucket: int, number: int, milliseconds: int) -> None:
        known, total = self.busy.get(bucket, (0, 0))
        self.busy[bucket] = (known + number, total + milliseconds)

    def counted(self) -> list[tuple[int, str]]:
        """Place and name of every counted metric that it has something to say of."""
        if not self.requests:
            return []
        return [(at, metric) for at, metric in enumerate(COUNTED) if self.sums[at] or metric not in WHERE_ANY]

    def spread(self) -> dict[int, int]:
        """How often which busy time: whole numbers within their buckets, whose sum is exact, for it is on invoices."""
        found = {}
        for number, total in self.busy.values():
            low, above = divmod(total, number)
            found[low] = number - above
            if above:
                found[low + 1] = above
        return found

    def merge(self, other: _Total) -> None:
        self.errors += other.errors
        if not other.requests:
            return
        for at in range(len(METRICS)):
            self.lows[at] = min(self.lows[at], other.lows[at]) if self.requests else other.lows[at]
            self.highs[at] = max(self.highs[at], other.highs[at]) if self.requests else other.highs[at]
            self.sums[at] += other.sums[at]
        self.requests += other.requests
        for bucket, (number, milliseconds) in other.busy.items():
            self._busy(bucket, number, milliseconds)


@dataclass(frozen=True, slots=True)
class FlushReport:
    """Sums per counted metric: confirmed, kept for the next flush, refused for good, or of unknown fate."""

    sent: dict[str, int]
    kept: dict[str, int]
    refused: dict[str, int]
    unconfirmed: dict[str, int]
    errors: tuple[str, ...]


@dataclass(slots=True)
class _Outcome:
    sent: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unconfirmed: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


class Emitter:
    """Collects one tenant's counts and puts them; safe to share between threads.

    `client` must be built with retries off. `period_seconds` is a multiple of 60; counts of a period that is put in
    several flushes add up in CloudWatch. At `max_keys` buffered periods a new one pushes the oldest out, which is
    counted in `dropped`: losing revenue is preferred to refusing requests or to unbounded memory.
    """

    def __init__(self, *, client: Any, tenant: str, period_seconds: int = 60, max_keys: int = 50_000) -> None:
        if period_seconds < 60 or period_seconds % 60:
            raise ValueError("period_seconds must be a multiple of 60: CloudWatch keeps no finer grid for two weeks.")
        self._client = client
        self._tenant = tenant
        self._period_seconds = period_seconds
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._totals: dict[Key, _Total] = {}
        self.confirmed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def record(
        self,
        *,
        namespace: str,
        adapter_version: str,
        line: str,
        at: float,
        input_tokens: int,
        output_tokens: int,
        busy_milliseconds: int,
        cached_input_tokens: int = 0,
    ) -> None:
        """Count one answered request that happened `at` (epoch seconds) and took so long.

        `cached_input_tokens` are not among `input_tokens`.
        """
        values = (input_tokens, output_tokens, 1, cached_input_tokens, busy_milliseconds)
        with self._lock:
            self._total(namespace, adapter_version, line, at).add(values)

    def record_error(self, *, namespace: str, adapter_version: str, line: str, at: float) -> None:
        """Count one request that was not answered `at` (epoch seconds)."""
        with self._lock:
            self._total(namespace, adapter_version, line, at).errors += 1

    def _total(self, namespace: str, adapter_version: str, line: str, at: float) -> _Total:
        """Where to count; the caller holds the lock."""
        start = int(at // self._period_seconds) * self._period_seconds
        key = (namespace, adapter_version, line, start)
        total = self._totals.get(key)
        if total is None:
            self._make_room()
            total = self._totals[key] = _Total()
        return total

    @property
    def buffered(self) -> int:
        """How many (route, period) sums wait to be put."""
        with self._lock:
            return len(self._totals)

    def flush(self) -> FlushReport:
        """Put everything buffered; return what became of it. Never raises for CloudWatch's refusals."""
        with self._flushing:
            with self._lock:
                totals, self._totals = self._totals, {}
            report = self._put_all(totals)
            self.confirmed.update(report.sent)
            return report

    def _put_all(self, totals: dict[Key, _Total]) -> FlushReport:
        outcome = _Outcome()
        for namespace in sorted({key[0] for key in totals}):
            keys = sorted(key for key in totals if key[0] == namespace)
            for first in range(0, len(keys), KEYS_PER_PUT):
                self._put_batch(namespace, {key: totals[key] for key in keys[first : first + KEYS_PER_PUT]}, outcome)
        return FlushReport(
            sent=dict(outcome.sent),
            kept=dict(outcome.kept),
            refused=dict(outcome.refused),
            unconfirmed=dict(outcome.unconfirmed),
            errors=tuple(outcome.errors),
        )

    def _put_batch(self, namespace: str, batch: dict[Key, _Total], outcome: _Outcome) -> None:
        """Put a batch and sort it by its fate; one with a faulty datum is halved until that datum stands alone."""
        error = self._put(namespace, batch)
        if error is None:
            _count(outcome.sent, batch)
            return
        if _is_faulty(error) and len(batch) > 1:
            keys = list(batch)
            for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
                self._put_batch(namespace, {key: batch[key] for key in half}, outcome)
            return
        outcome.errors.append(str(error))
        if _is_faulty(error):
            _count(outcome.refused, batch)
        elif _surely_not_applied(error):
            _count(outcome.kept, batch)
            self._keep(batch)
        else:
            _count(outcome.unconfirmed, batch)

    def _put(self, namespace: str, batch: dict[Key, _Total]) -> Exception | None:
        data = [datum for key, total in batch.items() for datum in self._data(key, total)]
        try:
            self._client.put_metric_data(Namespace=namespace, MetricData=data)
        except (ClientError, BotoCoreError) as error:
            return error
        return None

    def _data(self, key: Key, total: _Total) -> list[dict[str, Any]]:
        _, adapter_version, line, start = key
        dimensions = [
            {"Name": "TenantId", "Value": self._tenant},
            {"Name": "AdapterVersion", "Value": adapter_version},
            {"Name": "Line", "Value": line},
        ]
        told: list[tuple[str, str, dict[str, Any]]] = []
        if total.requests:
            for at, metric in total.counted():
                told.append((metric, UNITS[at], _set(total.requests, total.sums[at], total.lows[at], total.highs[at])))
            spread = total.spread()
            told.append((BUSY, UNITS[-1], {"Values": list(spread), "Counts": list(spread.values())}))
        if total.errors:
            told.append((ERRORS, "Count", _set(total.errors, total.errors, 1, 1)))
        return [
            {"MetricName": metric, "Dimensions": dimensions, "Timestamp": start, "Unit": unit, **values}
            for metric, unit, values in told
        ]

    def _keep(self, batch: dict[Key, _Total]) -> None:
        with self._lock:
            for key, total in batch.items():
                newer = self._totals.get(key)
                if newer is None:
                    self._make_room()
                    self._totals[key] = total
                else:
                    newer.merge(total)

    def _make_room(self) -> None:
        """Push the oldest period out when the buffer is full; the caller holds the lock."""
        if len(self._totals) >= self._max_keys:
            oldest = min(self._totals, key=lambda key: key[3])
            _count(self.dropped, {oldest: self._totals.pop(oldest)})


def _bucket(milliseconds: int) -> int:
    """The bucket of a busy time: one of its own for 0, none wider than a fifth of its times up to ten minutes."""
    return min(int(math.log(milliseconds, BUCKET_RATIO)), LAST_BUCKET) if milliseconds > 0 else -1


def _set(number: int, total: int, low: int, high: int) -> dict[str, Any]:
    return {"StatisticValues": {"SampleCount": number, "Sum": total, "Minimum": low, "Maximum": high}}


def _count(into: Counter[str], batch: dict[Key, _Total]) -> None:
    for total in batch.values():
        for at, metric in total.counted():
            into[metric] += total.sums[at]


def _is_faulty(error: Exception) -> bool:
    return isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in FAULTY_CODES


def _surely_not_applied(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return 400 <= error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500
    return isinstance(error, EndpointConnectionError | ConnectTimeoutError)
