"""Runs the product by hand: converge, pass, converge, pass, as sweeps do, without waiting between them."""

import os
from collections import Counter
from datetime import timedelta
from typing import Any

from core.clock import real_now
from demo.lister import Account, Seen
from local_stack.emulator import EmulatorClient
from models_registry.models import Release
from provisioning.models import ManagedResource, Operation, PublishedConfig, TierChange
from provisioning.reconciler.loop import PassReport, run_pass
from provisioning.services.converge import converge_tenant
from provisioning.states import Phase
from tenants.models import Tenant
from tenants.services.onboarding import sign_up_tenant
from tests.factories import TESTER

MOST_ROUNDS, MOST_PASSES = 80, 12


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

    def settle(self, *tenants: Tenant) -> None:
        """Converge, and pass until that changes nothing, until neither changes anything any more."""
        before: object = None
        for _ in range(MOST_ROUNDS):
            for tenant in tenants:
                converge_tenant(tenant_id=tenant.pk)
            self._pass_until_quiet()
            picture = self._picture()
            if picture == before:
                for tenant in tenants:
                    tenant.refresh_from_db()
                return
            before = picture
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

    def _pass_until_quiet(self) -> None:
        before: object = None
        for _ in range(MOST_PASSES):
            self.run_pass()
            rows = self._rows()
            if rows == before:
                return
            before = rows

    def _rows(self) -> object:
        """How the resources stand; nothing equals it while AWS works on one."""
        rows = list(ManagedResource.objects.order_by("pk"))
        seen = [(row.pk, row.phase, row.stuck_reason, row.is_wanted, row.stuck_reason or row.failures) for row in rows]
        moving = any(row.phase in (Phase.CREATING, Phase.UPDATING, Phase.DELETING) for row in rows)
        return seen, object() if moving else None

    def _picture(self) -> object:
        """How everything stands that a look or a pass can move."""
        return (
            self._rows(),
            list(Tenant.objects.order_by("pk").values_list("pk", "state", "version")),
            list(PublishedConfig.objects.order_by("pk").values_list("pk", "is_current")),
            list(Release.objects.order_by("pk").values_list("pk", "state")),
            list(TierChange.objects.order_by("pk").values_list("pk", "state", "cut_over_at", "drain_until")),
            list(Operation.objects.order_by("pk").values_list("pk", "state", "detail")),
        )
