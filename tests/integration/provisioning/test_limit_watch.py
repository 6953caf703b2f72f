"""Token limits that fill up are told of once per threshold; what was turned away is kept by the hour."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.services import create_operator
from core.clock import now
from dataplane.budgets import Limit, budgets_of
from dataplane.limit_table import LimitTable
from dataplane.reports import Reporter
from events.models import Event
from provisioning.models import DegradedMinute, LimitAlert, PublishedConfig, TierRoute, TurnedAwayHour
from provisioning.runtime_config import Allowance, Route, Target
from provisioning.services.limit_watch import watch_limits
from provisioning.services.limits import LimitExceeded, reserve_tokens, settle_reservation
from tenants.models import Tenant
from tests.factories import TESTER, make_tenant

pytestmark = pytest.mark.django_db
MONTH = {"meter": "output_tokens", "window": "month", "amount": 1000, "mode": "hard"}
MINUTE = {"meter": "total_tokens", "window": "minute", "amount": 1000, "mode": "hard"}


def publish(tenant: Tenant, *windows: dict[str, Any], status: str = "active") -> None:
    PublishedConfig.objects.filter(tenant=tenant).delete()
    limits = {"max_output_tokens": 4096, "timezone": "Asia/Tokyo", "windows": list(windows)}
    document = {"tenant": tenant.public_id, "status": status, "limits": limits}
    PublishedConfig.objects.create(
        tenant=tenant, version=1, document=document, sha256="0" * 64, signature="0" * 64, is_current=True
    )


@pytest.fixture
def later(clock_file: Path) -> Callable[..., None]:
    """Move the test clock to so long after the beginning."""

    def move(**after: float) -> None:
        clock_file.write_text(str(int(timedelta(**after).total_seconds())))

    return move


@pytest.fixture
def admin(client: Client) -> Client:
    """An operator who sees all."""
    client.force_login(create_operator(name="ann", role="admin", actor=TESTER))
    return client


@pytest.fixture
def acme(aws: object) -> Tenant:
    tenant = make_tenant(slug="acme", external_id="CRM-42")
    publish(tenant, MONTH, MINUTE)
    return tenant


def spend(tenant: Tenant, tokens: int) -> None:
    held = reserve_tokens(tenant_id=tenant.pk, input_tokens=0, output_tokens=tokens)
    settle_reservation(tenant_id=tenant.pk, reservation=held.reservation, input_tokens=0, output_tokens=tokens)


def told() -> list[tuple[int, int]]:
    return [(each.threshold_percent, each.used) for each in LimitAlert.objects.order_by("pk")]


def test_each_threshold_is_told_once(acme: Tenant) -> None:
    spend(acme, 499)
    assert watch_limits() == []
    spend(acme, 1)
    assert [each.threshold_percent for each in watch_limits()] == [50]
    assert watch_limits() == []
    spend(acme, 500)
    watch_limits()
    assert told() == [(50, 500), (80, 1000), (100, 1000)], "the minute is full too, and over before anybody could act"
    event = Event.objects.filter(name="limit.threshold_reached").order_by("pk")[0]
    assert event.tenant_ref == acme.public_id and event.data is not None
    assert event.data["external_id"] == "CRM-42"
    assert event.data["limit"] == {
        "meter": "output_tokens",
        "window": "month",
        "mode": "hard",
        "amount": 1000,
        "line": None,
    }
    assert (event.data["used"], event.data["threshold_percent"]) == (500, 50)


def test_a_raised_limit_is_told_of_anew_and_one_who_is_not_served_not_at_all(acme: Tenant) -> None:
    spend(acme, 600)
    assert len(watch_limits()) == 1
    publish(acme, MONTH | {"amount": 1200})
    assert [(each.threshold_percent, each.amount) for each in watch_limits()] == [(50, 1200)]
    publish(acme, MONTH | {"amount": 600}, status="suspended")
    assert watch_limits() == []


def test_the_thresholds_are_a_setting(acme: Tenant, settings: Any) -> None:
    settings.ENV = settings.ENV.model_copy(update={"limit_alert_percents": (10,)})
    spend(acme, 100)
    assert [each.threshold_percent for each in watch_limits()] == [10]


def test_what_was_turned_away_is_kept_by_the_hour(acme: Tenant) -> None:
    with pytest.raises(LimitExceeded):
        spend(acme, 600), spend(acme, 600)
    at = now().timestamp()
    kit = Reporter(boto3.client("dynamodb"), os.environ["CP_LIMITS_TABLE"], acme.public_id)
    kit.degraded("support", "pooled", "refused", "model_unavailable", at)
    kit.degraded("support", "pooled", "refused", "limit_exceeded", at)
    kit.degraded("support", "pooled", "queue", "limit_exceeded", at)  # it waits, and may be answered yet
    kit.tell()
    route(acme)
    old = TurnedAwayHour.objects.create(tenant=acme, line="", hour=now() - timedelta(days=40), times=1)
    for _ in range(2):
        watch_limits()
        kept = TurnedAwayHour.objects.values_list("line", "times").order_by("line")
        assert list(kept) == [("", 2), ("pooled", 1)]
    assert not TurnedAwayHour.objects.filter(pk=old.pk).exists()


def test_many_tenants_cost_few_reads(acme: Tenant, aws: Any, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(45):
        publish(make_tenant(), MONTH, MINUTE)
    before = aws.calls().get("BatchGetItem", 0)
    queries_before = aws.calls().get("Query", 0)
    # A page of tenants, their lines, the page after it; the old hours; and in one transaction untold and old degrades.
    with django_assert_num_queries(9):
        watch_limits()
    assert aws.calls()["BatchGetItem"] - before == 3  # 46 tenants: two counters, two hours of refusals, a mark each
    assert aws.calls().get("Query", 0) == queries_before, "who degraded nothing is not asked"


def route(tenant: Tenant) -> None:
    """The tenant's tier serves on a line `pooled`."""
    from provisioning.services.catalogue import seed_catalogue

    seed_catalogue(actor=TESTER)
    pooled = TierRoute.objects.select_related("line").filter(line__name="pooled")[0].line
    on = tenant.assignments.get().tier_version
    TierRoute.objects.get_or_create(tier_version=on, line=pooled, defaults={"position": 0})


