"""What people follow: live steps, reasons with request ids, what to do, retry; and what the database itself refuses."""

import socket
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test.utils import CaptureQueriesContext

from billing.services.seeding import seed_rate_cards
from core import clock, crashpoints
from core.clock import real_now
from core.errors import NotFound
from events.models import Event
from provisioning import queries
from provisioning.models import ManagedResource, Operation, ResourceInterval, ServingLine
from provisioning.reconciler.ledger import keep_ledger
from provisioning.reconciler.loop import run_pass
from provisioning.services.converge import converge_tenant
from provisioning.services.operation_control import NotRetryable, retry_operation
from provisioning.states import OperationState
from tenants.queries import tier_version_of
from tenants.services.lifecycle import suspend_tenant
from tenants.services.offboarding import begin_offboarding
from tenants.services.onboarding import activate_tenant
from tenants.states import TenantState
from tests.factories import TESTER
from tests.integration.api.client import caller, refused


def states(operation: Operation) -> dict[str, str]:
    return {step.title: step.state for step in queries.operation(operation.public_id, tenant_ids=None).steps.all()}


def test_onboarding_shows_its_steps_as_they_are_taken(world):
    world.take_looks(2)
    tenant = world.sign_up("acme", "premium")
    world.step(tenant)
    operation = Operation.objects.get(tenant=tenant)
    seen = [states(operation)]
    for _ in range(14):
        world.step(tenant)
        seen.append(states(operation))
    titles = list(seen[-1])
    assert titles == [
        "Endpoint config", "Endpoint", "Model", "Base component", "Publish the runtime config", "Activate the tenant",
    ]  # fmt: skip
    assert [moment.get("Endpoint") for moment in seen].count("running") >= 2
    assert set(seen[-1].values()) == {"done"}
    for title in titles:  # what was done stays done
        moments = [moment.get(title) == "done" for moment in seen]
        assert moments == sorted(moments)
    operation.refresh_from_db()
    assert operation.state == OperationState.SUCCEEDED and operation.finished_at is not None


def test_a_stuck_step_says_why_and_what_to_do(world):
    tenant = world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)  # the pre-flight has passed; then AWS takes the quota away
    world.aws.post("quotas", {"ml.g5.2xlarge": 0})
    world.settle(tenant)
    operation = queries.operation(Operation.objects.get(tenant=tenant).public_id, tenant_ids=[tenant.pk])
    [step] = [step for step in operation.steps.all() if step.state == "stuck"]
    assert step.resource.kind == "endpoint"
    assert "service limit" in step.resource.detail
    assert step.resource.last_request_id and "quota" in step.resource.what_to_do
    for _ in range(2):  # tried again, refused again: one line that counts
        ManagedResource.objects.filter(kind="endpoint").update(look_again_at=real_now() - timedelta(hours=1))
        run_pass(limit=500)
    log = caller().get(f"operations/{operation.public_id}/log").json()
    [refusal] = [entry for entry in log["entries"] if entry["kind"] == "call" and entry["said"]]
    assert refusal["what"] == "CreateEndpoint" and refusal["times"] >= 3 and "service limit" in refusal["said"]
    assert refusal["request_id"] == world.row(kind="endpoint").last_request_id
    assert refusal["first_at"] < refusal["at"] and step.resource.name in refusal["about"]
    whats = {entry["what"] for entry in log["entries"]}
    assert whats >= {"create endpoint config", "done", "operation.started", "resource.stuck", "operation.failed"}
    ats = [entry["at"] for entry in log["entries"]]
    assert ats == sorted(ats, reverse=True) and not log["is_cut"]
    assert Event.objects.filter(name="resource.stuck").count() == 1
    assert Event.objects.filter(name="operation.failed").count() == 1


