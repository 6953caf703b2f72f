"""Collected usage equals what was put, whatever CloudWatch does on the way."""

from __future__ import annotations

import random
import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.utils import IntegrityError, InternalError

from core.crashpoints import arm
from metering import queries
from metering.meters import CLOUDWATCH_METERS
from metering.models import (
    CollectionWindow,
    MeteringScope,
    ParkedPoint,
    SourceAnswer,
    UnattributedUsage,
    UsageBucket,
    UsageRevision,
)
from metering.services.collection import QUERIES_PER_CALL, collect_usage
from metering.states import WindowState
from tests.factories import make_tenant
from tests.integration.metering.meterage import HOUR, METRICS, Meterage

if TYPE_CHECKING:
    from tests.integration.metering.between import Between

VERSION = "adv_" + "0" * 25 + "1"


def states(meterage: Meterage) -> Counter[str]:
    return Counter(CollectionWindow.objects.values_list("state", flat=True))


def test_a_point_becomes_a_bucket_with_its_provenance(meterage: Meterage) -> None:
    tenant = meterage.tenant(VERSION)
    meterage.put(tenant, 307, meterage.after(minutes=10), version=VERSION)
    meterage.put(tenant, 200, meterage.after(minutes=50), version=VERSION)
    report = meterage.collect(meterage.after(hours=1, minutes=16))
    assert (report.windows_read, report.values_changed, report.problems) == (1, 1, Counter())
    [bucket] = queries.buckets(tenant_ids=[tenant.pk], start=meterage.start, end=meterage.after(hours=1))
    assert (bucket.quantity, bucket.meter, bucket.adapter_version, bucket.line) == (
        507,
        "input_tokens",
        VERSION,
        "pooled",
    )
    assert (bucket.bucket_start, bucket.bucket_seconds, bucket.revision) == (meterage.start, 3600, 1)
    assert bucket.window_state == WindowState.PROVISIONAL
    assert bucket.request_id
    answer = SourceAnswer.objects.get(request_id=bucket.request_id, fetched_at=bucket.fetched_at)
    assert (bucket.answer_sha256, len(answer.sha256), answer.region) == (answer.sha256, 64, "us-west-2")
    assert f"InputTokens{{TenantId={tenant.public_id},AdapterVersion={VERSION},Line=pooled}} Sum/3600s" in bucket.query


