"""The usage explorer: what the address asks for, and what is drawn and listed of it."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString

from core import clock
from core.periods import Period, floor_to_bucket, month_containing
from dashboard.access import OperatorRequest
from dashboard.charts import WIDE, Bar, stacked_bars
from dashboard.reading import text_of
from dashboard.usage_facts import MeterTotal
from metering.meters import METERS
from metering.queries import unknown_hours
from metering.queries.explorer import Cut, points, totals
from tenants.queries import list_tenants

RANGES = [
    ("month", "This month"), ("last-month", "Last month"), ("14-days", "Last 14 days"), ("2-days", "Last 2 days"),
]  # fmt: skip
TOKENS = ("input_tokens", "output_tokens")
LONGEST_BY_HOUR = timedelta(days=7)
LONGEST_DAYS = 366
ROWS_SHOWN = 100
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """The range that the address names, and the cut of usage with it."""

    range: str
    period: Period
    cut: Cut

    @property
    def first_day(self) -> str:
        """The first local day, as a date field holds it."""
        return self.period.start.astimezone(ZoneInfo(self.cut.timezone)).date().isoformat()

    @property
    def last_day(self) -> str:
        """The last local day."""
        return (self.period.end - timedelta(microseconds=1)).astimezone(ZoneInfo(self.cut.timezone)).date().isoformat()


@dataclass(frozen=True, slots=True)
class Slot:
    """One bar: its day or hour, its parts, and whether some of it is not known yet."""

    label: str
    values: tuple[int, ...]
    is_gap: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """The bars with their chart; `series` names the parts."""

    slots: list[Slot]
    series: tuple[str, ...]
    sums: tuple[int, ...]
    chart: SafeString


def asked_for(request: OperatorRequest, tenant_ids: Collection[int] | None, timezone: str) -> Asked:
    """What the address asks for; what it gets wrong is left out."""
    chosen, period = _period(request, timezone)
    by_hour = text_of(request, "group") == "hour" and period.end - period.start <= LONGEST_BY_HOUR
    meter = text_of(request, "meter")
    cut = Cut(
        tenant_ids=tenant_ids,
        start=period.start,
        end=period.end,
        timezone=timezone,
        meter=meter if meter in METERS else None,
        line=text_of(request, "line") or None,
        adapter_version=text_of(request, "adapter") or None,
        by_hour=by_hour,
    )
    return Asked(chosen, period, cut)


def draw(cut: Cut) -> Drawn:
    """A bar per day or hour of the meter asked for, or of tokens in and out."""
    meters = (cut.meter,) if cut.meter else TOKENS
    series = (METERS[cut.meter].title,) if cut.meter else ("in", "out")
    unit = METERS[meters[0]].unit + "s"
    sums: dict[Any, dict[str, int]] = defaultdict(dict)
    for point in points(cut):
        sums[point.at][point.meter] = point.quantity
    unknown = _unknown(cut)
    slots = [Slot(label, tuple(sums[at].get(meter, 0) for meter in meters), at in unknown) for at, label in _slots(cut)]
    return Drawn(
        slots=slots if any(any(slot.values) for slot in slots) else [],
        series=series,
        sums=tuple(sum(slot.values[part] for slot in slots) for part in range(len(meters))),
        chart=stacked_bars(
            [Bar(slot.label, slot.values, slot.is_gap) for slot in slots],
            title=f"{METERS[cut.meter].title if cut.meter else 'Tokens in and out'}, {cut.timezone}",
            series=series,
            unit=unit,
            width=WIDE,
        ),
    )


def listed(cut: Cut) -> list[MeterTotal]:
    """What was used per tenant, meter and line, at most `ROWS_SHOWN` rows."""
    rows = totals(cut, limit=ROWS_SHOWN)
    tenants = {tenant.pk: tenant for tenant in list_tenants(tenant_ids={row.tenant_id for row in rows})}
    return [
        MeterTotal(
            tenants[row.tenant_id], row.meter, METERS[row.meter].title, METERS[row.meter].unit, row.line, row.quantity
        )
        for row in rows
    ]


def _slots(cut: Cut) -> list[tuple[datetime | date, str]]:
    zone = ZoneInfo(cut.timezone)
    if cut.by_hour:
        start = floor_to_bucket(cut.start, 3600)
        hours = [start + each * HOUR for each in range(int((cut.end - start) / HOUR))]
        return [(hour, f"{hour.astimezone(zone):%d %b %H:%M}") for hour in hours]
    return [(day, f"{day.day} {day:%b}") for day in _days(cut.start, cut.end, zone)]


def _days(start: datetime, end: datetime, zone: ZoneInfo) -> list[date]:
    first, last = start.astimezone(zone).date(), (end - timedelta(microseconds=1)).astimezone(zone).date()
    return [first + timedelta(days=each) for each in range(min((last - first).days + 1, LONGEST_DAYS))]


def _unknown(cut: Cut) -> set[datetime | date]:
    zone = ZoneInfo(cut.timezone)
    hours = {hour for hour in unknown_hours(tenant_ids=cut.tenant_ids) if cut.start - HOUR < hour < cut.end}
    return (
        {*hours} if cut.by_hour else {day for hour in hours for day in _days(max(hour, cut.start), hour + HOUR, zone)}
    )


def _period(request: OperatorRequest, timezone: str) -> tuple[str, Period]:
    """Whole local days: those that the address names, or one of the ranges; this month when it names none."""
    zone, now = ZoneInfo(timezone), clock.now()
    month = month_containing(now, timezone)
    tomorrow = _midnight(now.astimezone(zone).date() + timedelta(days=1), zone)
    try:
        first, last = date.fromisoformat(text_of(request, "from")), date.fromisoformat(text_of(request, "to"))
        if timedelta(0) <= last - first < timedelta(days=LONGEST_DAYS) and first.year > 2000:
            return "", Period(_midnight(first, zone), _midnight(last + timedelta(days=1), zone))
    except (ValueError, OverflowError):
        pass  # no dates, or none that exist: one of the ranges
    match text_of(request, "range"):
        case "last-month":
            return "last-month", month_containing(month.start - timedelta(seconds=1), timezone)
        case "14-days" | "2-days" as chosen:
            days = int(chosen.partition("-")[0])
            return chosen, Period(_midnight((now.astimezone(zone) - timedelta(days=days - 1)).date(), zone), tomorrow)
        case _:
            return "month", Period(month.start, tomorrow)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
