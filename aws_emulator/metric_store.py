"""Metric points as CloudWatch keeps them: per exact dimension set, on a grid, gone when too old."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

DAY = 86_400
KEPT_SECONDS = 455 * DAY
_HOUR = 3600


class SeriesKey(NamedTuple):
    """What sets one metric apart from all others; `dimensions` are sorted pairs."""

    account: str
    region: str
    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Point:
    """Statistics of what was put for one second or minute.

    Nobody sees it before `visible_at`, in emulated time; 0 means at once. `spread` is how often which value was put;
    None where that is not known, because sets of statistics were put of several values.
    """

    at: int
    visible_at: float
    unit: str
    total: float
    count: float
    low: float
    high: float
    spread: dict[float, float] | None = None

    def add(self, other: "Point") -> None:
        """Take in another point of the same time and unit."""
        mine, theirs = self._values(), other._values()
        if mine is None or theirs is None:
            self.spread = None
        elif mine.keys() | theirs.keys() != {self.low}:
            self.spread = {value: mine.get(value, 0) + theirs.get(value, 0) for value in mine.keys() | theirs.keys()}
        self.total += other.total
        self.count += other.count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def _values(self) -> dict[float, float] | None:
        """How often which value was put, if that is known."""
        return {self.low: self.count} if self.low == self.high else self.spread

    def statistic(self, name: str) -> float | None:
        """SampleCount, Average, Sum, Minimum, Maximum, or a percentile such as p90, which needs the values: else None.

        AWS does not say how it interpolates; here a percentile is a value that was put, by the nearest rank.
        """
        if name.startswith("p"):
            values, needed = self._values(), float(name[1:]) / 100 * self.count
            return None if values is None else self._ranked(values, needed)
        if name == "Average":
            return self.total / self.count
        return {"SampleCount": self.count, "Sum": self.total, "Minimum": self.low, "Maximum": self.high}[name]

    @staticmethod
    def _ranked(values: dict[float, float], needed: float) -> float:
        ascending = sorted(values)
        for value, counted in zip(ascending, accumulate(values[value] for value in ascending), strict=True):
            if counted >= needed:
                return value
        return ascending[-1]


class MetricStore:
    """All points, by series and by hour so that a narrow range of a long series is found at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._series: dict[SeriesKey, dict[int, dict[int, list[Point]]]] = {}
        self._newest: dict[SeriesKey, int] = {}

    def add(self, key: SeriesKey, point: Point) -> None:
        """Keep one more point; the caller holds the lock."""
        hours = self._series.setdefault(key, {})
        at_the_time = hours.setdefault(point.at - point.at % _HOUR, {}).setdefault(point.at, [])
        self._newest[key] = max(point.at, self._newest.get(key, point.at))
        for known in at_the_time:
            # What is seen already must not show a part that is still on its way.
            if known.unit == point.unit and known.visible_at == point.visible_at:
                known.add(point)
                return
        at_the_time.append(point)

    def read(
        self, key: SeriesKey, start: int, end: int, period: int, unit: str | None, now: float
    ) -> list[tuple[int, Point]]:
        """The periods that begin in [start, end), oldest first, each with what is visible of its whole length."""
        first, last = -(-start // period) * period, -(-end // period) * period
        found: dict[int, Point] = {}
        with self.lock:
            for point in self._between(key, first, last):
                if point.visible_at > now or point.at < now - KEPT_SECONDS or unit not in (None, point.unit):
                    continue
                begin = point.at - point.at % period
                if begin in found:
                    found[begin].add(point)
                else:
                    found[begin] = Point(
                        begin, 0.0, point.unit, point.total, point.count, point.low, point.high, point.spread
                    )
        return sorted(found.items())

    def _between(self, key: SeriesKey, first: int, last: int) -> Iterator[Point]:
        hours = self._series.get(key, {})
        from_hour = first - first % _HOUR
        few = (last - from_hour) // _HOUR < len(hours)
        wanted = range(from_hour, last, _HOUR) if few else [hour for hour in hours if from_hour <= hour < last]
        for hour in wanted:
            for at, points in hours.get(hour, {}).items():
                if first <= at < last:
                    yield from points

    def active(self, account: str, region: str, since: float) -> list[SeriesKey]:
        """The series of that account and region with a point not older than `since`, in a steady order."""
        with self.lock:
            keys = [key for key, newest in self._newest.items() if newest >= since]
        return sorted(key for key in keys if (key.account, key.region) == (account, region))

    def clear(self) -> None:
        """Forget everything."""
        with self.lock:
            self._series, self._newest = {}, {}
