"""Sums say what the buckets say: after revisions, at once and in any order, in the tenant's days, over months."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError

from core import clock
from events.models import Event
from metering import partitions, queries
from metering.models import UsageBucket, UsageDay, UsageHour
from metering.services.backfill import HoursNotKept, request_backfill
from metering.services.retention import drop_old_months, retention
from metering.services.rollups import follow_zones, make_months_ahead, rebuild_days, roll_up_hours
from metering.services.sources import choose_source
from metering.store import Reading, write_readings
from tenants.models import Tenant
from tests.factories import TESTER, make_tenant
from tests.integration.metering.meterage import HOUR

START = datetime(2026, 10, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def reading(tenant: Tenant, at: datetime, quantity: int, meter: str = "input_tokens", line: str = "pooled") -> Reading:
    return Reading(tenant.pk, meter, line, "base", at, 3600, quantity, "cloudwatch:r:n", clock.now(), "req-1")


def days_of(tenant: Tenant) -> dict[tuple[str, str], int]:
    rows = UsageDay.objects.filter(tenant=tenant).exclude(quantity=0).values_list("day", "meter", "quantity")
    return {(str(day), meter): int(quantity) for day, meter, quantity in rows}


def summed_here(tenant: Tenant, timezone: str) -> dict[tuple[str, str], int]:
    """The same sums, made in Python."""
    sums: Counter[tuple[str, str]] = Counter()
    for bucket in UsageBucket.objects.filter(tenant=tenant):
        sums[str(bucket.bucket_start.astimezone(ZoneInfo(timezone)).date()), bucket.meter] += int(bucket.quantity)
    return {key: quantity for key, quantity in sums.items() if quantity}


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_days_follow_every_revision(timezone: str) -> None:
    tenant = make_tenant(billing_timezone=timezone)
    source = random.Random(timezone)
    partitions.make_months([START, START + timedelta(days=40)])
    for _ in range(12):
        hours = source.sample(range(900), 60)
        meters = ("input_tokens", "output_tokens")
        write_readings(
            [reading(tenant, START + hour * HOUR, source.randrange(1000), source.choice(meters)) for hour in hours]
        )
    assert days_of(tenant) == summed_here(tenant, timezone)
    roll_up_hours()
    assert sum(UsageHour.objects.values_list("quantity", flat=True)) == sum(days_of(tenant).values())
    assert roll_up_hours() == 0


def test_days_are_summed_anew_when_the_billing_zone_changes() -> None:
    tenant, other = make_tenant(billing_timezone="UTC"), make_tenant(billing_timezone="UTC")
    for each in (tenant, other):
        write_readings([reading(each, START + hour * HOUR, 10 + hour) for hour in range(60)])
    before = days_of(other)
    Tenant.objects.filter(pk=tenant.pk).update(billing_timezone="Asia/Tokyo")
    write_readings([reading(tenant, START + 3 * HOUR, 1000)])
    assert days_of(tenant) == summed_here(tenant, "UTC")
    assert follow_zones() == 1
    assert days_of(tenant) == summed_here(tenant, "Asia/Tokyo")
    write_readings([reading(tenant, START + 4 * HOUR, 2000)])
    assert days_of(tenant) == summed_here(tenant, "Asia/Tokyo")
    assert (days_of(other), follow_zones()) == (before, 0)


def test_a_span_of_whole_days_and_one_that_cuts_a_day_agree_with_the_buckets() -> None:
    tenant, abroad = make_tenant(billing_timezone="UTC"), make_tenant(billing_timezone="Asia/Tokyo")
    for each in (tenant, abroad):
        write_readings([reading(each, START + hour * HOUR, hour + 1) for hour in range(72)])
    for start, end in ((0, 24), (5, 31), (24, 72), (15, 39)):
        rows = queries.usage_between(
            tenant_ids=[tenant.pk, abroad.pk], start=START + start * HOUR, end=START + end * HOUR
        )
        expected = sum(range(start + 1, end + 1))
        assert [(row.tenant_id, row.quantity) for row in rows] == [(tenant.pk, expected), (abroad.pk, expected)]


def test_rebuilding_days_changes_nothing_that_was_right() -> None:
    tenant = make_tenant()
    write_readings([reading(tenant, START + hour * HOUR, hour) for hour in range(50)])
    before = days_of(tenant)
    UsageDay.objects.filter(tenant=tenant, day="2026-10-02").update(quantity=1)
    with transaction.atomic():
        rebuild_days(tenant_ids=[tenant.pk], since=START + 30 * HOUR)
    assert days_of(tenant) == before


def test_a_month_without_a_partition_takes_nothing_until_it_is_made() -> None:
    tenant, far = make_tenant(), datetime(2031, 5, 7, tzinfo=UTC)
    with pytest.raises(IntegrityError, match="no partition"), transaction.atomic():
        write_readings([reading(tenant, far, 5)])
    assert partitions.make_months([far]) == [datetime(2031, 5, 1, tzinfo=UTC)]
    assert (partitions.make_months([far]), write_readings([reading(tenant, far, 5)])) == ([], 1)
    assert make_months_ahead(as_of=far) == [datetime(2031, month, 1, tzinfo=UTC) for month in (6, 7, 8)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metering_usagebucket_2031m05")
        assert cursor.fetchone() == (1,)


def test_a_month_goes_when_its_time_is_over_and_nothing_holds_it_and_its_days_stay() -> None:
    tenant, old, time_is_over = make_tenant(), datetime(2024, 5, 7, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    partitions.make_months([old])
    write_readings([reading(tenant, old, 5)])
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert retention(as_of=datetime(2026, 6, 30, tzinfo=UTC)).next_month is None
    assert drop_old_months(as_of=time_is_over) == []
    assert retention(as_of=time_is_over).held_by == ("usage of 1 tenant(s) is in no seal",)
    UsageBucket.objects.update(sealed_quantity=5, sealed_revision=1)
    [dropped] = drop_old_months(as_of=time_is_over)
    assert (dropped.month, dropped.buckets, dropped.sealed_quantities) == (
        datetime(2024, 5, 1, tzinfo=UTC), 1, {"input_tokens": "5"},
    )  # fmt: skip
    assert drop_old_months(as_of=time_is_over) == []
    assert Event.objects.filter(name="usage.month_dropped").count() == 1
    assert not UsageBucket.objects.filter(tenant=tenant).exists()
    assert days_of(tenant) == {("2024-05-07", "input_tokens"): 5}
    with pytest.raises(partitions.MonthIsGone):
        partitions.make_months([old])
    with pytest.raises(HoursNotKept):
        request_backfill(tenant_id=tenant.pk, start=old, end=old + HOUR, reason="", actor=TESTER)


@pytest.mark.django_db(transaction=True)
def test_a_source_chosen_beside_a_collector_that_has_not_committed_counts_its_buckets_too() -> None:
    tenant, written = make_tenant(billing_timezone="UTC"), threading.Event()
    partitions.make_months([START])

    def collect() -> None:
        try:
            with transaction.atomic():
                write_readings([reading(tenant, START + HOUR, 10)])
                written.set()
                time.sleep(0.3)
        finally:
            connection.close()

    collector = threading.Thread(target=collect)
    collector.start()
    assert written.wait(10)
    choose_source(meter="input_tokens", kind="events", starts_at=START, reason="", actor=TESTER)
    collector.join()
    assert days_of(tenant) == {}
