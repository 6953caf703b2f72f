"""A resource whose passes kill the worker: five deaths, then it waits for a person, and the others are served."""

import os
import signal
from datetime import timedelta

from django.db import connections

from core.clock import real_now
from core.crashpoints import arm
from events.models import Event
from provisioning.models import ManagedResource, Operation
from provisioning.reconciler import loop
from provisioning.reconciler.deadly import MOST_ATTEMPTS, worth_claiming
from provisioning.services.converge import converge_tenant
from provisioning.services.operation_control import retry_operation
from provisioning.states import Phase, StuckReason
from tenants.states import TenantState
from tests.factories import TESTER

DEADLY = "before create endpoint_config"


def test_who_is_claimed_with_whom():
    calm, once, suspect, second, deadly = (1, 0), (2, 1), (3, 2), (4, 4), (5, 5)
    assert worth_claiming([]) == ([], [])
    assert worth_claiming([calm, once]) == ([1, 2], [])
    assert worth_claiming([calm, suspect, second, once]) == ([1, 2], [])
    assert worth_claiming([suspect, calm, once]) == ([3], [])
    assert worth_claiming([suspect, second]) == ([3], [])
    assert worth_claiming([deadly, calm]) == ([1], [5])
    assert worth_claiming([deadly]) == ([], [5])


def worker() -> int:
    """A forked worker that works on whatever is due and dies of the deadly call; its wait status."""
    ManagedResource.objects.living().update(look_again_at=real_now() - timedelta(seconds=1))
    connections.close_all()
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        past = real_now() - timedelta(seconds=1)  # the dead worker's leases are over
        ManagedResource.objects.filter(lease_until__isnull=False).update(lease_until=past)
        return status
    arm(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == DEADLY else None)
    try:
        until_none_is_due()
    finally:
        os._exit(0)


def until_none_is_due() -> None:
    while loop.run_pass(limit=50).claimed:
        pass


def test_five_deaths_park_a_resource_and_the_others_go_on(real_world):
    other = real_world.sign_up("other", "premium")
    for _ in range(3):
        real_world.step(other)  # its config is made; the rest is on its way
    poisoned = real_world.sign_up("poisoned", "premium")
    converge_tenant(tenant_id=poisoned.pk)
    for _ in range(MOST_ATTEMPTS):
        status = worker()
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    row = ManagedResource.objects.get(tenant=poisoned, kind="endpoint_config")
    assert row.attempts == MOST_ATTEMPTS

    until_none_is_due()
    real_world.settle(other, poisoned)
    assert other.state == TenantState.ACTIVE
    row.refresh_from_db()
    assert (row.stuck_reason, row.attempts, row.lease_owner) == (StuckReason.TERMINAL, MOST_ATTEMPTS, None)
    assert f"{MOST_ATTEMPTS} passes" in row.detail and row.what_to_do
    assert Event.objects.filter(name="resource.stuck", subject_ref=row.public_id).count() == 1
    assert real_world.calls("CreateEndpointConfig") == 1  # the other's
    assert not ManagedResource.objects.exclude(pk=row.pk).filter(attempts__gt=0).exists()

    fence = row.fence
    real_world.run_pass()
    row.refresh_from_db()
    assert row.fence == fence, "a parked row is looked at no more"

    retry_operation(operation_id=Operation.objects.get(tenant=poisoned).pk, actor=TESTER)
    real_world.settle(poisoned)
    assert poisoned.state == TenantState.ACTIVE
    row.refresh_from_db()
    assert (row.phase, row.attempts, row.stuck_reason) == (Phase.READY, 0, "")
