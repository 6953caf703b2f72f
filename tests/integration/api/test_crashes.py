"""A server process that dies on the way of a request: its repetition finds or does the work, and never twice."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

from api.models import IdempotentRequest
from core import clock, crashpoints
from events.models import Event
from models_registry.models import Release
from tenants.models import Tenant
from tests.factories import make_tenant, make_tier
from tests.integration.api.client import Caller, caller, refused
from tests.integration.api.making import make_release

pytestmark = pytest.mark.django_db(transaction=True)

POINTS = ["request: begun", "request: done", "request: kept"]
GOOD = {"name": "Acme", "slug": "acme", "tier": "basic"}
every_point = pytest.mark.parametrize("point", POINTS)


def die_in_a_fork(point: str, work: Callable[[], object]) -> None:
    """Run `work` in a child that is gone, without any cleaning up, once it passes `point`."""
    connection.close()
    child = os.fork()
    if child == 0:
        crashpoints.arm(lambda passed: os._exit(9) if passed == point else None)
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def wait_for_the_lease(point: str, send: Callable[[], object]) -> None:
    """Until the lease is over the repetition is told to wait; then it is over."""
    if point != "request: kept":
        refused(send(), 409, "request_in_flight")  # type: ignore[arg-type]
        IdempotentRequest.objects.update(leased_until=clock.real_now() - timedelta(seconds=1))


@pytest.fixture
def ops() -> Caller:
    make_tier()
    return caller()


@every_point
def test_onboarding_is_done_once(ops: Caller, point: str) -> None:
    def send() -> object:
        return ops.post("tenants", GOOD, idempotency_key="k1")

    die_in_a_fork(point, send)
    assert Tenant.objects.count() == (0 if point == "request: begun" else 1)
    wait_for_the_lease(point, send)
    answers = [ops.post("tenants", GOOD, idempotency_key="k1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert ("Idempotency-Replayed" in answers[0]) is (point != "request: begun")
    assert Tenant.objects.count() == Event.objects.filter(name="tenant.signed_up").count() == 1


@every_point
def test_a_roll_back_is_done_once(ops: Caller, point: str) -> None:
    tenant = make_tenant()
    first = make_release(tenant)
    make_release(tenant)
    path = f"adapters/{first.adapter.public_id}/roll-back"

    def send() -> object:
        return ops.post(path, {"reason": "worse"}, idempotency_key="k1")

    die_in_a_fork(point, send)
    wait_for_the_lease(point, send)
    for _ in range(2):
        assert ops.post(path, {"reason": "worse"}, idempotency_key="k1").status_code == 202
    [back] = Release.objects.filter(kind="roll_back")
    assert back.version_id == first.version_id