# --- degrades -------------------------------------------------------------------------------------------------------
def reporter(tenant: Tenant) -> Reporter:
    return Reporter(boto3.client("dynamodb"), os.environ["CP_LIMITS_TABLE"], tenant.public_id)


def degrades() -> list[tuple[str, str, str, int]]:
    events = Event.objects.filter(name="route.degraded").order_by("pk")
    return [(e.data["line"], e.data["to"], e.data["reason"], e.data["times"]) for e in events if e.data]


def test_each_degrade_is_in_exactly_one_event_however_often_and_late_it_is_read(
    acme: Tenant, later: Callable[..., None]
) -> None:
    kit, at = reporter(acme), now().timestamp()
    kit.degraded("support", "strong-api", "cheap-api", "limit_exceeded", at)
    kit.degraded("support", "strong-api", "cheap-api", "limit_exceeded", at - 60)
    kit.degraded("support", "cheap-api", "refused", "model_unavailable", at)
    kit.tell()
    kit.tell()
    for _ in range(3):
        watch_limits()
    first = [("cheap-api", "refused", "model_unavailable", 1), ("strong-api", "cheap-api", "limit_exceeded", 2)]
    assert sorted(degrades()) == first
    event = Event.objects.filter(name="route.degraded", data__times=2).get()
    assert event.data is not None and event.tenant_ref == event.subject_ref == acme.public_id
    assert event.reason == "Requests of route support passed on to cheap-api by strong-api, 2 times: limit_exceeded."
    assert event.data["external_id"] == "CRM-42" and event.data["route"] == "support"
    assert event.data["first_minute"] < event.data["last_minute"]

    # It goes on: that is news again after a quarter of an hour, and another reason at once.
    kit.degraded("support", "strong-api", "cheap-api", "limit_exceeded", at)
    kit.degraded("support", "strong-api", "cheap-api", "breaker_open", at)
    kit.tell()
    watch_limits()
    assert degrades()[2:] == [("strong-api", "cheap-api", "breaker_open", 1)]
    later(minutes=14)
    watch_limits()
    assert len(degrades()) == 3
    later(minutes=16)
    kit.degraded("support", "strong-api", "cheap-api", "limit_exceeded", now().timestamp())
    kit.tell()
    watch_limits(), watch_limits()
    assert degrades()[3:] == [("strong-api", "cheap-api", "limit_exceeded", 2)], "the old minute and the new one"

    # What was told and is old is forgotten, and not told again by who reads on.
    later(hours=30)
    kit.degraded("support", "strong-api", "queue", "model_unavailable", now().timestamp())
    kit.tell()
    watch_limits(), watch_limits()
    assert degrades()[4:] == [("strong-api", "queue", "model_unavailable", 1)]
    assert DegradedMinute.objects.count() == 1