def test_an_open_hour_is_never_read(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.put(tenant, 5, meterage.after(minutes=10))
    assert meterage.collect(meterage.after(minutes=59)).windows_read == 0
    assert meterage.collect(meterage.after(hours=1, minutes=5)).windows_read == 0
    assert meterage.total(tenant) == 0


def test_an_hour_is_read_five_times_and_settles_after_72_hours(meterage: Meterage) -> None:
    meterage.tenant()
    moments = []
    for hours in (1.26, 1.5, 2, 4.01, 5, 25.01, 30, 73.01, 80, 24 * 17 + 1.01, 24 * 18):
        meterage.collect(meterage.after(hours=hours))
        window = CollectionWindow.objects.order_by("starts_at")[0]
        moments.append((hours, window.reads, window.state))
    assert [reads for _, reads, _ in moments] == [1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [state for _, _, state in moments][7] == WindowState.SETTLED
    assert [state for _, _, state in moments][6] == WindowState.PROVISIONAL


def test_late_and_growing_values_make_revisions_not_sums(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.put(tenant, 100, meterage.after(minutes=5))
    meterage.collect(meterage.after(hours=1.3))
    meterage.put(tenant, 20, meterage.after(minutes=6))
    meterage.collect(meterage.after(hours=4.1))
    meterage.collect(meterage.after(hours=25.1))
    [bucket] = UsageBucket.objects.filter(tenant=tenant)
    assert (bucket.quantity, bucket.revision) == (120, 2)
    revisions = UsageRevision.objects.filter(bucket=bucket).order_by("revision")
    assert list(revisions.values_list("revision", "quantity")) == [(1, 100)]


def test_a_missing_point_is_unknown_until_its_hour_settled(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    span = {"tenant_ids": [tenant.pk], "start": meterage.start, "end": meterage.after(hours=1)}
    assert [gap.state for gap in queries.unsettled(**span)] == []
    meterage.collect(meterage.after(hours=1.3))
    assert [gap.state for gap in queries.unsettled(**span)] == [WindowState.PROVISIONAL]
    meterage.settle(meterage.after(hours=1))
    assert queries.unsettled(**span) == []
    assert meterage.total(tenant) == 0


def drive(meterage: Meterage, seed: int) -> None:
    """Put points late, twice, in parts and out of order; collect at odd times through small pages and failures."""
    source = random.Random(seed)
    versions = ["base", VERSION]
    tenants = [meterage.tenant(*versions), meterage.tenant(*versions, billing_timezone="Asia/Kathmandu")]
    truth: dict[tuple[int, str], Counter[datetime]] = {}
    elapsed = 0.0
    while elapsed < 30:
        elapsed += source.choice([0.3, 1, 2.5, 6])
        meterage.move_to(meterage.after(hours=elapsed))
        for _ in range(source.randrange(4)):
            tenant, meter = source.choice(tenants), source.choice(list(METRICS))
            at = meterage.after(hours=source.uniform(0, elapsed))
            value = source.choice([1, 17, 4096, 10**9, source.randrange(10**6)])
            # Late by minutes, by hours, or by almost as long as a window stays open.
            late = int(source.choice([0, 0, 600, 5400, 3600 * 40]))
            for _ in range(source.choice([1, 1, 1, 2])):
                meterage.put(tenant, value, at, meter=meter, version=source.choice(versions), late_seconds=late)
                seconds = 3600 if tenant is tenants[0] else 900
                start = datetime.fromtimestamp(at.timestamp() // seconds * seconds, at.tzinfo)
                truth.setdefault((tenant.pk, meter), Counter())[start] += value
        meterage.aws.post("metrics", {"page_size": source.choice([1, 3, 7, 100_000])})
        # boto3 tries four times: one failure is healed by it, four in a row reach us.
        if source.random() < 0.25:
            fault = source.choice(["server_error", "throttle", "lose_reply"])
            meterage.aws.fault(fault, operation="GetMetricData", times=source.choice([1, 4]))
        collect_usage()
        meterage.aws.clear_faults()
    meterage.settle(meterage.after(hours=32))
    for tenant in tenants:
        for meter in METRICS:
            assert meterage.by_bucket(tenant, meter) == truth.get((tenant.pk, meter), Counter()), (seed, meter)
    settled = CollectionWindow.objects.filter(starts_at__gte=meterage.start, ends_at__lte=meterage.after(hours=32))
    assert not settled.exclude(state=WindowState.SETTLED).exists()
    for bucket in UsageBucket.objects.prefetch_related("revisions"):
        before = sorted(revision.revision for revision in bucket.revisions.all())
        assert before == list(range(1, bucket.revision)), "every value that it had before is kept"


@pytest.mark.parametrize("seed", range(4))
def test_late_revised_doubled_and_paged_points_come_out_exact(meterage: Meterage, seed: int) -> None:
    drive(meterage, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 125))
def test_more_days_of_trouble_come_out_exact(meterage: Meterage, seed: int) -> None:
    drive(meterage, seed)


@pytest.mark.parametrize("status", ["InternalError", "PartialData", "Forbidden", "NoSuchWord"])
@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_series_that_is_not_complete_leaves_the_hour_open(
    meterage: Meterage, between: Between, status: str, page: int
) -> None:
    tenant = meterage.tenant()
    for meter, value in (("input_tokens", 10), ("output_tokens", 20), ("requests", 30)):
        meterage.put(tenant, value, meterage.after(minutes=3), meter=meter)
    meterage.aws.post("metrics", {"page_size": 1})

    def spoil(number: int, body: dict[str, Any]) -> dict[str, Any]:
        if number == page:
            body["MetricDataResults"][-1]["StatusCode"] = status
        return body

    between.spoil = spoil
    report = meterage.collect(meterage.after(hours=74))
    assert report.windows_settled == 0
    assert report.windows_unread > 0
    assert states(meterage)[WindowState.SETTLED] == 0
    between.spoil = lambda number, body: body
    meterage.collect(meterage.after(hours=74.2))
    assert [meterage.total(tenant, meter) for meter in METRICS] == [10, 20, 30]
    assert CollectionWindow.objects.order_by("starts_at")[0].state == WindowState.SETTLED


def test_a_missing_page_and_a_missing_series_leave_the_hour_open(meterage: Meterage, between: Between) -> None:
    tenant = meterage.tenant()
    meterage.put(tenant, 10, meterage.after(minutes=3))

    def without_tail(number: int, body: dict[str, Any]) -> dict[str, Any]:
        return body | {"MetricDataResults": body["MetricDataResults"][:-1]}

    for spoil in (without_tail, lambda number, body: None):
        between.spoil = spoil
        report = meterage.collect(meterage.after(hours=74))
        assert report.windows_settled == 0
        assert states(meterage)[WindowState.SETTLED] == 0
        meterage.aws.advance(400)
    between.spoil = lambda number, body: body
    meterage.aws.advance(400)
    assert collect_usage().windows_settled > 0
    assert meterage.total(tenant) == 10


@pytest.mark.parametrize("value", [0.5, 2.0**53, 1e100, -3.0])
def test_a_value_that_is_no_count_is_parked_and_mended_by_a_later_read(meterage: Meterage, value: float) -> None:
    tenant = meterage.tenant()
    meterage.put(tenant, value, meterage.after(minutes=3))
    report = meterage.collect(meterage.after(hours=1.3))
    assert report.values_parked == 1
    [point] = ParkedPoint.objects.all()
    assert (point.tenant_id, point.value, point.bucket_start) == (tenant.pk, repr(value), meterage.start)
    assert meterage.total(tenant) == 0
    if value == 0.5:
        meterage.put(tenant, 0.5, meterage.after(minutes=4))
        meterage.collect(meterage.after(hours=4.1))
        assert not ParkedPoint.objects.exists()
        assert meterage.total(tenant) == 1


def test_usage_of_nobody_is_kept_with_the_reason(meterage: Meterage) -> None:
    known = meterage.tenant()
    stranger = make_tenant()
    at = meterage.after(minutes=3)
    meterage.put(known, 1, at)
    meterage.put(known, 2, at, version=VERSION)
    meterage.put(stranger, 3, at)
    meterage.put("ten_nobody", 4, at)
    meterage.put(known, 5, at, line="dedicated")
    meterage.collect(meterage.after(hours=1.3))
    assert meterage.total(known) == 1
    found = {row.value: row.reason for row in UnattributedUsage.objects.all()}
    assert set(found) == {2, 3, 4, 5}
    assert "no config of" in found[2]
    assert "on line dedicated" in found[5]
    assert "there is no tenant" in found[4]
    again = UnattributedUsage.objects.count()
    meterage.collect(meterage.after(hours=4.1))
    assert UnattributedUsage.objects.count() == again


def test_every_version_that_was_ever_routed_is_asked_about(meterage: Meterage) -> None:
    tenant = meterage.tenant("base")
    meterage.put(tenant, 1, meterage.after(minutes=3))
    meterage.move_to(meterage.after(hours=2))
    meterage.publish(tenant, VERSION)
    # A data plane that cannot reach the store goes on with the config it has.
    meterage.put(tenant, 10, meterage.after(hours=2, minutes=1))
    meterage.put(tenant, 100, meterage.after(hours=2, minutes=1), version=VERSION)
    meterage.settle(meterage.after(hours=3))
    assert meterage.total(tenant) == 111
    assert not UnattributedUsage.objects.exists()


def test_one_call_asks_for_at_most_500_series(meterage: Meterage) -> None:
    routes = 2 * QUERIES_PER_CALL // len(CLOUDWATCH_METERS) + 1
    tenant = meterage.tenant(*(f"adv_{number:026d}" for number in range(routes)))
    meterage.put(tenant, 9, meterage.after(minutes=3), version=f"adv_{routes - 1:026d}")
    before = meterage.aws.calls().get("GetMetricData", 0)
    report = meterage.collect(meterage.after(hours=1.3))
    assert report.queries == routes * len(CLOUDWATCH_METERS)
    assert meterage.aws.calls()["GetMetricData"] - before == 3
    assert meterage.total(tenant) == 9


def test_collecting_again_writes_nothing(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    for hour in range(5):
        meterage.put(tenant, 7, meterage.start + hour * HOUR)
        meterage.aws.advance(3600)
    meterage.settle(meterage.after(hours=6))
    rows = list(UsageBucket.objects.order_by("pk").values_list())
    CollectionWindow.objects.update(due_at=meterage.start)
    assert collect_usage().values_changed == 0
    assert list(UsageBucket.objects.order_by("pk").values_list()) == rows


def test_a_tenant_that_is_enrolled_late_has_its_hours_read_again(meterage: Meterage) -> None:
    first = meterage.tenant()
    meterage.collect(meterage.after(hours=5))
    late = meterage.tenant()
    type(late).objects.filter(pk=late.pk).update(signed_up_at=meterage.start)
    meterage.put(late, 8, meterage.after(minutes=30))
    meterage.settle(meterage.after(hours=6))
    assert meterage.total(late) == 8
    assert meterage.total(first) == 0


def test_the_watermark_stops_at_the_first_open_hour(meterage: Meterage) -> None:
    meterage.tenant()
    meterage.settle(meterage.after(hours=3))
    scope = MeteringScope.objects.get()
    assert meterage.after(hours=3) <= scope.settled_until < meterage.after(hours=5)
    [fresh] = queries.freshness()
    assert fresh.settled_until == scope.settled_until
    assert fresh.read_until >= meterage.after(hours=70)
    assert fresh.overdue_windows == 0


def test_an_outage_is_a_gap_per_tenant_until_it_is_read(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.collect(meterage.after(hours=1.3))
    meterage.aws.fault("throttle", operation="GetMetricData", times=500)
    meterage.collect(meterage.after(hours=4))
    [gap] = queries.gaps(tenant_ids=[tenant.pk])
    assert (gap.start, gap.end) == (meterage.after(hours=1), meterage.after(hours=3))
    assert "Throttling" in gap.problem
    assert queries.gaps(tenant_ids=[]) == []
    meterage.aws.clear_faults()
    meterage.collect(meterage.after(hours=4.2))
    assert queries.gaps(tenant_ids=[tenant.pk]) == []


def test_too_old_to_be_kept_is_a_gap_not_zero(meterage: Meterage) -> None:
    quarter = meterage.tenant(billing_timezone="Asia/Kathmandu")
    meterage.collect(meterage.after(days=70))
    window = CollectionWindow.objects.order_by("starts_at")[0]
    assert window.state == WindowState.WAITING
    assert "no longer keeps" in window.problem
    assert queries.gaps(tenant_ids=[quarter.pk])


def test_revisions_cannot_be_changed_or_removed(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.put(tenant, 1, meterage.after(minutes=3))
    meterage.collect(meterage.after(hours=1.3))
    meterage.put(tenant, 1, meterage.after(minutes=4))
    meterage.collect(meterage.after(hours=4.1))
    changes = ("UPDATE metering_usagerevision SET quantity = 9", "DELETE FROM metering_usagerevision")
    for statement in (*changes, "DELETE FROM metering_usagebucket"):
        with pytest.raises((InternalError, IntegrityError)), connection.cursor() as cursor:
            from django.db import transaction

            with transaction.atomic():
                cursor.execute(statement)


def test_many_collectors_at_once_write_each_value_once(real_meterage: Meterage) -> None:
    tenant = real_meterage.tenant()
    for hour in range(30):
        real_meterage.put(tenant, 5 + hour, real_meterage.start + hour * HOUR + timedelta(minutes=1))
        real_meterage.aws.advance(3600)
    real_meterage.move_to(real_meterage.after(hours=110))
    failures: list[BaseException] = []

    def collect() -> None:
        try:
            collect_usage()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=collect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert real_meterage.total(tenant) == sum(5 + hour for hour in range(30))
    assert not UsageBucket.objects.exclude(revision=1).exists()
    assert UsageBucket.objects.count() == 30


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(
    "where",
    ["before metering read", "after metering read", "before metering commit", "after metering commit"],
)
def test_dying_at_any_line_loses_and_doubles_nothing(real_meterage: Meterage, where: str, settings: Any) -> None:
    tenant = real_meterage.tenant()
    for hour in (0, 1, 5):
        real_meterage.put(tenant, 1 + hour, real_meterage.start + hour * HOUR)
        real_meterage.aws.advance(3600 * 2)
    real_meterage.move_to(real_meterage.after(hours=90))

    def die(name: str) -> None:
        if name == where:
            raise Died

    settings.LEASE_SECONDS = 0
    arm(die)
    try:
        with pytest.raises(Died):
            collect_usage()
    finally:
        arm(None)
    collect_usage()
    assert real_meterage.total(tenant) == 1 + 2 + 6
    assert not UsageRevision.objects.exists()


def test_what_was_read_before_a_lost_lease_is_not_written(real_meterage: Meterage, settings: Any) -> None:
    tenant = real_meterage.tenant()
    real_meterage.put(tenant, 10, real_meterage.after(minutes=1))
    real_meterage.move_to(real_meterage.after(hours=1.3))
    settings.LEASE_SECONDS = 0
    inside = []

    def overtake(name: str) -> None:
        if name == "after metering read" and not inside:
            inside.append(name)
            real_meterage.put(tenant, 5, real_meterage.after(minutes=2))
            thread = threading.Thread(target=lambda: (collect_usage(), connection.close()))
            thread.start()
            thread.join()

    arm(overtake)
    try:
        report = collect_usage()
    finally:
        arm(None)
    assert inside
    assert report.values_changed == 0
    assert real_meterage.total(tenant) == 15
