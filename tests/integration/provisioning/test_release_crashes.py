"""Dying at every boundary of a release in steps, of a roll back and of a withdrawal: nothing leaked, nothing doubled,
and the newest wish serves."""

import time
from collections.abc import Callable

import pytest

from models_registry.canary import Plan
from models_registry.models import Canary, Release
from models_registry.services.canaries import take_next_step
from models_registry.services.releases import release_version, roll_back, withdraw
from models_registry.states import ReleaseState
from provisioning import queries
from provisioning.models import ManagedResource
from provisioning.states import Phase
from tenants.models import Tenant
from tests.factories import TESTER
from tests.integration.provisioning.dying import die_along
from tests.integration.provisioning.releasing import adapter_for, check_history, open_intervals, told, versions_of

SAMPLE = 20
SHARE = Plan(steps=(20,))
WORD = {"reason": "", "actor": TESTER}


def is_live(release: Release) -> Callable[[Tenant], bool]:
    """Whether it serves alone and what nobody needs is gone; a person lets every share go on that data planes have."""

    def look(tenant: Tenant) -> bool:
        for canary in Canary.objects.filter(release=release, step_since__isnull=False):
            take_next_step(release_id=release.pk, from_step=canary.step, evidence={}, actor=TESTER)
        going = ManagedResource.objects.living().filter(tenant=tenant, is_wanted=False)
        return Release.objects.filter(pk=release.pk, live_at__isnull=False).exists() and not going.exists()

    return look


def release_back_and_away(world, every: int, releases: int) -> dict[str, object]:
    """The last of some releases makes the picture that every later one finds: one version live, one warm."""
    began = time.monotonic()
    tenant = world.sign_up("acme", "advanced")
    world.settle(tenant)
    adapter = adapter_for(tenant)
    *before, newest = versions_of(adapter, releases)
    for version in before:
        release_version(version_id=version.pk, **WORD)
        world.settle(tenant)

    release = release_version(version_id=newest.pk, plan=SHARE, **WORD)
    forward = die_along(world, tenant, is_live(release), every=every)
    assert told(queries.current_config(tenant.pk), adapter.name) == [(newest.public_id, None)]
    assert open_intervals(adapter) == (1, 0)
    components = ManagedResource.objects.filter(tenant=tenant, adapter_version__isnull=False, phase=Phase.READY)
    assert components.count() == 2  # what serves, and one warm
    back = die_along(world, tenant, is_live(roll_back(adapter_id=adapter.pk, **WORD)), every=every)
    assert told(queries.current_config(tenant.pk), adapter.name) == [(before[-1].public_id, None)]
    away = die_along(world, tenant, is_live(withdraw(adapter_id=adapter.pk, **WORD)), every=every)
    assert told(queries.current_config(tenant.pk), adapter.name) == []
    assert open_intervals(adapter) == (0, 0)
    assert not Release.objects.filter(adapter=adapter, state=ReleaseState.PENDING).exists()
    return {
        "release": forward.report,
        "roll_back": back.report,
        "withdrawal": away.report,
        "instants": check_history(tenant, [adapter]),
        "leaked": 0,
        "doubled": 0,
        "seconds": round(time.monotonic() - began, 1),
    }


def test_dying_at_a_sample_of_a_releases_boundaries(real_world, capsys):
    report = release_back_and_away(real_world, SAMPLE, releases=2)
    with capsys.disabled():
        print(f"\nrelease crashes: {report}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_dying_at_every_boundary_of_a_release(real_world, capsys):
    report = release_back_and_away(real_world, 1, releases=3)
    with capsys.disabled():
        print(f"\nrelease crashes: {report}")
