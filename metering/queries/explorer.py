"""Usage cut as somebody asks for it: by day or hour, for some tenants, one meter, one line, one adapter version."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from django.db import connection

from metering.counting import COUNTS, JOIN_SOURCE


@dataclass(frozen=True, slots=True)
class Cut:
    """What is asked for; None means all. `start` and `end` are midnights of `timezone` when `by_hour` is not set."""

    tenant_ids: Collection[int] | None
    start: datetime
    end: datetime
    timezone: str
    meter: str | None = None
    line: str | None = None
    adapter_version: str | None = None
    by_hour: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """The sum of a day (local, at its midnight) or an hour."""

    at: datetime | date
    meter: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Row:
    """What one tenant used of one meter on one line; `at` and `adapter_version` only where they were asked for."""

    tenant_id: int
    meter: str
    line: str
    quantity: int
    adapter_version: str = ""
    at: datetime | date | None = None


WHERE_CUT = """
(%(meter)s::text IS NULL OR {t}.meter = %(meter)s) AND (%(line)s::text IS NULL OR {t}.line = %(line)s)
"""
OF_WHOM = """
AND (%(tenants)s::bigint[] IS NULL OR {t}.tenant_id = ANY(%(tenants)s))
AND (%(version)s::text IS NULL OR {t}.adapter_version = %(version)s)
"""
DAYS = (
    "FROM metering_usageday d WHERE d.day >= (%(start)s AT TIME ZONE %(zone)s)::date "
    "AND d.day < (%(end)s AT TIME ZONE %(zone)s)::date AND d.quantity <> 0 AND " + (WHERE_CUT + OF_WHOM).format(t="d")
)
BUCKETS = (
    f"FROM metering_usagebucket b {JOIN_SOURCE} WHERE b.bucket_start >= %(start)s AND b.bucket_start < %(end)s "
    f"AND {COUNTS} AND " + (WHERE_CUT + OF_WHOM).format(t="b")
)
HOURS = "FROM metering_usagehour h WHERE h.hour >= %(start)s AND h.hour < %(end)s AND " + WHERE_CUT.format(t="h")

EVERYBODYS_DAYS = (
    f"SELECT (h.hour AT TIME ZONE %(zone)s)::date, h.meter, sum(h.quantity)::bigint {HOURS} GROUP BY 1, 2 ORDER BY 1, 2"
)
EVERYBODYS_HOURS = f"SELECT h.hour, h.meter, sum(h.quantity)::bigint {HOURS} GROUP BY 1, 2 ORDER BY 1, 2"
BY_DAY = f"SELECT d.day, d.meter, sum(d.quantity)::bigint {DAYS} GROUP BY 1, 2 ORDER BY 1, 2"
BY_HOUR = (
    f"SELECT date_trunc('hour', b.bucket_start, 'UTC'), b.meter, sum(b.quantity)::bigint {BUCKETS} "
    "GROUP BY 1, 2 ORDER BY 1, 2"
)
# A page of everybody shows who uses most, and sums only their days: all days of a month are a million rows.
MOST = """
SELECT tenant_id FROM metering_monthtokens
WHERE month >= date_trunc('month', (%(start)s AT TIME ZONE %(zone)s)::date)::date
  AND month < (%(end)s AT TIME ZONE %(zone)s)::date
GROUP BY tenant_id ORDER BY sum(tokens) DESC, tenant_id LIMIT %(limit)s
"""
ANYBODY = "SELECT tenant_id FROM metering_rollupzone ORDER BY tenant_id LIMIT %(limit)s"
TOTALS = (
    f"SELECT d.tenant_id, d.meter, d.line, sum(d.quantity)::bigint {DAYS} GROUP BY 1, 2, 3 "
    "ORDER BY sum(sum(d.quantity) FILTER (WHERE d.meter LIKE '%%tokens')) OVER (PARTITION BY d.tenant_id) "
    "DESC NULLS LAST, 1, 2, 3 LIMIT %(limit)s"
)
EXPORT_BY_DAY = (
    f"SELECT d.tenant_id, d.meter, d.line, d.quantity::bigint, d.adapter_version, d.day {DAYS} "
    "ORDER BY d.day, d.tenant_id, d.meter, d.line, d.adapter_version LIMIT %(limit)s"
)
EXPORT_BY_HOUR = (
    f"SELECT b.tenant_id, b.meter, b.line, sum(b.quantity)::bigint, b.adapter_version, "
    f"date_trunc('hour', b.bucket_start, 'UTC') {BUCKETS} "
    "GROUP BY 1, 2, 3, 5, 6 ORDER BY 6, 1, 2, 3, 5 LIMIT %(limit)s"
)


def points(cut: Cut) -> list[Point]:
    """The sums over time. Everybody's come from the hourly roll-up, a tenant's days from the daily one."""
    if cut.tenant_ids is None and cut.adapter_version is None:
        return [Point(*row) for row in _rows(EVERYBODYS_HOURS if cut.by_hour else EVERYBODYS_DAYS, cut)]
    return [Point(*row) for row in _rows(BY_HOUR if cut.by_hour else BY_DAY, cut)]


def totals(cut: Cut, *, limit: int) -> list[Row]:
    """The sums per tenant, meter and line, of days of each tenant's own zone; the tenant with the most tokens first.

    Of everybody, without a line or a version asked for, only of the tenants with the most tokens, as many as `limit`
    rows can hold.
    """
    if cut.tenant_ids is None and cut.line is None and cut.adapter_version is None:
        most = [tenant for (tenant,) in _rows(MOST, cut, limit)]
        if len(most) < limit:  # few tenants, or none put in order yet
            most = list({*most, *(tenant for (tenant,) in _rows(ANYBODY, cut, limit))})
        cut = replace(cut, tenant_ids=most)
    return [Row(*row) for row in _rows(TOTALS, cut, limit)]


def export(cut: Cut, *, limit: int) -> Iterator[Row]:
    """Every row down to the adapter version, in order of time."""
    for row in _rows(EXPORT_BY_HOUR if cut.by_hour else EXPORT_BY_DAY, cut, limit):
        yield Row(*row)


def _rows(statement: str, cut: Cut, limit: int = 0) -> list[tuple[Any, ...]]:
    asked: dict[str, Any] = {
        "tenants": None if cut.tenant_ids is None else list(cut.tenant_ids), "start": cut.start, "end": cut.end,
        "zone": cut.timezone, "meter": cut.meter, "line": cut.line, "version": cut.adapter_version, "limit": limit,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        return cursor.fetchall()
