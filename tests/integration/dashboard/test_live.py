"""Pages that follow: how often they ask again, that they stop, and that rows cost no further queries."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core import clock
from dashboard.polling import poll_ms
from models_registry.models import Adapter, AdapterVersion
from provisioning.models import ManagedResource, Operation
from provisioning.states import OperationState
from tests.factories import make_tenant
from tests.integration.api.making import (
    make_adapter,
    make_key,
    make_operation,
    make_release,
    make_resource,
    make_version,
)

FRAGMENT = {"HX-Request": "true"}


@pytest.mark.parametrize(("age_seconds", "expected"), [(0, 1000), (29, 1000), (31, 3000), (299, 3000), (301, 10_000)])
def test_the_older_the_more_patient(age_seconds: int, expected: int) -> None:
    since = clock.now() - timedelta(seconds=age_seconds)
    assert poll_ms(since=since, is_settled=False) == expected
    assert poll_ms(since=since, is_settled=True) is None


def test_an_operation_is_followed_until_it_is_settled(admin: Client) -> None:
    operation = make_operation(make_tenant())
    Operation.objects.update(state=OperationState.RUNNING)
    ManagedResource.objects.update(stuck_reason="")
    path = reverse("operation-detail", args=[operation.public_id])
    assert 'data-poll="1000"' in admin.get(path, headers=FRAGMENT).content.decode()
    Operation.objects.update(started_at=clock.now() - timedelta(minutes=1))
    assert 'data-poll="3000"' in admin.get(path, headers=FRAGMENT).content.decode()
    for state in (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.SUPERSEDED):
        Operation.objects.update(state=state, finished_at=clock.now())
        for headers in ({}, FRAGMENT):
            assert "data-poll" not in admin.get(path, headers=headers).content.decode(), state


def test_a_version_is_followed_until_the_gate_has_decided(admin: Client) -> None:
    version = make_version(make_tenant())
    path = reverse("version-detail", args=[version.public_id])
    assert "data-poll" not in admin.get(path).content.decode()
    undecided = AdapterVersion.objects.create(
        adapter=version.adapter, tenant=version.tenant, state="validating", uploaded_by="x", waiting_reason="S3 is slow"
    )
    text = admin.get(reverse("version-detail", args=[undecided.public_id])).content.decode()
    assert "data-poll" in text
    assert "S3 is slow" in text


def test_an_adapter_is_followed_while_a_release_is_pending(admin: Client) -> None:
    live = make_release(make_tenant())
    path = reverse("adapter-detail", args=[live.adapter.public_id])
    assert "data-poll" not in admin.get(path).content.decode()
    admin.post(reverse("version-release", args=[make_version(live.adapter.tenant).public_id]), {"reason": ""})
    assert "data-poll" in admin.get(path).content.decode()


def test_lists_and_home_stop_asking_when_nothing_runs(admin: Client) -> None:
    make_operation(make_tenant())
    for name in ("home", "operation-list"):
        assert "data-poll" not in admin.get(reverse(name)).content.decode()
    Operation.objects.update(state=OperationState.RUNNING)
    for name in ("home", "operation-list"):
        assert 'data-poll="3000"' in admin.get(reverse(name)).content.decode(), "a list is calmer than one operation"


def _row(name: str) -> Callable[[], Any]:
    makers: dict[str, Callable[[Any], Any]] = {
        "tenant-list": lambda tenant: make_resource(tenant),
        "adapter-list": lambda tenant: make_release(tenant),
        "operation-list": lambda tenant: make_operation(tenant),
        "resource-list": lambda tenant: make_resource(tenant),
        "key-list": lambda tenant: make_key(tenant),
        "audit": lambda tenant: tenant,
        "home": lambda tenant: make_operation(tenant),
    }
    return lambda: makers[name](make_tenant())


def queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


@pytest.mark.parametrize(
    "name", ["tenant-list", "adapter-list", "operation-list", "resource-list", "key-list", "audit", "home"]
)
def test_more_rows_cost_no_more_queries(name: str, admin: Client) -> None:
    make = _row(name)
    make(), make()
    few = queries(admin, reverse(name))
    for _ in range(6):
        make()
    assert queries(admin, reverse(name)) == few
    assert few <= 30


def test_more_versions_cost_no_more_queries(admin: Client) -> None:
    live = make_release(make_tenant())
    path = reverse("adapter-detail", args=[live.adapter.public_id])
    make_version(live.adapter.tenant)
    few = queries(admin, path)
    for _ in range(5):
        make_version(live.adapter.tenant)
    assert queries(admin, path) == few


def test_long_lists_come_in_pages_without_losing_or_repeating_a_row(admin: Client) -> None:
    for _ in range(55):
        make_tenant()
    first = admin.get(reverse("tenant-list"), {"state": "signed_up"}).content.decode()
    following = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "state=signed_up" in following, "the filter stays"
    second = admin.get(reverse("tenant-list") + following).content.decode()
    shown = [
        text.split("/")[0]
        for text in (first + second).split('href="/tenants/')[1:]
        if text.split("/")[0].startswith("t")
    ]
    assert len(shown) == len(set(shown)) == 55
    assert 'rel="next"' not in second


def test_an_adapter_without_anything_says_what_to_do(admin: Client) -> None:
    adapter = make_adapter(make_tenant())
    text = admin.get(reverse("adapter-detail", args=[adapter.public_id])).content.decode()
    assert "Upload the first version" in text
    assert Adapter.objects.count() == 1
