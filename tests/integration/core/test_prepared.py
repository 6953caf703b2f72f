"""Prepared statements say what querysets say; a connection that was cut is noticed without a statement."""

import threading
from typing import Any

import pytest
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.prepared import Prepared, newest
from events.bell import Bell
from models_registry.models import Adapter
from models_registry.queries import find_adapter, list_adapters
from tests.factories import make_tenant
from tests.integration.api.making import make_adapter

pytestmark = pytest.mark.django_db


def test_a_prepared_read_is_the_queryset_with_other_values() -> None:
    tenants = [make_tenant(), make_tenant()]
    adapters = [make_adapter(tenant) for tenant in tenants]
    prepared = Prepared(lambda pk: Adapter.objects.select_related("tenant").filter(pk=pk), pk=-1)
    for adapter in [*adapters, *adapters]:
        with CaptureQueriesContext(connection) as asked:
            found = prepared.first(pk=adapter.pk)
            assert found is not None
            assert (found, found.name, found.tags, found.tenant) == (adapter, adapter.name, {}, adapter.tenant)
        assert len(asked) == 1
        named = find_adapter(adapter.public_id, tenant_ids={adapter.tenant_id})
        assert (named.pk, named.name, named.tenant_id) == (adapter.pk, adapter.name, adapter.tenant_id)
    assert prepared.first(pk=0) is None
    with pytest.raises(ValueError, match="sample"):
        Prepared(lambda pk: Adapter.objects.all(), pk=-1).first(pk=1)


def test_pages_by_keys_and_by_other_filters_are_the_same() -> None:
    made = [make_adapter(make_tenant()) for _ in range(4)]

    def pks(tenant_ids: Any = None, after: int | None = None, **filters: Any) -> list[int]:
        rows = newest(list_adapters, ("pk", "name"), filters, tenant_ids=tenant_ids, after=after, limit=10)
        return [row.pk for row in rows]

    first, second = made[0].tenant_id, made[1].tenant_id
    for _ in range(2):
        assert pks() == pks(q="support") == [adapter.pk for adapter in reversed(made)]
        assert pks(tenant_ids={first, second}) == pks(after=made[2].pk) == [made[1].pk, made[0].pk]
        assert pks(tenant_ids={first}) == pks(tenant_id=first) == pks(tenant_ids={first}, q="support") == [made[0].pk]
        assert pks(tenant_ids={second}, tenant_id=first) == pks(tenant_ids=set()) == []
        assert pks(tenant_ids={second}, after=made[1].pk) == pks(tenant_ids={second}, after=made[0].pk, q="s") == []


def test_a_connection_that_was_cut_is_noticed() -> None:
    kept = connection.copy()
    kept.connect()
    try:
        assert kept.is_usable()
        pid = kept.connection.info.backend_pid
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert not kept.is_usable()
    finally:
        kept.close()


def test_a_bell_sounds_at_once_and_then_for_all_that_came_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    late = threading.Event()

    def send(name: str, kwargs: dict[str, Any]) -> None:
        rung.append(name)
        if len(rung) == 2:
            late.set()

    monkeypatch.setattr(current_app, "send_task", send)
    bell = Bell("a.task")
    for _ in range(5):
        bell.ring()
    assert rung == ["a.task"]
    assert late.wait(5)
    assert rung == ["a.task"] * 2
