"""Periods are half-open, [start, end), and aware in UTC; a billing month begins at local midnight of its zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

HOUR_SECONDS = 3600
QUARTER_SECONDS = 900


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The instants from `start` up to, but not including, `end`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a period needs aware instants")
        if self.end <= self.start:
            raise ValueError(f"a period must end after it starts: {self.start} .. {self.end}")

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end

    @property
    def seconds(self) -> int:
        """Its length; months differ by their days and by daylight saving."""
        return round((self.end - self.start).total_seconds())

    def overlap(self, other: "Period") -> "Period | None":
        """The part that both cover, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None


@lru_cache(maxsize=1024)
def billing_month(year: int, month: int, timezone: str) -> Period:
    """The calendar month of a zone, as instants in UTC."""
    zone = ZoneInfo(timezone)
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    start = datetime(year, month, 1, tzinfo=zone)
    end = datetime(*following, 1, tzinfo=zone)
    return Period(start.astimezone(UTC), end.astimezone(UTC))


def month_containing(at: datetime, timezone: str) -> Period:
    """The billing month of the zone that `at` falls into."""
    local = at.astimezone(ZoneInfo(timezone))
    return billing_month(local.year, local.month, timezone)


@lru_cache(maxsize=4096)
def bucket_seconds(timezone: str, *, year: int = 2026) -> int:
    """The usage bucket for a zone: an hour, or a quarter where local midnight is not on a whole UTC hour.

    Offsets are read on both sides of a year, so that a half-hour daylight saving (Lord Howe) counts too.
    """
    zone = ZoneInfo(timezone)
    offsets = {datetime(year, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)}
    whole_hours = all(offset is not None and offset % timedelta(hours=1) == timedelta(0) for offset in offsets)
    return HOUR_SECONDS if whole_hours else QUARTER_SECONDS


def floor_to_bucket(at: datetime, seconds: int) -> datetime:
    """The start of the bucket that `at` falls into, on the UTC grid."""
    epoch = int(at.timestamp())
    return datetime.fromtimestamp(epoch - epoch % seconds, UTC)
