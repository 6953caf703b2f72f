"""Usage as charts and tables show it: tokens per local day, totals per tenant and meter, and whether a day is known."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString

from core.periods import Period
from dashboard.charts import NARROW, Bar, sparkline, stacked_bars
from metering.queries import unknown_hours
from metering.queries.explorer import Cut, points

LONGEST_DAYS = 366
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DayTokens:
    """Tokens of one local day; a gap means that some of its hours are not known yet."""

    label: str
    tokens_in: int
    tokens_out: int
    is_gap: bool


@dataclass(frozen=True, slots=True)
class TokensByDay:
    """The days of a period and what is drawn of them."""

    days: list[DayTokens]
    tokens_in: int
    tokens_out: int
    is_complete: bool
    chart: SafeString
    sparkline: SafeString


@dataclass(frozen=True, slots=True)
class MeterTotal:
    """What one tenant used of one meter on one line."""

    tenant: Any
    meter: str
    meter_title: str
    unit: str
    line: str
    quantity: int


def tokens_by_day(
    tenant_ids: Collection[int] | None, period: Period, timezone: str, *, width: int = NARROW
) -> TokensByDay:
    """Tokens of every day of `period`, also of days without any, so that a quiet day is seen as one."""
    sums: dict[Any, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    days = _days(period, timezone)
    zone = ZoneInfo(timezone)
    end = datetime.combine(days[-1] + timedelta(days=1), time(), tzinfo=zone)
    for point in points(Cut(tenant_ids, period.start, end, timezone)):
        sums[point.at][point.meter] += point.quantity
    unknown = _unknown_days(tenant_ids, period, timezone)
    shown = [
        DayTokens(f"{day.day} {day:%b}", sums[day]["input_tokens"], sums[day]["output_tokens"], day in unknown)
        for day in days
    ]
    return TokensByDay(
        days=shown if any(day.tokens_in or day.tokens_out for day in shown) else [],
        tokens_in=sum(day.tokens_in for day in shown),
        tokens_out=sum(day.tokens_out for day in shown),
        is_complete=not unknown,
        chart=stacked_bars(
            [Bar(day.label, (day.tokens_in, day.tokens_out), day.is_gap) for day in shown],
            title=f"Tokens in and out per day, {timezone}",
            series=("in", "out"),
            unit="tokens",
            width=width,
        ),
        sparkline=sparkline([day.tokens_in + day.tokens_out for day in shown], title="Tokens per day"),
    )


def _days(period: Period, timezone: str) -> list[date]:
    zone = ZoneInfo(timezone)
    first = period.start.astimezone(zone).date()
    last = (period.end - timedelta(microseconds=1)).astimezone(zone).date()
    return [first + timedelta(days=each) for each in range(min((last - first).days + 1, LONGEST_DAYS))]


def _unknown_days(tenant_ids: Collection[int] | None, period: Period, timezone: str) -> set[date]:
    found: set[date] = set()
    for hour in unknown_hours(tenant_ids=tenant_ids):
        start, end = max(hour, period.start), min(hour + HOUR, period.end)
        if start < end:
            found.update(_days(Period(start, end), timezone))
    return found
