"""Periods: months of a zone partition time, whatever daylight saving does."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest

from core.periods import Period, billing_month, bucket_seconds, floor_to_bucket, month_containing

SHORTEST = timedelta(microseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_month_begins_at_local_midnight() -> None:
    november = billing_month(2026, 11, "Asia/Tokyo")
    assert november == Period(at("2026-10-31T15:00"), at("2026-11-30T15:00"))


def test_a_month_with_a_clock_change_is_an_hour_longer() -> None:
    assert billing_month(2026, 11, "America/New_York").seconds == 30 * 86400 + 3600


def test_months_of_every_zone_from_2020_to_2037_partition_time_and_sit_on_its_buckets() -> None:
    for zone in sorted(available_timezones()):
        months = [billing_month(year, month, zone) for year in range(2020, 2038) for month in range(1, 13)]
        buckets = {year: bucket_seconds(zone, year=year) for year in range(2020, 2038)}
        for earlier, later in itertools.pairwise(months):
            assert earlier.end == later.start, zone
        for number, month in enumerate(months):
            assert floor_to_bucket(month.start, buckets[2020 + number // 12]) == month.start, (zone, month)
            assert month_containing(month.start, zone) == month, zone
            assert month_containing(month.end - SHORTEST, zone) == month, zone


def test_a_period_is_half_open() -> None:
    period = Period(at("2026-11-01T00:00"), at("2026-11-02T00:00"))
    assert period.start in period
    assert period.end not in period


def test_a_period_must_have_a_length() -> None:
    with pytest.raises(ValueError, match="must end after"):
        Period(at("2026-11-01T00:00"), at("2026-11-01T00:00"))


@pytest.mark.parametrize(("zone", "seconds"), [("UTC", 3600), ("Asia/Kolkata", 900), ("Asia/Kathmandu", 900)])
def test_zones_off_the_whole_hour_have_quarter_buckets(zone: str, seconds: int) -> None:
    assert bucket_seconds(zone) == seconds
