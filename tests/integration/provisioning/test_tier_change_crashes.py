"""Dying at every boundary of a tier change, there and back: nothing leaked, nothing doubled, one tier at a time, and it
arrives."""

import time

import pytest

from core import clock
from provisioning import queries
from provisioning.models import ManagedResource, TierChange
from provisioning.states import ChangeState
from tenants.models import Tenant
from tenants.queries import tier_version_of
from tests.integration.provisioning.changing import change_to, routed_lines, served_tenant
from tests.integration.provisioning.dying import die_along

# Of the names of the crashpoints, every so manieth kills; the long test has them all, in every state.
SAMPLE = 15


@pytest.fixture
def without_draining(settings):
    """Nobody sends requests here."""
    settings.ENV = settings.ENV.model_copy(update={"drain_seconds": 0})


def has_ended(tenant: Tenant) -> bool:
    return queries.open_change(tenant.pk) is None


def die_on_the_way_to(world, tenant: Tenant, tier: str, line: str, every: int) -> dict[str, int]:
    """The report of the deaths; the tenant is on the tier and on its line, and on no other."""
    change_to(tenant, tier)
    deaths = die_along(world, tenant, has_ended, every=every)
    done = TierChange.objects.filter(tenant=tenant).latest("pk")
    assert done.state == ChangeState.DONE, done.detail
    assert routed_lines(tenant) == {line}
    assert tier_version_of(tenant.pk, clock.now()).tier.key == tier
    own = ManagedResource.objects.living().filter(tenant=tenant, kind="adapter_component")
    assert list(own.values_list("line__name", flat=True)) == [line]
    return deaths.report


def carry(world, tiers: dict[str, str], every: int) -> dict[str, object]:
    """From tier to tier, each with the line where its traffic goes."""
    began = time.monotonic()
    tenant = served_tenant(world, "acme", "advanced")
    reports = {tier: die_on_the_way_to(world, tenant, tier, line, every) for tier, line in tiers.items()}
    turns = [turn.tier_version.tier.key for turn in tenant.assignments.order_by("period")]
    assert turns == ["advanced", *tiers]
    return {**reports, "leaked": 0, "doubled": 0, "seconds": round(time.monotonic() - began, 1)}


def test_dying_at_a_sample_of_boundaries(real_world, without_draining, capsys):
    report = carry(real_world, {"premium": "dedicated"}, SAMPLE)
    with capsys.disabled():
        print(f"\ntier change crashes: {report}")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_dying_at_every_boundary_there_and_back(real_world, without_draining, capsys):
    report = carry(real_world, {"premium": "dedicated", "advanced": "shared-endpoint"}, 1)
    with capsys.disabled():
        print(f"\ntier change crashes: {report}")
