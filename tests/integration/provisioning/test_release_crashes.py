"""Dying at every boundary of a release, in steps: nothing leaked, nothing doubled, and the newest wish serves.

As in `test_crashes`: a dry run counts the boundaries, then a forked process per boundary dies there, and what the dead
left is finished. Every death has a release of its own, of a version that was never loaded before.
"""

import os
import signal
import time
from collections.abc import Callable

import pytest

from demo.lister import doubled, leaked
from models_registry.canary import Plan
from models_registry.models import Canary, Release
from models_registry.services.canaries import take_next_step
from models_registry.services.releases import release_version
from models_registry.states import ReleaseState
from provisioning import queries
from provisioning.models import ManagedResource
from provisioning.states import Phase
from tenants.models import Tenant
from tests.factories import TESTER
from tests.integration.provisioning.releasing import adapter_for, check_history, open_intervals, told, versions_of
from tests.integration.provisioning.test_crashes import die_at, dry_run, finish, park, sample

SAMPLE = 2
# The first releases make the picture that every later one finds: one version live, one warm.
BEFORE = 2
SHARE = Plan(steps=(20,))


def is_live(release: Release) -> Callable[[Tenant], bool]:
    """Whether it serves alone and what nobody needs is gone; a person lets every share go on that data planes have."""

    def look(tenant: Tenant) -> bool:
        for canary in Canary.objects.filter(release=release, step_since__isnull=False):
            take_next_step(release_id=release.pk, from_step=canary.step, evidence={}, actor=TESTER)
        going = ManagedResource.objects.living().filter(tenant=tenant, is_wanted=False)
        return Release.objects.filter(pk=release.pk, state=ReleaseState.LIVE).exists() and not going.exists()

    return look


def crash_everywhere(world, count: int | None) -> dict[str, object]:
    began = time.monotonic()
    tenant = world.sign_up("acme", "advanced")
    world.settle(tenant)
    adapter = adapter_for(tenant)
    versions = iter(versions_of(adapter, BEFORE + 1 + (count or 250)))
    for _ in range(BEFORE):
        release_version(version_id=next(versions).pk, reason="", actor=TESTER)
        world.settle(tenant)
    first = release_version(version_id=next(versions).pk, plan=SHARE, reason="", actor=TESTER)
    park()
    boundaries = dry_run(tenant, is_live(first))
    deaths = sample(boundaries, count)
    for hit, version in zip(deaths, versions, strict=False):
        release = release_version(version_id=version.pk, plan=SHARE, reason="", actor=TESTER)
        park()
        status = die_at(hit, tenant, is_live(release))
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, boundaries[hit - 1]
        finish([tenant], is_live(release))
        assert told(queries.current_config(tenant.pk), adapter.name) == [(version.public_id, None)]
        assert open_intervals(adapter) == (1, 0)
    components = ManagedResource.objects.filter(tenant=tenant, adapter_version__isnull=False, phase=Phase.READY)
    assert components.count() == 2  # what serves, and one warm
    hosted = world.hosted()
    known = set(ManagedResource.objects.living().values_list("name", flat=True))
    assert (leaked(hosted, known=known), doubled(hosted)) == ([], [])
    return {
        "boundaries": len(boundaries),
        "deaths": len(deaths),
        "names": len(set(boundaries)),
        "instants": check_history(tenant, [adapter]),
        "leaked": 0,
        "doubled": 0,
        "seconds": round(time.monotonic() - began, 1),
    }


def test_dying_at_a_sample_of_a_releases_boundaries(real_world, capsys):
    report = crash_everywhere(real_world, SAMPLE)
    with capsys.disabled():
        print(f"\nrelease crashes: {report}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_dying_at_every_boundary_of_a_release(real_world, capsys):
    report = crash_everywhere(real_world, None)
    assert report["deaths"] == report["boundaries"]
    with capsys.disabled():
        print(f"\nrelease crashes: {report}")
