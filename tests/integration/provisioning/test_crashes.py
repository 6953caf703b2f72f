"""Dying at every boundary of onboarding and offboarding: nothing leaked, nothing doubled, and a later pass finishes.

The boundaries are the crashpoints before and after each AWS call and each commit; a lister that imports none of our
rooms counts what AWS holds.
"""

import time
from collections import Counter

import pytest

from demo.lister import doubled, leaked
from provisioning.models import ManagedResource
from tenants.models import OffboardingStep, Tenant
from tenants.services.offboarding import begin_offboarding
from tenants.states import TenantState
from tests.factories import TESTER
from tests.integration.provisioning.dying import die_along

# Of the names of the crashpoints, every so manieth kills; the long test has them all, in every state.
SAMPLE = 15
PREMIUM = {"model": 1, "endpoint_config": 1, "endpoint": 1, "inference_component": 1}


def is_active(tenant: Tenant) -> bool:
    return Tenant.objects.filter(pk=tenant.pk, state=TenantState.ACTIVE).exists()


def is_gone(tenant: Tenant) -> bool:
    return OffboardingStep.objects.filter(tenant=tenant, key="resources", done_at__isnull=False).exists()


def come_and_go(world, every: int) -> dict[str, object]:
    began = time.monotonic()
    tenant = world.sign_up("acme", "premium")
    coming = die_along(world, tenant, is_active, every=every)
    assert Counter(seen.kind for seen in world.hosted() if seen.tags["cp:tenant"] == tenant.public_id) == PREMIUM
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    going = die_along(world, tenant, is_gone, every=every)
    assert world.account.left_of(tenant.public_id) == []
    return {
        "onboarding": coming.report,
        "offboarding": going.report,
        "leaked": 0,
        "doubled": 0,
        "seconds": round(time.monotonic() - began, 1),
    }


def test_dying_at_a_sample_of_boundaries(real_world, capsys):
    report = come_and_go(real_world, SAMPLE)
    with capsys.disabled():
        print(f"\ncrashes: {report}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_dying_at_every_boundary(real_world, capsys):
    report = come_and_go(real_world, 1)
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
