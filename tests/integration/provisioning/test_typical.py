"""How long a step takes against what such steps usually take, and what is said about one that takes far longer."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.services import create_operator
from core import clock
from provisioning.models import ManagedResource, Operation, OperationStep
from provisioning.states import Phase
from provisioning.typical import LAST, Typical, diagnosis, elapsed_seconds, spoken, typical_times
from tests.factories import TESTER

USUAL = Typical(p50_seconds=40, p95_seconds=95)


def step_of(seconds: float, phase: Phase = Phase.CREATING, *, is_done: bool = False) -> OperationStep:
    at = clock.now()
    began = at - timedelta(seconds=seconds)
    return OperationStep(
        began_at=began, done_at=at if is_done else None, resource=ManagedResource(phase=phase), kind="make endpoint"
    )


@pytest.mark.parametrize(
    ("seconds", "typical", "is_told"),
    [
        (284, USUAL, False),  # three times the p95 is still within
        (286, USUAL, True),
        (59, Typical(1, 2), False),  # below a minute nobody minds
        (61, Typical(1, 2), True),
        (44 * 60, None, False),  # without history
        (46 * 60, None, True),
    ],
)
def test_when_a_step_is_far_above_typical(seconds, typical, is_told):
    assert bool(diagnosis(step_of(seconds), typical, clock.now())) == is_told


def test_the_sentence_names_what_to_look_at():
    said = diagnosis(step_of(35 * 60), USUAL, clock.now())
    assert said.startswith("Creating for 35 min and nothing in AWS changed: usual causes are capacity")
    assert "role" in said and "network" in said and said.endswith("It usually takes 40 s.")
    assert "still being answered" in diagnosis(step_of(35 * 60, Phase.DELETING), USUAL, clock.now())
    assert diagnosis(step_of(35 * 60, is_done=True), USUAL, clock.now()) == ""
    assert elapsed_seconds(OperationStep(), clock.now()) is None
    assert [spoken(seconds) for seconds in (40, 2100, 3600, 7500)] == ["40 s", "35 min", "1 h", "2 h 5 min"]


def test_typical_is_over_the_last_fifty_seen_from_beginning_to_end(world):
    tenant = world.sign_up("acme", "premium")
    operation = Operation.objects.create(tenant=tenant, kind="onboard", title="history", state="succeeded")
    at = clock.now()
    ages = [(500 + number, 9000) for number in range(10)] + [(number, 1 + number) for number in range(LAST)]
    OperationStep.objects.bulk_create(
        OperationStep(
            operation=operation, position=index, key=str(index), title="x", kind="make endpoint",
            done_at=at - timedelta(hours=age), began_at=at - timedelta(hours=age, seconds=seconds),
        )
        for index, (age, seconds) in enumerate(ages)
    )  # fmt: skip
    OperationStep.objects.create(operation=operation, position=99, key="seen late", title="x", kind="probe", done_at=at)
    with CaptureQueriesContext(connection) as queries:
        typical = typical_times()
    assert len(queries) == 1
    assert set(typical) == {"make endpoint"}
    assert typical["make endpoint"].p50_seconds == pytest.approx(25.5)
    assert typical["make endpoint"].p95_seconds == pytest.approx(47.55)


@pytest.fixture
def admin(db):
    client = Client()
    client.force_login(create_operator(name="person", role="admin", actor=TESTER))
    return client


def test_an_operation_shows_elapsed_typical_and_why_a_step_stands_still(world, admin):
    world.aws.fault("stuck_creating", operation="CreateEndpoint", times=1)
    tenant = world.sign_up("acme", "premium")
    for _ in range(4):
        world.step(tenant)
    operation = Operation.objects.get(tenant=tenant)
    endpoint = operation.steps.get(kind="make endpoint")
    assert endpoint.state == "running" and endpoint.began_at == endpoint.resource.phase_since
    OperationStep.objects.create(
        operation=Operation.objects.create(tenant=tenant, kind="offboard", title="history", state="superseded"),
        position=0, key="x", title="x", kind="make endpoint",
        began_at=endpoint.began_at - timedelta(seconds=40), done_at=endpoint.began_at,
    )  # fmt: skip
    path = reverse("operation-detail", args=[operation.public_id])
    page = admin.get(path).content.decode()
    assert "typically 0:40" in page and "nothing in AWS changed" not in page
    world.aws.advance(35 * 60)
    page = admin.get(path).content.decode()
    assert "Creating for 35 min and nothing in AWS changed" in page and "It usually takes 40 s." in page


def test_steps_of_every_kind_are_timed_from_their_own_beginning(world):
    tenant = world.sign_up("acme", "premium")
    world.take_looks(2)
    for _ in range(12):
        world.step(tenant)
    world.settle(tenant)
    steps = {step.kind: step for step in Operation.objects.get(tenant=tenant).steps.all()}
    assert {"make endpoint_config", "make endpoint", "make model", "make base_component", "publish", "activate"} == set(
        steps
    )
    endpoint, base = steps["make endpoint"], steps["make base_component"]
    assert endpoint.began_at and base.began_at and endpoint.done_at and base.done_at
    assert endpoint.began_at <= endpoint.done_at <= base.began_at <= base.done_at