def test_a_stuck_onboarding_goes_on_with_the_lines_of_another_version(world):
    seed_rate_cards(actor=TESTER)
    tenant = world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    world.aws.post("quotas", {"ml.g5.2xlarge": 0})
    world.settle(tenant)
    rest, path = caller(), f"operations/{Operation.objects.get(tenant=tenant).public_id}"
    larger = ServingLine.objects.get(name="dedicated")
    larger.pk, larger.public_id, larger.name, larger.instance_type = None, "", "dedicated-g5-4xl", "ml.g5.4xlarge"
    larger.save()
    promises = {"max_adapters": 50, "max_adapter_bytes": 1 << 30, "max_lora_rank": 64, "retention_days": 30}
    drafted = rest.post("tier-versions", {"tier": "premium", "lines": [larger.name]} | promises).json()
    rest.post(f"tier-versions/{drafted['id']}/publish")
    offered = rest.get(f"{path}/alternatives").json()["alternatives"]
    assert (offered[0]["tier"], offered[0]["version"], offered[0]["is_same_tier"]) == ("premium", 2, True)
    assert offered[0]["lines"][0]["instance_type"] == "ml.g5.4xlarge"
    assert "switch" in rest.get(path).json()["available_actions"]

    wanted = {"tier": "premium", "version": 2, "reason": "no quota for the small ones"}
    world.aws.post("quotas", {"ml.g5.4xlarge": 0})
    before = world.aws.calls()
    assert "1 instances are missing" in refused(rest.post(f"{path}/switch", wanted), 409, "preflight_failed")["detail"]
    changed = {name for name, count in world.aws.calls().items() if count != before.get(name, 0)}
    assert not any(name.startswith(("Create", "Delete", "Update")) for name in changed)
    assert tier_version_of(tenant.pk, clock.now()).number == 1, "nothing was changed"
    world.aws.post("quotas", {"ml.g5.4xlarge": 1})
    switched = rest.post(f"{path}/switch", wanted)
    assert switched.status_code == 202 and switched.json()["state"] == "running", switched.content
    world.settle(tenant)
    found = rest.get(path).json()
    assert (tenant.state, found["state"]) == (TenantState.ACTIVE, "succeeded")
    assert {step["state"] for step in found["steps"]} == {"done"}
    assert {row.line.name for row in world.rows() if row.phase == "ready"} == {larger.name}
    assert world.counts()["endpoint"] == 1 and "switch" not in found["available_actions"]
    refused(rest.post(f"{path}/switch", wanted), 409, "operation_not_switchable")
    assert Event.objects.get(name="operation.switched").after == {"tier": "premium", "version": 2}


def test_a_tenant_that_is_served_before_aws_has_said_its_quotas_is_not_switched(world):
    seed_rate_cards(actor=TESTER)
    tenant = world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    path = f"operations/{Operation.objects.get(tenant=tenant).public_id}"

    def activate(point):
        if point == "after read quotas":
            crashpoints.arm(None)
            activate_tenant(tenant_id=tenant.pk, actor=TESTER)

    crashpoints.arm(activate)
    try:
        reply = caller().post(f"{path}/switch", {"tier": "basic", "reason": "no quota"})
    finally:
        crashpoints.arm(None)
    refused(reply, 409, "operation_not_switchable")
    assert tier_version_of(tenant.pk, clock.now()).tier.key == "premium"


