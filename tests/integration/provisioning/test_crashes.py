"""Dying at every boundary of onboarding and offboarding: nothing leaked, nothing doubled, and a later pass finishes.

A dry run counts the crashpoints (before and after each AWS call and each commit). Then, for each of them, a forked
process works on a tenant of its own and is killed there. What the dead left is finished together, as sweeps would do
once the leases are over, and a lister that imports none of our rooms counts what AWS holds.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connections

from core.clock import real_now
from core.crashpoints import arm
from demo.lister import doubled, leaked
from provisioning.models import ManagedResource
from provisioning.reconciler.loop import run_pass
from provisioning.services.converge import converge_tenant
from tenants.models import OffboardingStep, Tenant
from tenants.services.offboarding import begin_offboarding
from tenants.states import TenantState
from tests.factories import TESTER

NEVER = timedelta(days=365)
SAMPLE = 6
PREMIUM = {"model": 1, "endpoint_config": 1, "endpoint": 1, "inference_component": 1}


def work_on(tenant: Tenant, is_done: Callable[[Tenant], bool]) -> None:
    """Converge and pass over one tenant's rows alone until it is where it should be."""
    for _ in range(60):
        converge_tenant(tenant_id=tenant.pk)
        ManagedResource.objects.filter(tenant=tenant).update(look_again_at=real_now() - timedelta(seconds=1))
        run_pass(limit=50)
        if is_done(tenant):
            converge_tenant(tenant_id=tenant.pk)
            return
    raise AssertionError(f"{tenant.slug} did not get there")


def is_active(tenant: Tenant) -> bool:
    return Tenant.objects.filter(pk=tenant.pk, state=TenantState.ACTIVE).exists()


def is_gone(tenant: Tenant) -> bool:
    return OffboardingStep.objects.filter(tenant=tenant, key="resources", done_at__isnull=False).exists()


def die_at(hit: int, tenant: Tenant, is_done: Callable[[Tenant], bool]) -> int:
    """Work in a forked process that kills itself at its `hit`-th crashpoint; its wait status."""
    connections.close_all()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    passed = 0

    def count(_: str) -> None:
        nonlocal passed
        passed += 1
        if passed == hit:
            os.kill(os.getpid(), signal.SIGKILL)

    arm(count)
    try:
        work_on(tenant, is_done)
    finally:
        os._exit(0)


def dry_run(tenant: Tenant, is_done: Callable[[Tenant], bool]) -> list[str]:
    """The crashpoints that the whole way passes."""
    hits: list[str] = []
    arm(hits.append)
    try:
        work_on(tenant, is_done)
    finally:
        arm(None)
    return hits


def sample(hits: list[str], count: int | None) -> list[int]:
    """Hit numbers: all of them, or a first occurrence of every name and an even spread up to `count`."""
    if count is None:
        return list(range(1, len(hits) + 1))
    spread = {1 + index * (len(hits) - 1) // max(count - 1, 1) for index in range(count)}
    return sorted(spread)


def park() -> None:
    """Nothing is due any more, so that a pass looks at the rows that a test makes due and at no others."""
    ManagedResource.objects.living().update(look_again_at=real_now() + NEVER)


def finish(tenants: list[Tenant], is_done: Callable[[Tenant], bool]) -> None:
    """What sweeps do once the leases of the dead are over."""
    for _ in range(60):
        past = real_now() - timedelta(seconds=1)
        ManagedResource.objects.filter(tenant__in=tenants).update(look_again_at=past)
        ManagedResource.objects.filter(tenant__in=tenants, lease_until__isnull=False).update(lease_until=past)
        waiting = [tenant for tenant in tenants if not is_done(tenant)]
        for tenant in waiting:
            converge_tenant(tenant_id=tenant.pk)
        if not waiting:
            return
        run_pass(limit=1000)
    raise AssertionError(f"{len(waiting)} tenants did not get there")


def crash_everywhere(world, count: int | None) -> dict[str, object]:
    began = time.monotonic()
    first = world.sign_up("dry-run", "premium")
    onboarding = dry_run(first, is_active)
    chosen = sample(onboarding, count)
    tenants = []
    for hit in chosen:
        tenant = world.sign_up(f"on-{hit}", "premium")
        park()
        status = die_at(hit, tenant, is_active)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, onboarding[hit - 1]
        tenants.append(tenant)
    finish(tenants, is_active)
    everybody = [first, *tenants]
    check_served(world, everybody)

    begin_offboarding(tenant_id=first.pk, reason="dry run", actor=TESTER)
    park()
    offboarding = dry_run(first, is_gone)
    leaving = sample(offboarding, count)
    while len(tenants) < len(leaving):
        tenants.append(world.sign_up(f"off-{len(tenants)}", "premium"))
    finish(tenants, is_active)
    for hit, tenant in zip(leaving, tenants, strict=False):
        begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
        park()
        status = die_at(hit, tenant, is_gone)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, offboarding[hit - 1]
    stayed = tenants[len(leaving) :]
    finish(tenants[: len(leaving)], is_gone)
    check_served(world, stayed)
    for tenant in tenants[: len(leaving)]:
        assert world.account.left_of(tenant.public_id) == []
    return {
        "onboarding_boundaries": len(onboarding),
        "offboarding_boundaries": len(offboarding),
        "deaths": len(chosen) + len(leaving),
        "names": len(set(onboarding) | set(offboarding)),
        "leaked": 0,
        "doubled": 0,
        "seconds": round(time.monotonic() - began, 1),
    }


def check_served(world, tenants: list[Tenant]) -> None:
    """Each tenant has exactly what its tier promises, and AWS holds nothing that a living row does not name."""
    hosted = world.hosted()
    known = set(ManagedResource.objects.living().values_list("name", flat=True))
    assert leaked(hosted, known=known) == []
    assert doubled(hosted) == []
    of_tenant: dict[str, Counter[str]] = {}
    for seen in hosted:
        of_tenant.setdefault(seen.tags["cp:tenant"], Counter())[seen.kind] += 1
    assert of_tenant == {tenant.public_id: Counter(PREMIUM) for tenant in tenants}


def test_dying_at_a_sample_of_boundaries(real_world, capsys):
    report = crash_everywhere(real_world, SAMPLE)
    with capsys.disabled():
        print(f"\ncrashes: {report}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_dying_at_every_boundary(real_world, capsys):
    report = crash_everywhere(real_world, None)
    assert report["deaths"] == report["onboarding_boundaries"] + report["offboarding_boundaries"]
    with capsys.disabled():
        print(f"\ncrashes: {report}")


def test_the_lister_sees_a_leak_and_a_double(real_world):
    """A negative control for the counts above."""
    import boto3

    tenant = real_world.sign_up("acme", "premium")
    real_world.settle(tenant)
    row = ManagedResource.objects.get(kind="model")
    tags = [{"Key": "cp:install", "Value": "local"}, {"Key": "cp:resource", "Value": row.public_id}]
    boto3.client("sagemaker").create_model(
        ModelName="local-model-leaked-1",
        PrimaryContainer={"Image": row.identity["image"]},
        ExecutionRoleArn=row.identity["execution_role_arn"],
        Tags=tags,
    )
    known = set(ManagedResource.objects.living().values_list("name", flat=True))
    assert leaked(real_world.hosted(), known=known) == ["local-model-leaked-1"]
    assert doubled(real_world.hosted()) == [row.public_id]
