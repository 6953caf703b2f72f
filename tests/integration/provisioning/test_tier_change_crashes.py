"""Dying at every boundary of a tier change: nothing leaked, nothing doubled, one tier at a time, and it arrives.

As in `test_crashes`: a dry run counts the boundaries, then a forked process per boundary dies there, and what the dead
left is finished together.
"""

import os
import signal
import time

import pytest

from core import clock
from demo.lister import doubled, leaked
from provisioning.models import ManagedResource, TierChange
from provisioning.services.tier_changes import change_tier
from provisioning.states import ChangeState
from tenants.models import Tenant
from tenants.queries import current_tier_version, tier_version_of
from tests.factories import TESTER
from tests.integration.provisioning.changing import routed_lines
from tests.integration.provisioning.test_crashes import die_at, dry_run, finish, is_active, park, sample

SAMPLE = 2
# As many as the shared endpoint has room for, besides who stays; they leave it before the next ones come.
AT_ONCE = 6


@pytest.fixture
def without_draining(settings):
    """Nobody sends requests here."""
    settings.ENV = settings.ENV.model_copy(update={"drain_seconds": 0})


def has_ended(tenant: Tenant) -> bool:
    return TierChange.objects.filter(tenant=tenant, state__in=[ChangeState.DONE, ChangeState.RETURNED]).exists()


def change(tenant: Tenant) -> None:
    wanted = current_tier_version("premium")
    change_tier(tenant_id=tenant.pk, tier_version_id=wanted.pk, reason="crash", actor=TESTER)
    park()


def crash_at(world, hits: list[int], boundaries: list[str]) -> list[Tenant]:
    """A tenant per boundary that dies there, all finished together."""
    tenants = [world.sign_up(f"at-{hit}", "advanced") for hit in hits]
    finish(tenants, is_active)
    for hit, tenant in zip(hits, tenants, strict=True):
        change(tenant)
        status = die_at(hit, tenant, has_ended)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, boundaries[hit - 1]
    finish(tenants, has_ended)
    return tenants


def crash_everywhere(world, count: int | None) -> dict[str, object]:
    began = time.monotonic()
    # Somebody stays, so that the first to go takes as many steps as the last: the shared endpoint stays too.
    stays, first = world.sign_up("stays", "advanced"), world.sign_up("dry-run", "advanced")
    world.settle(stays, first)
    change(first)
    boundaries = dry_run(first, has_ended)
    chosen = sample(boundaries, count)
    tenants = []
    for batch in (chosen[start : start + AT_ONCE] for start in range(0, len(chosen), AT_ONCE)):
        tenants += crash_at(world, batch, boundaries)
    known = set(ManagedResource.objects.living().values_list("name", flat=True))
    hosted = world.hosted()
    assert leaked(hosted, known=known) == [] and doubled(hosted) == []
    for tenant in [first, *tenants]:
        done = TierChange.objects.get(tenant=tenant)
        assert done.state == ChangeState.DONE, done.detail
        assert routed_lines(tenant) == {"dedicated"}
        assert tier_version_of(tenant.pk, clock.now()).tier.key == "premium"
        turns = tenant.assignments.order_by("period")
        assert [turn.tier_version.tier.key for turn in turns] == ["advanced", "premium"]
        own = ManagedResource.objects.living().filter(tenant=tenant)
        assert set(own.values_list("line__name", flat=True)) == {"dedicated"}
    return {
        "boundaries": len(boundaries),
        "names": len(set(boundaries)),
        "deaths": len(chosen),
        "leaked": 0,
        "doubled": 0,
        "seconds": round(time.monotonic() - began, 1),
    }


def test_dying_at_a_sample_of_boundaries(real_world, without_draining, capsys):
    report = crash_everywhere(real_world, SAMPLE)
    with capsys.disabled():
        print(f"\ntier change crashes: {report}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_dying_at_every_boundary(real_world, without_draining, capsys):
    report = crash_everywhere(real_world, None)
    assert report["deaths"] == report["boundaries"]
    with capsys.disabled():
        print(f"\ntier change crashes: {report}")
