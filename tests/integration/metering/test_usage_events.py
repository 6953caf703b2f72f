"""Usage events: each counts once for ever, a batch is taken whole or by item, and nobody reports for others."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from core import clock
from core.ids import new_id
from metering.event_rules import MOST_EVENTS
from metering.models import UsageBucket, UsageDay, UsageEvent, UsageRevision
from metering.services.events import fold_events, record_usage_events
from tests.factories import TESTER
from tests.integration.api.client import caller
from tests.integration.metering.meterage import Meterage

if TYPE_CHECKING:
    from tenants.models import Tenant

URL = "usage-events"


def event(**details: Any) -> dict[str, Any]:
    return {
        "id": new_id("evt"), "meter": "input_tokens", "line": "pooled", "adapter_version": "base", "quantity": 7,
        "occurred_at": clock.now().isoformat(),
    } | details  # fmt: skip


def reported(tenant: Tenant) -> int:
    fold_events()
    rows = UsageBucket.objects.filter(tenant=tenant, source="events")
    return int(sum(rows.values_list("quantity", flat=True)))


def test_an_event_counts_once_however_often_it_is_sent(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    sender = caller("usage.write", tenant_id=tenant.pk)
    one, other = event(quantity=533), event(quantity=10)
    first = sender.post(URL, {"events": [one, other, one]})
    assert (first.status_code, first.json()["accepted"], first.json()["duplicates"]) == (200, 2, 1)
    assert reported(tenant) == 543
    again = sender.post(URL, {"events": [other, event(quantity=1), one], "mode": "partial"}).json()
    assert [result["status"] for result in again["results"]] == ["duplicate", "accepted", "duplicate"]
    assert reported(tenant) == 544
    [bucket] = UsageBucket.objects.filter(tenant=tenant)
    before = UsageRevision.objects.filter(bucket=bucket).values_list("revision", "quantity")
    assert (bucket.revision, list(before)) == (2, [(1, 543)])


def test_the_same_id_for_something_else_is_refused_for_ever(meterage: Meterage) -> None:
    tenant, other = meterage.tenant(), meterage.tenant()
    sender = caller("usage.write")
    one = event(tenant=tenant.public_id)
    assert sender.post(URL, {"events": [one]}).json()["accepted"] == 1
    meterage.move_to(meterage.after(days=70))
    changed = one | {"quantity": 8, "occurred_at": clock.now().isoformat()}
    answer = sender.post(URL, {"events": [event(tenant=tenant.public_id), changed]})
    assert (answer.status_code, answer.json()["code"]) == (409, "event_id_reused")
    assert answer.json()["errors"][0]["pointer"] == "/events/1/id"
    partial = sender.post(URL, {"events": [event(tenant=tenant.public_id), changed], "mode": "partial"}).json()
    assert [result["status"] for result in partial["results"]] == ["accepted", "refused"]
    # An id is the tenant's own: the same one of another tenant is another event.
    assert sender.post(URL, {"events": [changed | {"tenant": other.public_id}]}).json()["accepted"] == 1
    assert UsageEvent.objects.count() == 3


REFUSED = [
    ({"meter": "endpoint_seconds"}, "meter_unknown"),
    ({"quantity": 1.5}, "quantity_invalid"),
    ({"quantity": 0}, "quantity_invalid"),
    ({"quantity": 2**53}, "quantity_invalid"),
    ({"quantity": True}, "quantity_invalid"),
    ({"id": "a b"}, "id_invalid"),
    ({"id": "x" * 65}, "id_invalid"),
    ({"occurred_at": "2026-11-20 10:00"}, "instant_invalid"),
    ({"occurred_at": "2026-02-30T10:00:00Z"}, "instant_invalid"),
    ({"line": "dedicated"}, "route_unknown"),
    ({"line": ["pooled"]}, "wrong_type"),
    ({"adapter_version": "adv_\x00"}, "route_unknown"),
    ({"tenant": "ten_\ud800"}, "tenant_unknown"),
    ({"note": "x"}, "unknown_field"),
]


def test_what_is_wrong_with_each_event_is_said(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    sender = caller("usage.write", tenant_id=tenant.pk)
    early, late = clock.now() + timedelta(minutes=6), clock.now() - timedelta(days=36)
    bad = [event(**change) for change, _ in REFUSED]
    bad += [event(occurred_at=early.isoformat()), event(occurred_at=late.isoformat()), "no object"]
    codes = [code for _, code in REFUSED] + ["event_in_future", "event_too_late", "wrong_type"]
    whole = sender.post(URL, {"events": [event(), *bad]})
    assert whole.status_code == 422
    assert [error["code"] for error in whole.json()["errors"]] == codes
    assert UsageEvent.objects.count() == 0
    partial = sender.post(URL, {"events": [event(), *bad], "mode": "partial"}).json()
    assert [result.get("code") for result in partial["results"]] == [None, *codes]
    assert (partial["accepted"], partial["refused"], reported(tenant)) == (1, len(bad), 7)


def test_nobody_reports_for_tenants_they_do_not_see(meterage: Meterage) -> None:
    mine, other = meterage.tenant(), meterage.tenant()
    sender = caller("usage.write", tenant_id=mine.pk)
    answer = sender.post(URL, {"events": [event(tenant=other.public_id)]})
    missing = sender.post(URL, {"events": [event(tenant="ten_" + "0" * 26)]})
    assert answer.status_code == missing.status_code == 422
    assert answer.json()["errors"] == missing.json()["errors"]
    assert sender.post(URL, {"tenant": other.public_id, "events": [event()]}).status_code == 404
    assert caller("usage.view").post(URL, {"events": [event()]}).status_code == 403
    nobody_named = caller("usage.write").post(URL, {"events": [event()]})
    assert nobody_named.json()["errors"][0]["code"] == "tenant_missing"
    assert UsageEvent.objects.count() == 0


@pytest.mark.parametrize("count", [0, MOST_EVENTS + 1])
def test_a_batch_has_one_to_a_thousand_events(meterage: Meterage, count: int) -> None:
    meterage.tenant()
    answer = caller("usage.write").post(URL, {"events": [{}] * count})
    assert (answer.status_code, answer.json()["code"]) == (422, "usage_events_count")


def test_a_thousand_events_of_many_tenants_take_a_handful_of_statements(
    meterage: Meterage, django_assert_max_num_queries: Any
) -> None:
    tenants = [meterage.tenant() for _ in range(10)]

    def batch() -> list[dict[str, Any]]:
        return [event(tenant=tenants[at % 10].public_id) for at in range(MOST_EVENTS)]

    def take(events: list[dict[str, Any]]) -> int:
        taken = record_usage_events(
            events=events, tenant_ids=None, default_tenant_id=None, all_or_nothing=True, actor=TESTER
        )
        return taken.accepted

    take(batch())
    events = batch()
    with django_assert_max_num_queries(6):
        assert take(events) == MOST_EVENTS
    assert sum(reported(tenant) for tenant in tenants) == 2 * MOST_EVENTS * 7


def test_events_never_change_and_do_not_count_beside_cloudwatch(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    caller("usage.write", tenant_id=tenant.pk).post(URL, {"events": [event()]})
    assert reported(tenant) == 7
    assert not UsageDay.objects.filter(tenant=tenant).exclude(quantity=0).exists()
    for statement in ("UPDATE metering_usageevent SET quantity = 1", "DELETE FROM metering_usageevent"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.parametrize("offset", ["+16:00", "+05:99"])
def test_an_offset_that_the_database_does_not_know_is_the_fault_of_one_event(meterage: Meterage, offset: str) -> None:
    tenant = meterage.tenant()
    ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
    odd = event(occurred_at=f"{clock.now() + ahead:%Y-%m-%dT%H:%M:%S}{offset}")
    sender = caller("usage.write", tenant_id=tenant.pk)
    answer = sender.post(URL, {"events": [odd, event()], "mode": "partial"}).json()
    assert [result["status"] for result in answer["results"]] == ["refused", "accepted"]
    assert answer["results"][0]["code"] == "instant_invalid"


def test_two_batches_with_the_same_ids_in_other_orders_do_not_deadlock(real_meterage: Meterage) -> None:
    tenant = real_meterage.tenant()
    events = [event(tenant=tenant.public_id) for _ in range(MOST_EVENTS)]
    taken: list[int] = []
    start = threading.Barrier(2)

    def send(batch: list[dict[str, Any]]) -> None:
        try:
            start.wait(10)
            mode: dict[str, Any] = {"tenant_ids": None, "default_tenant_id": None, "all_or_nothing": False}
            taken.append(record_usage_events(events=batch, **mode, actor=TESTER).accepted)
        finally:
            connection.close()

    senders = [threading.Thread(target=send, args=(batch,)) for batch in (events, events[::-1])]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(taken) == 2 and sum(taken) == MOST_EVENTS
