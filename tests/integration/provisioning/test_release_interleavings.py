"""People release, roll back, withdraw, archive, pause, suspend and leave in any order while the loop works.

After every look: nothing is routed that nobody wants. At the end the newest wish is what serves, and the ledger says
of every instant what the config in force told.
"""

import random

import pytest

from core.errors import DomainError
from models_registry.canary import Plan
from models_registry.models import AdapterVersion, Release
from models_registry.queries import newest_release
from models_registry.services.adapters import archive_version, restore_version
from models_registry.services.canaries import abort_canary, go_on, pause_canary
from models_registry.services.releases import release_version, roll_back, withdraw
from models_registry.states import ReleaseState, VersionState
from provisioning import queries
from provisioning.models import ManagedResource
from provisioning.services.canary_watch import watch_canaries
from provisioning.services.converge import converge_tenant
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tenants.services.offboarding import begin_offboarding
from tests.factories import TESTER
from tests.integration.provisioning.releasing import adapter_for, check_history, open_intervals, told, versions_of

NAMES = ("support", "sales")
VERSIONS = 3


class Crowd:
    """People without a plan, and a loop that works between their deeds."""

    def __init__(self, world, seed: int) -> None:
        self.world, self.dice = world, random.Random(seed)
        self.tenant = world.sign_up(f"crowd-{seed}", "advanced")
        world.settle(self.tenant)
        self.adapters = [adapter_for(self.tenant, name) for name in NAMES]
        self.versions = {adapter.pk: versions_of(adapter, VERSIONS) for adapter in self.adapters}
        self.done: list[str] = []

    def act(self) -> None:
        """One deed of somebody, refused or not, or a piece of the loop's work."""
        adapter = self.dice.choice(self.adapters)
        version = self.dice.choice(self.versions[adapter.pk])
        newest = newest_release(adapter.pk)
        pending = newest.pk if newest is not None else 0
        plan = Plan(steps=(20, 60), min_requests=1) if self.dice.random() < 0.5 else None
        word = {"reason": "whim", "actor": TESTER}
        deeds = {
            "release": lambda: release_version(version_id=version.pk, plan=plan, **word),
            "roll back": lambda: roll_back(adapter_id=adapter.pk, **word),
            "withdraw": lambda: withdraw(adapter_id=adapter.pk, **word),
            "archive": lambda: archive_version(version_id=version.pk, actor=TESTER),
            "restore": lambda: restore_version(version_id=version.pk, actor=TESTER),
            "pause": lambda: pause_canary(release_id=pending, **word),
            "go on": lambda: go_on(release_id=pending, skip_bake=True, **word),
            "abort": lambda: abort_canary(release_id=pending, **word),
            "suspend": lambda: suspend_tenant(tenant_id=self.tenant.pk, **word),
            "resume": lambda: resume_tenant(tenant_id=self.tenant.pk, actor=TESTER),
            "watch": watch_canaries,
            "pass": self.world.run_pass,
        }
        weights = {"release": 6, "roll back": 2, "go on": 3, "resume": 2, "pass": 8, "watch": 2}
        name = self.dice.choices(list(deeds), [weights.get(each, 1) for each in deeds])[0]
        try:
            deeds[name]()
        except (DomainError, Release.DoesNotExist) as refused:
            name = f"{name}: {refused}"
        self.done.append(f"{adapter.name} {version} {name}")
        if self.dice.random() < 0.6:
            self.look()

    def look(self) -> None:
        """One converge; nothing may be routed that nobody wants any more."""
        converge_tenant(tenant_id=self.tenant.pk)
        self.tenant.refresh_from_db()
        config = queries.current_config(self.tenant.pk)
        if self.tenant.state == "suspended":
            assert config.document["status"] != "active", self.done
        for adapter in self.adapters:
            adapter.refresh_from_db()
            newest = newest_release(adapter.pk)
            wanted = {newest.version_id, adapter.live_version_id} if newest is not None else {adapter.live_version_id}
            refs = set(AdapterVersion.objects.filter(pk__in=wanted - {None}).values_list("public_id", flat=True))
            routed = {version for version, _ in told(config, adapter.name)}
            assert routed <= refs, (adapter.name, self.done)
            out_of_use = AdapterVersion.objects.filter(public_id__in=routed, state=VersionState.ARCHIVED)
            assert not out_of_use.exists(), self.done

    def finish(self) -> int:
        """Everybody goes home; what was wished last is what serves. How many instants of history were checked."""
        resume_tenant(tenant_id=self.tenant.pk, actor=TESTER)
        for _ in range(2 * len(self.adapters) + 2):
            self.world.settle(self.tenant)
            for release in Release.objects.filter(
                adapter__in=self.adapters, state=ReleaseState.PENDING, canary__isnull=False
            ):
                go_on(release_id=release.pk, skip_bake=True, actor=TESTER)
        config = queries.current_config(self.tenant.pk)
        for adapter in self.adapters:
            assert not Release.objects.filter(adapter=adapter, state=ReleaseState.PENDING).exists(), self.done
            newest = newest_release(adapter.pk)
            version = newest.version if newest is not None else None
            assert told(config, adapter.name) == ([(version.public_id, None)] if version else []), self.done
            assert open_intervals(adapter) == (1 if version else 0, 0), self.done
        return check_history(self.tenant, self.adapters)

    def leave(self) -> int:
        """The tenant leaves in the middle of it."""
        begin_offboarding(tenant_id=self.tenant.pk, reason="goodbye", actor=TESTER)
        for _ in range(3):
            self.act()
        self.world.settle(self.tenant)
        assert not ManagedResource.objects.living().filter(tenant=self.tenant).exists(), self.done
        assert all(open_intervals(adapter) == (0, 0) for adapter in self.adapters), self.done
        assert not Release.objects.filter(adapter__in=self.adapters, state__in=["pending", "live"]).exists(), self.done
        return check_history(self.tenant, self.adapters)


def interleave(world, seed: int, deeds: int) -> int:
    crowd = Crowd(world, seed)
    for _ in range(deeds):
        crowd.act()
    return crowd.leave() if seed % 2 else crowd.finish()


def test_the_newest_wish_wins_whatever_the_order(world):
    assert interleave(world, 2, 25) > 0


def test_a_tenant_that_leaves_in_the_middle_of_it_is_served_no_more(world):
    assert interleave(world, 1, 8) > 0


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_newest_wish_wins_in_many_orders(world, capsys):
    asked = sum(interleave(world, seed, 60) for seed in range(10, 50))
    with capsys.disabled():
        print(f"\ninterleavings: 40 crowds of 60 deeds, {asked} instants of history checked")
