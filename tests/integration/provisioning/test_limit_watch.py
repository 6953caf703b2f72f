"""Token limits that fill up are told of once per threshold; what was turned away is kept by the hour."""

import os
from datetime import timedelta
from typing import Any

import boto3
import pytest
from pytest_django import DjangoAssertNumQueries

from core.clock import now
from dataplane.reports import Reporter
from events.models import Event
from provisioning.models import LimitAlert, PublishedConfig, TurnedAwayHour
from provisioning.services.limit_watch import watch_limits
from provisioning.services.limits import LimitExceeded, reserve_tokens, settle_reservation
from tenants.models import Tenant
from tests.factories import make_tenant

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
    assert event.data["limit"] == {"meter": "output_tokens", "window": "month", "mode": "hard", "amount": 1000}
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
    with django_assert_num_queries(4):  # a page of tenants, their lines, the page after it, and the old hours
        watch_limits()
    assert aws.calls()["BatchGetItem"] - before == 2  # 46 tenants: two counters and two hours of refusals each


def route(tenant: Tenant) -> None:
    """The tenant's tier serves on a line `pooled`."""
    from provisioning.models import TierRoute
    from provisioning.services.catalogue import seed_catalogue
    from tests.factories import TESTER

    seed_catalogue(actor=TESTER)
    pooled = TierRoute.objects.select_related("line").filter(line__name="pooled")[0].line
    on = tenant.assignments.get().tier_version
    TierRoute.objects.get_or_create(tier_version=on, line=pooled, defaults={"position": 0})
