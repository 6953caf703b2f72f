"""One tenant's way, walked by processes that die: each is killed somewhere, and the next begins where it was killed.

A process dies at the first crashpoint (before or after an AWS call or a commit) at which none died yet while the
tenant's things stood as they stand. So nobody gets past a crashpoint before somebody died at it, and a way with many
crashpoints takes as many deaths, each of one round of work. The last one arrives.

A process is forgotten whole: what it read and thought goes with it. So where nothing was written and AWS was asked for
no change since the crashpoint before, dying here is the death that was died there, and it is only counted.
"""

import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import connection, connections

from core.clock import real_now
from core.crashpoints import arm
from demo.lister import doubled, leaked
from models_registry.models import Canary, Release
from provisioning.models import ManagedResource, PublishedConfig, TierChange
from provisioning.reconciler.loop import run_pass
from provisioning.services.converge import converge_tenant
from tenants.models import OffboardingStep, Tenant
from tests.integration.provisioning.world import World

NEVER, A_SECOND = timedelta(days=365), timedelta(seconds=1)
MOST_ROUNDS = 80
# Between two looks at all of AWS; what leaks or is doubled stays so.
DEATHS_BETWEEN_LOOKS = 25
# What only looks at AWS.
LOOKS = ("after list", "after describe", "after tags", "after read", "after compare")
IsDone = Callable[[Tenant], bool]


@dataclass
class Deaths:
    """The crashpoints that were met: each with the state of the tenant's things, its name, and its how-manieth in a
    round; and those at which a process died."""

    met: set[tuple[str, str, int]] = field(default_factory=set)
    at: set[tuple[str, str, int]] = field(default_factory=set)

    @property
    def report(self) -> dict[str, int]:
        """What a pass is judged by."""
        return {
            "boundaries": len(self.met),
            "deaths": len(self.at),
            "names": len({name for _, name, _ in self.met}),
            "states": len({state for state, _, _ in self.met}),
        }


def park() -> None:
    """Nothing is due any more, so that a pass looks at the rows that a test makes due and at no others."""
    ManagedResource.objects.living().update(look_again_at=real_now() + NEVER)


def die_along(world: World, tenant: Tenant, is_done: IsDone, *, every: int = 1) -> Deaths:
    """Walk the tenant's way, dying at every crashpoint in every state, or at each `every`-th name of a crashpoint.

    Nothing leaks and nothing is doubled at any time.
    """
    park()
    deaths = Deaths()
    while True:
        met, was_killed = _walk_until_death(tenant, is_done, deaths, every)
        deaths.met.update(met)
        if not was_killed:
            break
        assert met[-1] not in deaths.at, f"nobody gets past {met[-1]}"
        deaths.at.add(met[-1])
        _bury()
        if len(deaths.at) % DEATHS_BETWEEN_LOOKS == 0:
            look(world)
    look(world)
    return deaths


def look(world: World) -> None:
    """AWS holds nothing twice and nothing that no living row names."""
    hosted = world.hosted()
    known = set(ManagedResource.objects.living().values_list("name", flat=True))
    assert (leaked(hosted, known=known), doubled(hosted)) == ([], [])


def _bury() -> None:
    """The lease of the dead is over; that five deaths in a row park a row is `test_deadly`'s."""
    ManagedResource.objects.living().update(lease_until=None, lease_owner=None, attempts=0)


def _walk_until_death(tenant: Tenant, is_done: IsDone, deaths: Deaths, every: int) -> tuple[list, bool]:
    """In a forked process; the crashpoints that it was the first to meet, and whether it was killed at the last."""
    connections.close_all()
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        with os.fdopen(told) as lines:
            met = [_read(line) for line in lines]
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL), f"the process ended with {status}; its traceback is above"
        return met, status == signal.SIGKILL
    try:
        os.close(told)
        _Walker(tenant, deaths, every, tell).walk(is_done)
        os._exit(0)
    except BaseException:
        os.write(2, traceback.format_exc().encode())  # a test may have taken over sys.stderr
        os._exit(1)


def _read(line: str) -> tuple[str, str, int]:
    state, name, count = line.rstrip("\n").split("\t")
    return state, name, int(count)


class _Walker:
    """In the process that is to die."""

    def __init__(self, tenant: Tenant, deaths: Deaths, every: int, tell: int) -> None:
        self.tenant, self.every, self.tell = tenant, every, tell
        self.deaths, self.one_by_one = deaths, threading.Lock()
        self.state, self.times, self.has_changed = "", Counter[str](), True

    def walk(self, is_done: IsDone) -> None:
        """Round by round until it is done, or dead."""
        for _ in range(MOST_ROUNDS):
            self.state, self.times, self.has_changed = self._state(), Counter(), True
            arm(self.meet)
            with connection.execute_wrapper(self.notice):
                converge_tenant(tenant_id=self.tenant.pk)
                ManagedResource.objects.filter(tenant=self.tenant).update(look_again_at=real_now() - A_SECOND)
                run_pass(limit=50)
            arm(None)
            if is_done(self.tenant):
                return
        raise AssertionError(f"{self.tenant.slug} did not get there")

    def notice(self, execute, sql, params, many, context):
        """Whether a statement changed anything."""
        answer = execute(sql, params, many, context)
        if not sql.lstrip().startswith("SELECT") and context["cursor"].rowcount > 0:
            self.has_changed = True
        return answer

    def meet(self, name: str) -> None:
        """At a crashpoint: die, unless somebody died here before, or nothing has changed since the last one."""
        with self.one_by_one:
            self.times[name] += 1
            is_change = name.startswith("after ") and not name.startswith((*LOOKS, "after commit"))
            has_changed, self.has_changed = self.has_changed or is_change, False
            here = (self.state, name, self.times[name] if self.every == 1 else 1)
            is_new = here not in self.deaths.met
            self.deaths.met.add(here)
            if self.every == 1:
                dies = has_changed and here not in self.deaths.at
            else:
                dies = is_new and len(self.deaths.met) % self.every == 0
            if is_new or dies:
                os.write(self.tell, "{}\t{}\t{}\n".format(*here).encode())
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)

    def _state(self) -> str:
        return _picture(self.tenant) if self.every == 1 else ""


def _picture(tenant: Tenant) -> str:
    """How the tenant's things stand, without what only counts or tells the time."""
    rows = ManagedResource.objects.filter(tenant=tenant).order_by("pk")
    configs = PublishedConfig.objects.filter(tenant=tenant).order_by("pk")
    releases = Release.objects.filter(adapter__tenant=tenant).order_by("pk")
    canaries = Canary.objects.filter(release__in=releases).order_by("pk")
    changes = TierChange.objects.filter(tenant=tenant).order_by("pk")
    left = OffboardingStep.objects.filter(tenant=tenant, done_at__isnull=False).order_by("pk")
    return repr(
        [
            list(Tenant.objects.filter(pk=tenant.pk).values_list("state")),
            [(row.pk, row.phase, row.is_wanted, row.stuck_reason, row.arn, row.probed_at is None) for row in rows],
            list(configs.values_list("version", "is_current")),
            list(releases.values_list("pk", "state")),
            [(canary.pk, canary.step, canary.step_since is None) for canary in canaries],
            [(change.pk, change.state, change.cut_over_at is None, change.is_draining) for change in changes],
            list(left.values_list("key")),
        ]
    )
