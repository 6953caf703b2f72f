"""Gaps, alarms, sources and backfill: what is missing is a row, what is wrong is told, what is decided is kept."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from core import clock
from core.crashpoints import arm
from core.errors import DomainError
from core.periods import Period
from core.states import IllegalMove
from events.models import Event
from metering import queries
from metering.models import MeteringAlarm, UsageBucket, UsageDay, UsageEstimate, UsageGap, UsageRevision
from metering.queries.conservation import breaches
from metering.queries.health import accepted_gaps, differences
from metering.services.alarms import watch
from metering.services.backfill import SpanTooLong, preview_backfill, request_backfill
from metering.services.collection import collect_usage
from metering.services.events import fold_events, record_usage_events
from metering.services.gaps import ReasonMissing, accept_gap, note_gaps
from metering.services.rollups import make_months_ahead
from metering.services.sealing import UsageIncomplete, seal_usage
from metering.services.sources import SourceSealed, choose_source, set_tolerance
from tests.factories import TESTER
from tests.integration.metering.meterage import HOUR, Meterage

if TYPE_CHECKING:
    from local_stack.emulator import EmulatorClient
    from tenants.models import Tenant
    from tests.integration.metering.between import Between


def seal(tenant: Tenant, period: Period) -> int:
    [made] = seal_usage(tenant_ids=[tenant.pk], period_start=period.start, period_end=period.end, actor=TESTER)
    return sum(row.quantity for row in queries.summarise([made.pk]))


def report(meterage: Meterage, tenant: Tenant, quantity: int, name: str = "e1") -> None:
    event = {
        "id": name, "tenant": tenant.public_id, "meter": "input_tokens", "line": "pooled", "adapter_version": "base",
        "quantity": quantity, "occurred_at": meterage.after(minutes=10).isoformat(),
    }  # fmt: skip
    record_usage_events(events=[event], tenant_ids=None, default_tenant_id=None, all_or_nothing=True, actor=TESTER)
    fold_events()


def test_a_gap_is_a_row_until_its_hours_are_read(meterage: Meterage, aws: EmulatorClient) -> None:
    tenant = meterage.tenant()
    meterage.collect(meterage.after(hours=1))
    aws.post("faults", {"fault": "server_error", "operation": "GetMetricData", "times": 20})
    meterage.collect(meterage.after(hours=3.6))
    assert note_gaps() == 1
    [gap] = UsageGap.objects.all()
    assert (gap.tenant, gap.state) == (tenant, "open")
    assert gap.problem
    assert [alarm.kind for alarm in watch()] == ["unread"]
    assert (note_gaps(), len(watch()), UsageGap.objects.count(), MeteringAlarm.objects.count()) == (1, 1, 1, 1)
    aws.delete("faults")
    meterage.collect(meterage.after(hours=3.8))
    assert note_gaps() == 0
    assert watch() == []
    gap.refresh_from_db()
    assert gap.state == "filled"
    names = Event.objects.filter(name__startswith="usage.").order_by("pk").values_list("name", flat=True)
    assert list(names) == ["usage.gap_detected", "usage.alarm_raised", "usage.gap_filled", "usage.alarm_closed"]


def test_hours_that_cloudwatch_has_forgotten_are_accepted_on_purpose_and_sealing_goes_on(meterage: Meterage) -> None:
    tenant = meterage.tenant(billing_timezone="Asia/Kathmandu")
    day = Period(meterage.start, meterage.after(hours=24))
    meterage.collect(meterage.after(days=80))
    assert {alarm.kind for alarm in watch()} == {"lost", "months"}
    make_months_ahead()
    assert note_gaps() == 1
    assert {alarm.kind for alarm in watch()} == {"lost"}
    assert collect_usage().windows_unread == 0
    with pytest.raises(UsageIncomplete):
        seal(tenant, day)
    gap = UsageGap.objects.get()
    with pytest.raises(ReasonMissing):
        accept_gap(gap_id=gap.pk, reason=" ", actor=TESTER)
    accepted = accept_gap(gap_id=gap.pk, reason="the outage of March; nothing is billed", actor=TESTER)
    assert (accepted.state, accepted.closed_by) == ("accepted", TESTER.name)
    assert seal(tenant, day) == 0
    assert [each.pk for each in accepted_gaps(tenant_ids=[tenant.pk], start=day.start, end=day.end)] == [gap.pk]
    assert (note_gaps(), watch()) == (0, [])
    with pytest.raises(IllegalMove):
        accept_gap(gap_id=gap.pk, reason="again", actor=TESTER)


def test_an_estimate_is_billed_only_on_purpose_and_taken_back_when_the_hours_are_read(
    meterage: Meterage, aws: EmulatorClient
) -> None:
    tenant, other = meterage.tenant(), meterage.tenant()
    for hours in (24, 25, 26):
        meterage.move_to(meterage.after(hours=hours))
        meterage.put(tenant, 100 + hours, meterage.after(hours=hours, minutes=-20))
    meterage.collect(meterage.after(days=7, hours=23.5))
    meterage.put(tenant, 7, meterage.after(days=7, hours=23, minutes=10))
    aws.post("faults", {"fault": "server_error", "operation": "GetMetricData", "times": 500})
    meterage.collect(meterage.after(days=8, hours=4.3))
    note_gaps()
    [estimate] = UsageEstimate.objects.all()
    gap = estimate.gap
    quiet = UsageGap.objects.get(tenant=other, starts_at=gap.starts_at)
    assert (gap.tenant, estimate.meter, estimate.quantity, estimate.hours, estimate.state) == (
        tenant, "input_tokens", 124 + 125 + 126, 3, "proposed",
    )  # fmt: skip
    assert estimate.basis_end - estimate.basis_start == 3 * HOUR
    assert sum(UsageDay.objects.values_list("quantity", flat=True)) == 124 + 125 + 126, (
        "what is proposed counts nowhere"
    )
    accept_gap(gap_id=quiet.pk, reason="quiet anyway", actor=TESTER, bill_estimate=True)
    accepted = accept_gap(gap_id=gap.pk, reason="billed as the week before", actor=TESTER, bill_estimate=True)
    assert Event.objects.filter(name="usage.gap_accepted").order_by("pk").last().after["estimated"] == {  # type: ignore[union-attr]
        "input_tokens": 375
    }
    week = Period(meterage.after(days=7), meterage.after(days=9))
    [shown] = queries.buckets(tenant_ids=[tenant.pk], start=week.start, end=week.end, limit=1)
    assert shown.query.startswith(f"estimate for {accepted.public_id}: input_tokens of base on line pooled")
    assert sum(UsageDay.objects.values_list("quantity", flat=True)) == 2 * 375
    span = {"meter": "input_tokens", "starts_at": week.start, "reason": "", "actor": TESTER}
    choose_source(kind="events", **span)
    assert sum(UsageDay.objects.values_list("quantity", flat=True)) == 375, "no estimate beside events"
    choose_source(kind="cloudwatch", **span)
    assert sum(UsageDay.objects.values_list("quantity", flat=True)) == 2 * 375
    aws.delete("faults")
    meterage.settle(week.end)
    [replaced] = UsageEstimate.objects.all()
    assert replaced.state == "replaced"
    assert UsageRevision.objects.filter(bucket__source__startswith="estimate:").count() == 3
    assert seal(tenant, week) == 7, "what was read counts, what was estimated does not"
    assert Event.objects.filter(name="usage.estimate_replaced").count() == 1
    assert breaches() == []


def billable_gap(meterage: Meterage) -> UsageGap:
    """A gap in which nothing was read and 40 is, where the week before had 100 of one meter and 50 of another."""
    tenant, at, week = meterage.tenant(), meterage.after(hours=24), timedelta(days=7)
    meterage.move_to(at + HOUR)
    meterage.put(tenant, 100, at)
    meterage.put(tenant, 50, at, meter="output_tokens")
    meterage.collect(at + week - HOUR)
    meterage.aws.post("faults", {"fault": "server_error", "operation": "GetMetricData", "times": 500})
    meterage.collect(at + week + 3.3 * HOUR)
    meterage.put(tenant, 40, at + week + timedelta(minutes=30))
    note_gaps()
    meterage.aws.delete("faults")
    meterage.aws.advance(700)
    return UsageEstimate.objects.all()[0].gap


def test_what_was_read_of_an_hour_counts_instead_of_its_estimate_even_when_the_rest_is_not_known(
    meterage: Meterage, between: Between
) -> None:
    gap = billable_gap(meterage)
    accept_gap(gap_id=gap.pk, reason="as the week before", actor=TESTER, bill_estimate=True)
    of_gap = UsageBucket.objects.filter(bucket_start__gte=gap.starts_at, quantity__gt=0).order_by("meter")
    assert list(of_gap.values_list("quantity", flat=True)) == [100, 50]

    def spoil(_: int, body: dict[str, Any]) -> dict[str, Any]:
        body["MetricDataResults"][-1]["StatusCode"] = "InternalError"
        return body

    between.spoil = spoil
    assert meterage.collect().windows_unread
    assert list(of_gap.values_list("quantity", flat=True)) == [40, 50]
    between.spoil = lambda number, body: body
    meterage.aws.advance(700)
    meterage.collect()
    assert list(of_gap.values_list("quantity", flat=True)) == [40]


def test_an_estimate_that_is_billed_while_its_hours_are_read_waits_and_sees_what_was_read(
    real_meterage: Meterage,
) -> None:
    gap = billable_gap(real_meterage)
    billing: list[threading.Thread] = []

    def bill() -> None:
        accept_gap(gap_id=gap.pk, reason="as the week before", actor=TESTER, bill_estimate=True)
        connection.close()

    def while_it_is_read(point: str) -> None:
        is_read = point == "before metering commit" and UsageBucket.objects.filter(quantity=40).exists()
        if is_read and not billing:
            billing.append(threading.Thread(target=bill))
            billing[0].start()
            billing[0].join(timeout=0.5)

    arm(while_it_is_read)
    try:
        collect_usage()
    finally:
        arm(None)
    billing[0].join()
    of_gap = UsageBucket.objects.filter(bucket_start__gte=gap.starts_at, quantity__gt=0)
    assert list(of_gap.values_list("quantity", flat=True)) == [40]


def test_a_source_is_chosen_for_what_is_not_sealed_and_only_that_is_billed(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.move_to(meterage.after(hours=2))
    meterage.put(tenant, 100, meterage.after(minutes=10))
    report(meterage, tenant, 103)
    meterage.settle(meterage.after(hours=24))
    [row] = differences(tenant_ids=None, start=meterage.start - timedelta(days=2), end=meterage.after(days=2))
    assert (row.cloudwatch, row.events, row.parts_per_million) == (100, 103, 29126)
    assert [alarm.kind for alarm in watch()] == ["difference"]
    set_tolerance(meter="input_tokens", parts_per_million=30_000, actor=TESTER)
    assert watch() == []
    assert sum(UsageDay.objects.values_list("quantity", flat=True)) == 100
    choose_source(meter="input_tokens", kind="events", starts_at=meterage.start, reason="exact", actor=TESTER)
    assert sum(UsageDay.objects.values_list("quantity", flat=True)) == 103
    day = Period(meterage.start, meterage.after(hours=24))
    assert seal(tenant, day) == 103
    assert Event.objects.get(name="meter.source_chosen").reason == "exact"
    with pytest.raises(SourceSealed):
        choose_source(meter="input_tokens", kind="cloudwatch", starts_at=meterage.start, reason="", actor=TESTER)
    choose_source(meter="input_tokens", kind="cloudwatch", starts_at=day.end, reason="", actor=TESTER)
    report(meterage, tenant, 5, "late")
    assert [(row.meter, row.quantity) for row in queries.corrections(tenant_ids=None)] == [("input_tokens", 5)]
    assert seal(tenant, day) == 5


def test_reading_again_says_first_what_it_would_change(meterage: Meterage) -> None:
    tenant, other = meterage.tenant(), meterage.tenant()
    meterage.move_to(meterage.after(hours=2))
    meterage.put(tenant, 100, meterage.after(minutes=10))
    meterage.settle(meterage.after(hours=24))
    meterage.put(tenant, 11, meterage.after(minutes=20))
    meterage.put(other, 7, meterage.after(hours=1))
    meterage.move_to(clock.now() + 72 * HOUR)
    span = {"start": meterage.start, "end": meterage.after(hours=24)}
    preview = preview_backfill(tenant_id=tenant.pk, **span)
    assert [(change.was, change.would_be, change.is_sealed) for change in preview.changes] == [(100, 111, False)]
    assert preview.totals() == {"input_tokens": (100, 111)}
    assert {change.tenant_id for change in preview_backfill(tenant_id=None, **span).changes} == {tenant.pk, other.pk}
    assert meterage.total(tenant) == 100
    assert request_backfill(tenant_id=tenant.pk, **span, reason="late points", actor=TESTER) == 24
    collect_usage()
    assert (meterage.total(tenant), meterage.total(other)) == (111, 7)
    assert preview_backfill(tenant_id=tenant.pk, **span).changes == []
    with pytest.raises(SpanTooLong):
        preview_backfill(tenant_id=None, start=meterage.start, end=meterage.after(hours=25))


def test_a_value_that_cannot_be_a_count_is_an_alarm_and_can_be_accepted_with_its_hour(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.move_to(meterage.after(hours=2))
    meterage.put(tenant, 1.5, meterage.after(minutes=10))
    meterage.settle(meterage.after(hours=24))
    assert [(alarm.kind, alarm.tenant) for alarm in watch()] == [("parked", tenant)]
    assert not UsageBucket.objects.filter(tenant=tenant).exists()
    with pytest.raises(DomainError, match="not a whole number"):
        seal(tenant, Period(meterage.start, meterage.after(hours=24)))
