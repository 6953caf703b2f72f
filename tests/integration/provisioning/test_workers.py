"""Several workers at once, and workers that were held up."""

import threading
from datetime import timedelta

from django.db import connection, connections

from core.clock import real_now
from provisioning.doors import Doors
from provisioning.models import ManagedResource, PublishedConfig, ServingLine
from provisioning.reconciler import loop
from provisioning.reconciler.act import perform
from provisioning.reconciler.outcome import Outcome
from provisioning.reconciler.plan import Action
from provisioning.services.converge import converge_tenant
from provisioning.states import Phase
from tenants.states import TenantState


def together(*functions):
    """Run all at once, in threads with connections of their own; raises what any of them raised."""
    failures: list[BaseException] = []
    gate = threading.Barrier(len(functions))

    def run(function):
        try:
            gate.wait()
            function()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def make_due():
    ManagedResource.objects.living().update(look_again_at=real_now() - timedelta(seconds=1))


def test_two_workers_share_the_rows_and_double_nothing(real_world):
    tenant = real_world.sign_up("acme", "premium")
    reports = []
    for _ in range(40):
        converge_tenant(tenant_id=tenant.pk)
        make_due()
        rows = ManagedResource.objects.living().count()
        both: list[loop.PassReport] = []
        together(*[lambda both=both: both.append(loop.run_pass(limit=50))] * 2)
        # While one has a row the other finds the lease taken; it may take the row after the first gave it back.
        assert sum(report.claimed for report in both) <= 2 * rows
        reports += both
        tenant.refresh_from_db()
        if tenant.state == TenantState.ACTIVE:
            break
    assert tenant.state == TenantState.ACTIVE
    assert all(report.claimed == report.recorded for report in reports)
    assert real_world.counts() == {"model": 1, "endpoint_config": 1, "endpoint": 1, "inference_component": 1}
    assert {real_world.calls(name) for name in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint")} == {1}


def test_a_lease_keeps_others_away_until_it_is_over(real_world):
    tenant = real_world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    mine = loop.claim(50)
    assert mine and loop.claim(50) == []
    ManagedResource.objects.update(lease_until=real_now() - timedelta(seconds=1))
    assert [row.fence for row in loop.claim(50)] == [row.fence + 1 for row in mine]


def test_a_worker_whose_lease_was_taken_over_writes_nothing(real_world):
    tenant = real_world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    late = loop.claim(50)
    ManagedResource.objects.update(lease_until=real_now() - timedelta(seconds=1))
    real_world.run_pass()
    before = list(ManagedResource.objects.order_by("pk").values())
    assert loop.record(late, {row.pk: Outcome(Phase.GONE, 0) for row in late}) == 0
    assert list(ManagedResource.objects.order_by("pk").values()) == before


def test_a_worker_that_was_held_up_sends_nothing(real_world):
    tenant = real_world.sign_up("acme", "premium")
    converge_tenant(tenant_id=tenant.pk)
    [row] = [row for row in loop.claim(50) if row.kind == "model"]
    too_late = real_now() - timedelta(seconds=1)
    result = perform(row, Action.CREATE, install="local", send_until=too_late, doors=Doors([row.account]))
    assert (result.receipt, result.error) == (None, None)
    assert real_world.calls("CreateModel") == 0


def test_a_wish_that_changes_during_a_pass_is_looked_at_again_at_once(real_world):
    tenant = real_world.sign_up("acme", "premium")
    real_world.settle(tenant)
    make_due()
    claimed = loop.claim(50)
    ServingLine.objects.filter(name="dedicated").update(copies=4)
    converge_tenant(tenant_id=tenant.pk)
    loop.record(claimed, {row.pk: Outcome(row.phase, 3600) for row in claimed})
    row = ManagedResource.objects.get(kind="base_component")
    assert row.look_again_at <= real_now()
    assert row.settings == {"copies": 4}
    others = ManagedResource.objects.exclude(pk=row.pk)
    assert all(other.look_again_at > real_now() + timedelta(minutes=30) for other in others)


def test_what_an_endpoint_came_to_need_during_a_pass_is_not_forgotten_by_it(real_world):
    tenant = real_world.sign_up("acme", "premium")
    real_world.settle(tenant)
    make_due()
    claimed = loop.claim(50)
    [endpoint] = [row for row in claimed if row.kind == "endpoint"]
    ServingLine.objects.filter(name="dedicated").update(instance_type="ml.g6.12xlarge")
    converge_tenant(tenant_id=tenant.pk)
    needed = set(ManagedResource.objects.get(pk=endpoint.pk).needs.values_list("name", flat=True))
    assert len(needed) == 2
    loop.record(claimed, {row.pk: Outcome(row.phase, 3600) for row in claimed})
    assert set(endpoint.needs.values_list("name", flat=True)) == needed, "the new config may not go before its endpoint"


def test_two_converge_one_tenant_and_publish_one_version(real_world):
    tenant = real_world.sign_up("acme", "premium")
    for _ in range(40):
        together(*[lambda: converge_tenant(tenant_id=tenant.pk)] * 2)
        real_world.run_pass()
        tenant.refresh_from_db()
        if tenant.state == TenantState.ACTIVE:
            break
    assert tenant.state == TenantState.ACTIVE
    assert list(PublishedConfig.objects.values_list("version", "is_current")) == [(1, True)]
    assert ManagedResource.objects.count() == 4


def test_nothing_talks_to_aws_inside_a_transaction(real_world):
    """Every crashpoint of an AWS call is passed outside any transaction."""
    from core.crashpoints import arm

    inside: list[str] = []

    def look(name: str) -> None:
        if "commit" not in name and connection.in_atomic_block:
            inside.append(name)

    tenant = real_world.sign_up("acme", "advanced")
    arm(look)
    try:
        real_world.settle(tenant)
    finally:
        arm(None)
    assert inside == []