def test_a_refusal_over_rest_is_a_degrade_and_what_no_kit_writes_stops_nobody(
    acme: Tenant, later: Callable[..., None]
) -> None:
    other = make_tenant()
    publish(other, MONTH)
    table: Any = boto3.client("dynamodb")
    for item, count in (("degraded", {"S": "x"}), ("degrade#soon#a#b", {"N": "1"}), (f"degrade#{9:010d}", {"N": "1"})):
        key = {"tenant": {"S": other.public_id}, "item": {"S": item}}
        table.put_item(TableName=os.environ["CP_LIMITS_TABLE"], Item=key | {"times": count})
    with pytest.raises(LimitExceeded):
        spend(acme, 600), spend(acme, 600)
    watch_limits()
    assert degrades() == [("any", "refused", "limit_exceeded", 1)]
    reporter(other).degraded("base", "x" * 64, "queue", "late", now().timestamp())
    watch_limits()
    assert len(degrades()) == 1


def test_an_allowance_of_a_line_is_told_of_like_a_limit(acme: Tenant, admin: Client) -> None:
    route(acme)
    TierRoute.objects.filter(line__name="pooled", tier_version__assignments__tenant=acme).update(allowance_tokens=1000)
    config = PublishedConfig.objects.get(tenant=acme)
    allowance = Allowance("month", 1000)
    target = Target("pooled", "hosted", "1" * 12, "us-west-2", endpoint="e", component="c", allowance=allowance)
    config.document["routes"] = {"base": Route((target,)).as_document()}
    config.save()
    budgets = budgets_of(config.document["limits"])
    counter = budgets.counters(now().timestamp(), Limit("total_tokens", "month", 1000, "hard", "pooled"))[-1]
    table = LimitTable(boto3.client("dynamodb"), os.environ["CP_LIMITS_TABLE"], acme.public_id)
    table.add({counter.key: 799})
    assert [(each.line, each.threshold_percent) for each in watch_limits()] == [("pooled", 50)]
    table.add({counter.key: 201})
    assert [(each.line, each.threshold_percent) for each in watch_limits()] == [("pooled", 80), ("pooled", 100)]
    assert watch_limits() == []
    event = Event.objects.filter(name="limit.threshold_reached").order_by("-pk")[0]
    assert event.data is not None and event.data["limit"]["line"] == "pooled" and event.data["used"] == 1000
    Tenant.objects.filter(pk=acme.pk).update(state="active")
    shown = admin.get("/").content.decode()
    assert f"{acme.name} has used 100 % of its tokens per month on pooled" in shown
    assert "the allowance sends requests to the next line when full" in shown
    page = admin.get("/tenants/acme/").content.decode()
    assert 'value="1000" max="1000" aria-label="Tokens in and out per month, allowance of pooled"' in page
    assert "allowance of pooled:</span> 100 % reached" in page