def test_retrying_what_has_ended_is_refused_and_changes_nothing(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    operation = Operation.objects.get(tenant=tenant)
    before = list(ManagedResource.objects.order_by("pk").values())
    with pytest.raises(NotRetryable):
        retry_operation(operation_id=operation.pk, actor=TESTER)
    assert list(ManagedResource.objects.order_by("pk").values()) == before


def test_suspending_and_leaving_are_operations_too(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
    world.settle(tenant)
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    world.settle(tenant)
    kinds = {operation.kind: operation.state for operation in Operation.objects.filter(tenant=tenant)}
    assert kinds == {"onboard": "succeeded", "suspend": "succeeded", "offboard": "running"}
    steps = states(Operation.objects.get(tenant=tenant, kind="offboard"))
    waiting = {title for title, state in steps.items() if state != "done"}
    assert waiting == {"Access revoked", "Final invoice issued", "Artifacts erased"}
    assert sum(title.startswith("Delete ") for title in steps) == 4


def test_another_tenants_operations_and_resources_do_not_exist(world):
    mine, other = world.sign_up("mine", "premium"), world.sign_up("other", "premium")
    world.settle(mine, other)
    theirs = Operation.objects.get(tenant=other)
    with pytest.raises(NotFound):
        queries.operation(theirs.public_id, tenant_ids=[mine.pk])
    with pytest.raises(NotFound):
        queries.get_resource(ManagedResource.objects.filter(tenant=other).first().public_id, tenant_ids=[mine.pk])
    assert {row.tenant_id for row in queries.resources_of([mine.pk])} == {mine.pk}
    assert queries.resources_of([]).count() == 0


def test_lists_ask_as_often_for_many_as_for_one(world):
    def count(tenant_ids):
        with CaptureQueriesContext(connection) as captured:
            for operation in queries.operations(tenant_ids):
                assert operation.tenant.name and [(step.state, step.title) for step in operation.steps.all()]
            for row in queries.resources_of(tenant_ids):
                assert row.what_to_do == "" and (row.line is None or row.line.name)
        return len(captured)

    one = world.sign_up("one", "premium")
    more = [world.sign_up(f"more-{number}", "premium") for number in range(3)]
    world.settle(one, *more)
    assert count([one.pk]) == count(None)


def test_the_database_refuses_a_reused_name_a_half_lease_and_overlapping_service(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    row = world.row(kind="endpoint")
    copy = {
        "kind": row.kind, "account": row.account, "region": row.region, "name": row.name, "incarnation": 9,
        "slot": "elsewhere", "slug": "x", "identity": {}, "identity_digest": "x", "digest": "x", "phase": "gone",
    }  # fmt: skip
    with pytest.raises(IntegrityError, match="resource_name_never_reused"), transaction.atomic():
        ManagedResource.objects.create(**copy)
    with pytest.raises(IntegrityError, match="resource_lease_whole"), transaction.atomic():
        ManagedResource.objects.filter(pk=row.pk).update(lease_owner="me", lease_until=None)
    with pytest.raises(IntegrityError, match="resource_phase_known"), transaction.atomic():
        ManagedResource.objects.filter(pk=row.pk).update(phase="lost")
    overlap = DateTimeTZRange(clock.now() - timedelta(days=1), clock.now() + timedelta(days=1))
    with pytest.raises(IntegrityError, match="resource_interval_no_overlap"), transaction.atomic():
        ResourceInterval.objects.create(resource=row, during=overlap)


def test_another_number_of_copies_counts_from_when_aws_has_them(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    row = world.row(kind="base_component")
    row.phase = "updating"
    keep_ledger([(row, "ready")])
    row.settings["copies"], row.phase = 3, "ready"
    keep_ledger([(row, "updating")])
    before, after = ResourceInterval.objects.filter(resource=row).order_by("pk")
    assert (before.copies, after.copies, after.during.upper) == (1, 3, None)
    assert before.during.upper == after.during.lower


def test_an_aws_that_is_away_is_shown_and_loses_nothing(world, monkeypatch):
    tenant = world.sign_up("acme", "premium")
    here = settings.ENV
    with socket.create_server(("127.0.0.1", 0)) as listener:
        away = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(settings, "ENV", here.model_copy(update={"aws_endpoint_url": away}))
    converge_tenant(tenant_id=tenant.pk)
    operation = Operation.objects.get(tenant=tenant)
    assert operation.state == OperationState.RUNNING
    assert "GetCallerIdentity" in operation.detail and "without an answer" in operation.detail
    monkeypatch.setattr(settings, "ENV", here)
    world.step(tenant)
    before = [(row.name, row.phase) for row in world.rows()]
    monkeypatch.setattr(settings, "ENV", here.model_copy(update={"aws_endpoint_url": away}))
    world.run_pass()
    assert [(row.name, row.phase) for row in world.rows()] == before
    assert all("Could not connect" in row.detail for row in world.rows())
    assert all(row.is_held_up and "tried again by itself" in row.what_to_do for row in world.rows())
    monkeypatch.setattr(settings, "ENV", here)
    world.settle(tenant)
    assert tenant.state == TenantState.ACTIVE
    operation.refresh_from_db()
    assert (operation.state, operation.detail) == (OperationState.SUCCEEDED, "")
    assert not any(row.is_held_up or row.what_to_do for row in world.rows())


def test_an_aws_that_hangs_is_told_before_the_worker_is_killed(world, monkeypatch):
    premium, basic = world.sign_up("acme", "premium"), world.sign_up("beta", "basic")
    world.step(premium, basic)
    here, timeout = settings.ENV, 1.2
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:  # takes every connection, answers none
        away = {"aws_endpoint_url": f"http://127.0.0.1:{listener.getsockname()[1]}", "aws_timeout_seconds": timeout}
        monkeypatch.setattr(settings, "ENV", here.model_copy(update=away))
        begun = time.monotonic()
        world.run_pass()
        assert time.monotonic() - begun < 3 * timeout  # a task has 5/6 of a lease, which is four timeouts or more
        assert all(row.is_held_up and "Read timeout" in row.detail for row in world.rows())
        converge_tenant(tenant_id=premium.pk)
    assert "Read timeout" in Operation.objects.get(tenant=premium).detail
    monkeypatch.setattr(settings, "ENV", here)
    world.settle(premium, basic)
    assert (premium.state, basic.state) == (TenantState.ACTIVE, TenantState.ACTIVE)
