"""Idempotency-Key: a repeated request is answered, not done again; in threads, and after a crash."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from api import idempotency
from api.models import IdempotentRequest
from core import clock
from events.models import Event
from tenants.models import Tenant
from tests.factories import make_tenant, make_tier
from tests.integration.api.client import Caller, caller, refused

GOOD: dict[str, Any] = {"name": "Acme", "slug": "acme", "tier": "basic"}


@pytest.fixture
def ops(db: None) -> Caller:
    make_tier()
    return caller()


def test_a_key_is_required_where_money_or_infrastructure_is_made(ops: Caller) -> None:
    refused(ops.post("tenants", GOOD, idempotency_key=None), 400, "idempotency_key_missing")
    refused(ops.post("tenants", GOOD, idempotency_key="   "), 400, "idempotency_key_missing")
    refused(ops.post("tenants", GOOD, idempotency_key="k" * 256), 400, "idempotency_key_invalid")
    refused(ops.post("tenants", GOOD, idempotency_key="a b"), 400, "idempotency_key_invalid")
    assert not Tenant.objects.exists()


def test_the_same_request_again_gets_the_same_reply(ops: Caller) -> None:
    first = ops.post("tenants", GOOD, idempotency_key="k1")
    again = ops.post("tenants", dict(reversed(GOOD.items())), idempotency_key="k1")
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.content) == (201, first.content)
    assert [again[name] for name in ("Location", "ETag", "Link")] == [
        first[name] for name in ("Location", "ETag", "Link")
    ]
    assert Event.objects.filter(name="tenant.signed_up").count() == 1


def test_the_key_with_another_body_is_refused(ops: Caller) -> None:
    ops.post("tenants", GOOD, idempotency_key="k1")
    problem = refused(
        ops.post("tenants", {**GOOD, "slug": "acme2"}, idempotency_key="k1"), 422, "idempotency_key_reused"
    )
    assert not problem["retryable"]
    assert Tenant.objects.count() == 1


def test_a_key_belongs_to_its_principal_and_its_address(ops: Caller) -> None:
    make_tenant(slug="other")
    ops.post("tenants", GOOD, idempotency_key="k1")
    refused(caller().post("tenants", GOOD, idempotency_key="k1"), 409, "slug_taken")
    refused(ops.post("tenants/other/suspend", {"reason": "x"}, idempotency_key="k1"), 409, "tenant_not_running")


def test_a_failed_request_is_done_again(ops: Caller) -> None:
    make_tenant(slug="acme")
    refused(ops.post("tenants", GOOD, idempotency_key="k1"), 409, "slug_taken")
    assert not IdempotentRequest.objects.exists()
    assert ops.post("tenants", {**GOOD, "slug": "acme2"}, idempotency_key="k1").status_code == 201


def test_a_replay_is_not_refused_for_a_version_that_it_made_stale(ops: Caller) -> None:
    make_tenant(slug="acme")
    for _ in range(2):
        left = ops.post("tenants/acme/offboard", {"reason": "left"}, if_match='"v1"', idempotency_key="k1")
        assert left.status_code == 202, left.content
    assert left["Idempotency-Replayed"] == "true"


def test_a_key_is_used_where_it_is_not_required(ops: Caller) -> None:
    make_tenant(slug="acme")
    for _ in range(2):
        changed = ops.call("PATCH", "tenants/acme", {"name": "New"}, if_match='"v1"', headers={"Idempotency-Key": "k1"})
        assert (changed.status_code, changed["ETag"]) == (200, '"v2"'), changed.content


def test_the_reply_that_shows_a_key_is_not_kept(ops: Caller) -> None:
    body = {"name": "export", "scopes": ["usage.view"]}
    keys = {ops.post("api-keys", body, idempotency_key="k1").json()["key"] for _ in range(2)}
    assert len(keys) == 2
    assert not IdempotentRequest.objects.exists()


def test_after_72_hours_a_reply_is_forgotten(ops: Caller) -> None:
    ops.post("tenants", GOOD, idempotency_key="k1")
    ops.post("tenants", {**GOOD, "slug": "acme2"}, idempotency_key="k2")
    IdempotentRequest.objects.update(expires_at=clock.real_now() - timedelta(seconds=1))
    refused(ops.post("tenants", GOOD, idempotency_key="k1"), 409, "slug_taken")  # the fact holds for ever
    assert not IdempotentRequest.objects.exists()


def test_a_pushed_business_clock_forgets_nothing(ops: Caller, clock_file: Any) -> None:
    ops.post("tenants", GOOD, idempotency_key="k1")
    clock_file.write_text(str(30 * 86400))
    assert ops.post("tenants", GOOD, idempotency_key="k1")["Idempotency-Replayed"] == "true"


def interrupted(key: str) -> IdempotentRequest:
    """The row as a process leaves it that was killed between doing the work and keeping the reply."""
    row = IdempotentRequest.objects.get(key=key)
    IdempotentRequest.objects.filter(pk=row.pk).update(status=None, headers=None, body=None)
    return row


def test_a_request_in_flight_is_not_done_a_second_time(ops: Caller) -> None:
    ops.post("tenants", GOOD, idempotency_key="k1")
    interrupted("k1")
    response = ops.post("tenants", GOOD, idempotency_key="k1")
    assert refused(response, 409, "request_in_flight")["retryable"]
    assert 1 <= int(response["Retry-After"]) <= 60


def test_after_a_crash_the_fact_itself_prevents_a_second_one(ops: Caller) -> None:
    ops.post("tenants", GOOD, idempotency_key="k1")
    interrupted("k1")
    IdempotentRequest.objects.update(leased_until=clock.real_now())
    refused(ops.post("tenants", GOOD, idempotency_key="k1"), 409, "slug_taken")
    assert Tenant.objects.count() == 1


def test_after_a_crash_before_the_work_the_repetition_does_it(ops: Caller) -> None:
    ops.post("tenants", {**GOOD, "slug": "probe"}, idempotency_key="k0")
    row = interrupted("k0")
    said = IdempotentRequest(
        principal=row.principal, method="POST", path="/api/v1/tenants", key="k1", fingerprint="0" * 64, attempt="dead"
    )
    said.leased_until = clock.real_now()
    said.expires_at = clock.real_now() + idempotency.KEPT
    said.save()
    refused(ops.post("tenants", GOOD, idempotency_key="k1"), 422, "idempotency_key_reused")
    first = ops.post("tenants", {**GOOD, "slug": "acme3"}, idempotency_key="k2")
    IdempotentRequest.objects.filter(key="k1").update(
        fingerprint=IdempotentRequest.objects.get(key="k2").fingerprint, leased_until=clock.real_now()
    )
    Tenant.objects.filter(slug="acme3").update(slug="moved")
    again = ops.post("tenants", {**GOOD, "slug": "acme3"}, idempotency_key="k1")
    assert (again.status_code, first.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in again


@pytest.mark.django_db(transaction=True)
def test_sixteen_at_once_make_one_tenant() -> None:
    make_tier()
    sender = caller()
    start, answers = threading.Barrier(16), []

    def send() -> None:
        one = Caller(sender.key)
        start.wait()
        try:
            while True:
                response = one.post("tenants", GOOD, idempotency_key="k1")
                if response.status_code != 409 or response.json()["code"] != "request_in_flight":
                    answers.append((response.status_code, "Idempotency-Replayed" in response, response.content))
                    return
                time.sleep(0.05)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _, _ in answers] == [201] * 16
    assert sum(not replayed for _, replayed, _ in answers) == 1
    assert len({body for _, _, body in answers}) == 1
    assert Tenant.objects.count() == Event.objects.filter(name="tenant.signed_up").count() == 1


@pytest.mark.django_db(transaction=True)
def test_no_update_is_lost_among_writers_at_once() -> None:
    make_tenant(slug="acme")
    sender = caller()
    done: list[int] = []

    def write(writer: int) -> None:
        one = Caller(sender.key)
        try:
            for turn in range(5):
                while True:
                    read = one.get("tenants/acme")
                    tags = {**read.json()["tags"], f"w{writer}": str(turn)}
                    status = one.patch("tenants/acme", {"tags": tags}, if_match=read["ETag"]).status_code
                    if status == 200:
                        done.append(writer)
                        break
                    assert status == 412
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tenant = Tenant.objects.get()
    assert len(done) == 20
    assert (tenant.tags, tenant.version) == ({f"w{writer}": "4" for writer in range(4)}, 21)
