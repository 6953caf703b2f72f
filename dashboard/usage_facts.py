"""Usage as charts and tables show it: tokens per local day, totals per tenant and meter, and whether a day is known."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString

from core.periods import Period
from dashboard.charts import NARROW, Bar, sparkline, stacked_bars
from metering.meters import METERS
from metering.queries import gaps, usage_by_day
from tenants.queries import list_tenants

LONGEST_DAYS = 366


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
    sums: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in usage_by_day(tenant_ids=tenant_ids, start=period.start, end=period.end, timezone=timezone):
        sums[row.day][row.meter] += row.quantity
    unknown = _unknown_days(tenant_ids, period, timezone)
    days = [
        DayTokens(f"{day.day} {day:%b}", sums[day]["input_tokens"], sums[day]["output_tokens"], day in unknown)
        for day in _days(period, timezone)
    ]
    return TokensByDay(
        days=days if any(day.tokens_in or day.tokens_out for day in days) else [],
        tokens_in=sum(day.tokens_in for day in days),
        tokens_out=sum(day.tokens_out for day in days),
        is_complete=not unknown,
        chart=stacked_bars(
            [Bar(day.label, (day.tokens_in, day.tokens_out), day.is_gap) for day in days],
            title=f"Tokens in and out per day, {timezone}",
            series=("in", "out"),
            unit="tokens",
            width=width,
        ),
        sparkline=sparkline([day.tokens_in + day.tokens_out for day in days], title="Tokens per day"),
    )


def totals(tenant_ids: Collection[int] | None, period: Period, timezone: str) -> list[MeterTotal]:
    """What was used in a period, by tenant, meter and line, the largest tenant first."""
    sums: dict[tuple[int, str, str], int] = defaultdict(int)
    for row in usage_by_day(tenant_ids=tenant_ids, start=period.start, end=period.end, timezone=timezone):
        sums[row.tenant_id, row.meter, row.line] += row.quantity
    tenants = {tenant.pk: tenant for tenant in list_tenants(tenant_ids={key[0] for key in sums})}
    weight: dict[int, int] = defaultdict(int)
    for (tenant_id, meter, _line), quantity in sums.items():
        weight[tenant_id] += quantity if METERS[meter].unit == "token" else 0
    order = list(METERS)
    ordered = sorted(
        sums.items(), key=lambda item: (-weight[item[0][0]], item[0][0], order.index(item[0][1]), item[0][2])
    )
    return [
        MeterTotal(tenants[tenant_id], meter, METERS[meter].title, METERS[meter].unit, line, quantity)
        for (tenant_id, meter, line), quantity in ordered
    ]


def _days(period: Period, timezone: str) -> list[date]:
    zone = ZoneInfo(timezone)
    first = period.start.astimezone(zone).date()
    last = (period.end - timedelta(microseconds=1)).astimezone(zone).date()
    return [first + timedelta(days=each) for each in range(min((last - first).days + 1, LONGEST_DAYS))]


def _unknown_days(tenant_ids: Collection[int] | None, period: Period, timezone: str) -> set[date]:
    found: set[date] = set()
    for gap in gaps(tenant_ids=tenant_ids):
        start, end = max(gap.start, period.start), min(gap.end, period.end)
        if start < end:
            found.update(_days(Period(start, end), timezone))
    return found
