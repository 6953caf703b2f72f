"""AWS's own limit on calls: a token bucket per account, region and operation. Who calls faster is refused."""

import time
from collections import Counter
from dataclasses import dataclass


@dataclass
class Limit:
    """Calls a second, and how many may come at once."""

    per_second: float
    burst: int


class Throttle:
    """The limits that were ordered, and what is left in each bucket. Without a limit nothing is refused.

    On the machine's time, because the business clock jumps. Not kept over restarts: it says how calls travel, not what
    there is.
    """

    def __init__(self) -> None:
        self.limits: dict[str, Limit] = {}
        self.refused: Counter[str] = Counter()
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}

    def order(self, operation: str, limit: Limit | None) -> None:
        """Limit an operation from now on, its buckets full; None takes the limit back."""
        if limit is None:
            self.limits.pop(operation, None)
        else:
            self.limits[operation] = limit
        self._buckets = {key: left for key, left in self._buckets.items() if key[2] != operation}

    def lets_through(self, account: str, region: str, operation: str) -> bool:
        """Whether this call may be made; it then costs a token."""
        limit = self.limits.get(operation)
        if limit is None:
            return True
        key, now = (account, region, operation), time.monotonic()
        left, at = self._buckets.get(key, (float(limit.burst), now))
        left = min(float(limit.burst), left + (now - at) * limit.per_second)
        lets = left >= 1
        self._buckets[key] = (left - lets, now)
        self.refused[operation] += not lets
        return lets

    def clear(self) -> None:
        """No limits, nothing counted."""
        self.limits.clear()
        self.refused.clear()
        self._buckets.clear()
