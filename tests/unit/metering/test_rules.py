"""The pure rules: what is a count, whose a series is, when an hour is read."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import billing_month, bucket_seconds
from metering import meters, schedule
from metering.attribution import Emitter, Unknown, attribute

TENANT, OTHER = "ten_a", "ten_b"
EMITTER = Emitter(TENANT, "adv_1", "pooled", "us-west-2", "ControlPlane/DataPlane")
DIMENSIONS = {"TenantId": TENANT, "AdapterVersion": "adv_1", "Line": "pooled"}
END = datetime(2026, 11, 20, 13, tzinfo=UTC)


@given(st.integers(min_value=0, max_value=2**53 - 1))
def test_every_whole_number_below_two_to_the_53_is_itself(value: int) -> None:
    assert meters.quantity(float(value)) == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-1.0, "negative"),
        (0.5, "whole"),
        (float(2**53), "2\\^53"),
        (1e300, "2\\^53"),
        (math.nan, "finite"),
        (math.inf, "finite"),
        (-math.inf, "finite"),
    ],
)
def test_what_is_no_count_is_refused_with_the_reason(value: float, why: str) -> None:
    with pytest.raises(meters.Unusable, match=why):
        meters.quantity(value)


@given(st.floats())
def test_a_count_is_exact_or_refused(value: float) -> None:
    try:
        count = meters.quantity(value)
    except meters.Unusable:
        return
    assert count == value
    assert 0 <= count < 2**53


def test_every_meter_has_one_source_and_no_two_share_one() -> None:
    metrics = [meter.metric for meter in meters.METERS.values() if meter.metric]
    assert len(metrics) == len(set(metrics)) == len(meters.CLOUDWATCH_METERS)
    from_our_books = {*meters.LEDGER_METERS.values(), meters.STORAGE_METER}
    of_bedrock_alone = {"cache_write_input_tokens"}
    assert {key for key, meter in meters.METERS.items() if not meter.metric} == from_our_books | of_bedrock_alone
    assert of_bedrock_alone <= set(meters.BEDROCK_METRICS)
    assert from_our_books.isdisjoint(meters.EVENT_METERS)
    assert all(key == meter.key for key, meter in meters.METERS.items())


def look(metric: str = "InputTokens", dimensions: dict[str, str] | None = None, region: str = "us-west-2") -> object:
    return attribute(
        metric,
        DIMENSIONS if dimensions is None else dimensions,
        region=region,
        namespace="ControlPlane/DataPlane",
        emitters={EMITTER},
        tenants={TENANT, OTHER},
    )


def test_a_published_route_owns_its_series() -> None:
    assert look() == EMITTER


def test_a_metric_of_no_meter_is_no_business_of_ours() -> None:
    assert look("Latency") is None


@pytest.mark.parametrize(
    ("dimensions", "why"),
    [
        ({}, "its dimensions are none"),
        ({"TenantId": TENANT}, "its dimensions are TenantId"),
        (DIMENSIONS | {"Variant": "main"}, "usage has exactly"),
        (DIMENSIONS | {"TenantId": "ten_c"}, "there is no tenant ten_c"),
        (DIMENSIONS | {"TenantId": OTHER}, "no config of ten_b routed adv_1 on line pooled"),
        (DIMENSIONS | {"AdapterVersion": "adv_2"}, "no config of ten_a routed adv_2"),
        (DIMENSIONS | {"Line": "dedicated"}, "on line dedicated"),
    ],
)
def test_anything_else_is_nobodys_with_a_reason(dimensions: dict[str, str], why: str) -> None:
    owner = look(dimensions=dimensions)
    assert isinstance(owner, Unknown)
    assert why in owner.reason


def test_another_region_is_another_series() -> None:
    assert isinstance(look(region="eu-west-1"), Unknown)


@pytest.mark.parametrize(
    ("read_after", "next_after", "settles"),
    [
        (timedelta(minutes=15), timedelta(hours=3), False),
        (timedelta(hours=2, minutes=59), timedelta(hours=3), False),
        (timedelta(hours=3), timedelta(hours=24), False),
        (timedelta(hours=24), timedelta(hours=72), False),
        (timedelta(hours=72) - timedelta(seconds=1), timedelta(hours=72), False),
        (timedelta(hours=72), timedelta(days=17), True),
        (timedelta(days=17), None, True),
        (timedelta(days=400), None, True),
    ],
)
def test_when_an_hour_is_read_again(read_after: timedelta, next_after: timedelta | None, settles: bool) -> None:
    expected = None if next_after is None else END + next_after
    assert schedule.next_read(END, END + read_after) == expected
    assert schedule.is_settling(END, END + read_after) is settles


@pytest.mark.parametrize(("seconds", "days"), [(900, 63), (3600, 455)])
def test_beyond_retention_empty_proves_nothing(seconds: int, days: int) -> None:
    assert not schedule.is_beyond_retention(END - timedelta(days=days - 1), seconds, END)
    assert schedule.is_beyond_retention(END - timedelta(days=days), seconds, END)


def test_every_billing_month_of_every_zone_begins_on_a_bucket() -> None:
    """Whatever the zone does with daylight saving, a period's edge never cuts a bucket."""
    for zone in sorted(available_timezones() - {"localtime"}):
        for year in (2020, 2026, 2037):
            for month in (1, 3, 4, 7, 10, 11):
                edge = billing_month(year, month, zone).start
                assert edge.timestamp() % bucket_seconds(zone, year=year) == 0, (zone, year, month)


def test_a_query_can_be_asked_again_from_its_description() -> None:
    assert meters.describe_query(
        "cloudwatch:us-west-2:ControlPlane/DataPlane", "requests", TENANT, "base", "pooled", 900
    ) == ("us-west-2 ControlPlane/DataPlane Requests{TenantId=ten_a,AdapterVersion=base,Line=pooled} Sum/900s")
    assert "ledger" in meters.describe_query("ledger", "endpoint_seconds", TENANT, "", "dedicated", 3600)
