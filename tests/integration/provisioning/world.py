"""Runs the product by hand: converge, pass, converge, pass, as sweeps do, without waiting between them."""

import os
from collections import Counter
from datetime import timedelta
from typing import Any

from core.clock import real_now
from demo.lister import Account, Seen
from local_stack.emulator import EmulatorClient
from provisioning.models import ManagedResource
from provisioning.reconciler.loop import PassReport, run_pass
from provisioning.services.converge import converge_tenant
from provisioning.states import Phase
from tenants.models import Tenant
from tenants.services.onboarding import sign_up_tenant
from tests.factories import TESTER

MOST_ROUNDS = 80


class World:
    """The local AWS, a lister that knows none of our rooms, and the loop."""

    def __init__(self, aws: EmulatorClient) -> None:
        self.aws = aws
        self.account = Account(os.environ)

    def take_looks(self, looks: int) -> None:
        """From now on every change in AWS shows as under way to that many looks, whatever the clock says."""
        delay = {"looks": looks}
        self.aws.delays(endpoint=delay, component=delay, update=delay, delete=delay)

    def sign_up(self, slug: str, tier: str = "basic", **details: Any) -> Tenant:
        """A tenant, still without anything in AWS."""
        return sign_up_tenant(name=slug.title(), slug=slug, tier_key=tier, actor=TESTER, **details)

    def run_pass(self) -> PassReport:
        """One pass over everything, as if all waiting were over."""
        ManagedResource.objects.living().update(look_again_at=real_now() - timedelta(seconds=1))
        return run_pass(limit=500)

    def step(self, *tenants: Tenant) -> None:
        """Converge, then one pass."""
        for tenant in tenants:
            converge_tenant(tenant_id=tenant.pk)
        self.run_pass()

    def settle(self, *tenants: Tenant) -> int:
        """Step, with a second pass each time, until nothing changes any more; how many steps it took."""
        before: object = None
        quiet = 0
        for round_number in range(1, MOST_ROUNDS + 1):
            self.step(*tenants)
            self.run_pass()
            picture = self._picture()
            quiet = quiet + 1 if picture == before else 0
            before = picture
            if quiet == 2:
                for tenant in tenants:
                    tenant.refresh_from_db()
                return round_number
        raise AssertionError(f"not settled after {MOST_ROUNDS} rounds: {before}")

    def hosted(self) -> list[Seen]:
        """What AWS holds with our tags."""
        return self.account.hosting()

    def counts(self) -> dict[str, int]:
        """How many of each kind AWS holds with our tags."""
        return dict(Counter(seen.kind for seen in self.hosted()))

    def calls(self, operation: str) -> int:
        """How often an operation was called."""
        return self.aws.calls().get(operation, 0)

    def rows(self, **filters: Any) -> list[ManagedResource]:
        """Rows in the order in which they were made."""
        return list(ManagedResource.objects.filter(**filters).order_by("pk"))

    def row(self, **filters: Any) -> ManagedResource:
        """The living row that the filters name."""
        return ManagedResource.objects.living().get(**filters)

    def _picture(self) -> object:
        rows = list(ManagedResource.objects.order_by("pk"))
        seen = [(row.pk, row.phase, row.stuck_reason, row.is_wanted, row.stuck_reason or row.failures) for row in rows]
        moving = any(row.phase in (Phase.CREATING, Phase.UPDATING, Phase.DELETING) for row in rows)
        tenants = list(Tenant.objects.order_by("pk").values_list("pk", "state", "version"))
        return (seen, tenants, object() if moving else None)
