"""Idempotency-Key: a repeated request is answered, not done again; in threads, and after a crash."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from rest_framework.response import Response

from api import idempotency
from api.models import IdempotentRequest
from api.tenants import TenantList
from core import clock
from events.models import Event
from models_registry.models import Release
from tenants.models import Tenant
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tenants.services.onboarding import activate_tenant, begin_provisioning
from tests.factories import TESTER, make_tenant, make_tier
from tests.integration.api.client import Caller, caller, refused
from tests.integration.api.making import make_release

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


def test_after_72_hours_a_reply_is_forgotten(ops: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "ONE_SWEEPS_OF", 1)  # every request sweeps, not one in ten
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


def test_after_a_crash_what_was_done_is_found_and_answered(ops: Caller) -> None:
    first = ops.post("tenants", GOOD, idempotency_key="k1")
    interrupted("k1")
    IdempotentRequest.objects.update(leased_until=clock.real_now())
    again = ops.post("tenants", GOOD, idempotency_key="k1")
    assert (again.status_code, again["Idempotency-Replayed"], again.content) == (201, "true", first.content)
    assert ops.post("tenants", GOOD, idempotency_key="k1").content == first.content
    assert Event.objects.filter(name="tenant.signed_up").count() == 1


def test_after_a_crash_somebody_elses_work_is_not_mistaken_for_ones_own(ops: Caller) -> None:
    """Another tenant signed up under the same request id, and another key's event, are not what was asked for."""
    other = {**GOOD, "slug": "other"}
    ops.post("tenants", other, headers={"X-Request-ID": "same-id-1"})
    make_tenant(slug="acme")
    ops.post("tenants", {**GOOD, "slug": "acme2"}, idempotency_key="k1", headers={"X-Request-ID": "same-id-1"})
    interrupted("k1")
    IdempotentRequest.objects.update(leased_until=clock.real_now())
    again = ops.post("tenants", {**GOOD, "slug": "acme2"}, idempotency_key="k1")
    assert again.json()["slug"] == "acme2"


def test_a_crashed_roll_back_is_not_rolled_back_by_its_repetition(ops: Caller) -> None:
    tenant = make_tenant()
    first = make_release(tenant)
    second = make_release(tenant)
    path = f"adapters/{first.adapter.public_id}/roll-back"
    back = ops.post(path, {"reason": "worse"}, idempotency_key="k1")
    assert back.json()["version"]["id"] == first.version.public_id
    interrupted("k1")
    IdempotentRequest.objects.update(leased_until=clock.real_now())
    again = ops.post(path, {"reason": "worse"}, idempotency_key="k1")
    assert (again.status_code, again.content) == (202, back.content)
    assert Release.objects.filter(kind="roll_back").count() == 1
    assert second.version != first.version


@pytest.mark.parametrize("action", ["suspend", "resume", "offboard"])
def test_a_crashed_change_is_not_done_again_over_what_came_later(ops: Caller, action: str) -> None:
    tenant = make_tenant(slug="acme")
    begin_provisioning(tenant_id=tenant.pk, actor=TESTER)
    activate_tenant(tenant_id=tenant.pk, actor=TESTER)
    if action == "resume":
        suspend_tenant(tenant_id=tenant.pk, reason="x", actor=TESTER)
    sent = {"if_match": ops.get("tenants/acme")["ETag"], "idempotency_key": "k1"}
    first = ops.post(f"tenants/acme/{action}", {"reason": "x"}, **sent)
    interrupted("k1")
    IdempotentRequest.objects.update(leased_until=clock.real_now())
    if action == "suspend":
        resume_tenant(tenant_id=tenant.pk, actor=TESTER)
    if action == "resume":
        suspend_tenant(tenant_id=tenant.pk, reason="again", actor=TESTER)
    before = ops.get("tenants/acme").json()
    again = ops.post(f"tenants/acme/{action}", {"reason": "x"}, **sent)
    assert again.status_code == first.status_code
    assert again.json() == before == ops.get("tenants/acme").json()


class BreakingAfterTheCommit(TenantList):
    """As if the reply could not be written once the tenant is there."""

    def tenant_reply(self, public_id: str, *, status: int) -> Response:
        raise RuntimeError(public_id)


def test_a_bug_after_the_commit_is_survived(ops: Caller) -> None:
    headers = {"Authorization": f"Bearer {ops.key}", "Idempotency-Key": "k1"}
    request = RequestFactory().post("/api/v1/tenants", GOOD, content_type="application/json", headers=headers)
    request.request_id = "req-broken"  # type: ignore[attr-defined]
    assert BreakingAfterTheCommit.as_view()(request).status_code == 500
    again = ops.post("tenants", GOOD, idempotency_key="k1")
    assert (again.status_code, again.json()["slug"], again["Idempotency-Replayed"]) == (201, "acme", "true")
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
