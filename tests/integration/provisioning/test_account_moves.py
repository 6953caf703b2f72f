"""A tenant moves between accounts by changing its tier: pool, its own account, one of ours, and back. It keeps
answering, has nothing left where it was, and a worker that dies on the way loses and doubles nothing."""

import os
import signal

import pytest

from aws import connect
from demo.lister import doubled, leaked
from provisioning import queries
from provisioning.models import ArtifactCopy, ManagedResource, TierChange
from provisioning.runtime_config import targets_of
from provisioning.services.accounts import close_account
from provisioning.services.mirroring import mirror_registry
from provisioning.services.tier_changes import change_tier
from provisioning.specs import REGISTRY_KINDS
from provisioning.states import ChangeState
from tenants.queries import current_tier_version
from tests.factories import TESTER
from tests.integration.provisioning.changing import change_to, served_tenant
from tests.integration.provisioning.elsewhere import OURS, THEIRS, give_account, hosted_in, make_tier
from tests.integration.provisioning.test_crashes import die_at, dry_run, finish, is_active, park, sample
from tests.integration.provisioning.test_tier_change_crashes import has_ended
from tests.integration.provisioning.test_tier_change_traffic import Traffic, carry_through

SAMPLE = 8
WAYS = [
    ("split", "basic"),
    pytest.param(("split", "owned", "split", "basic"), marks=pytest.mark.long),
]


def where(tenant) -> set[str]:
    """The accounts that hold something of what serves the tenant."""
    rows = ManagedResource.objects.living().filter(tenant=tenant).exclude(kind__in=REGISTRY_KINDS)
    return set(rows.values_list("account", flat=True))


def routed_to(tenant) -> set[str]:
    """The accounts that data planes are sent to."""
    config = queries.current_config(tenant.pk)
    return {target.account for _, _, target in targets_of(config.document)}


@pytest.mark.parametrize("way", WAYS)
def test_from_the_pool_to_two_accounts_and_back_without_a_request_that_fails(world, way):
    make_tier("split", "split")
    make_tier("owned", "dedicated")
    tenant = served_tenant(world)
    mirror_registry(tenant_id=tenant.pk)
    theirs = give_account(world, tenant)
    ours = give_account(world, tenant, OURS, ours=True)
    homes = {"split": THEIRS, "owned": OURS, "basic": connect.account_id()}
    with Traffic(tenant) as traffic:
        for tier in way:
            change_to(tenant, tier)
            change = carry_through(world, tenant)
            assert change.state == ChangeState.DONE, change.detail
            assert routed_to(tenant) == where(tenant) == {homes[tier]}
            copies = set(ArtifactCopy.objects.values_list("account", flat=True))
            assert copies == {homes[tier]} - {connect.account_id()}
            hosted = {account.account_id: len(hosted_in(account)) for account in (theirs, ours)}
            assert hosted == {account: int(account == homes[tier]) for account in (THEIRS, OURS)}
    assert traffic.failures == []
    turns = [line for line, before in zip(traffic.lines, [None, *traffic.lines], strict=False) if line != before]
    assert turns == ["pooled", "dedicated", "pooled"], "both accounts have the line `dedicated`"
    for account in (theirs, ours):
        close_account(aws_account_id=account.pk, reason="moved out", actor=TESTER)


def own_account(world, tenant, number: int):
    """A split-plane account of its own for each of many tenants."""
    return give_account(world, tenant, f"{400000000000 + number}")


def move(tenant, tier: str) -> None:
    wanted = current_tier_version(tier)
    change_tier(tenant_id=tenant.pk, tier_version_id=wanted.pk, reason="crash", actor=TESTER)
    park()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_dying_at_a_sample_of_boundaries_between_two_accounts(real_world, settings, capsys):
    """From the pool into an account of its own; AWS is counted in both, by boto3 alone."""
    settings.ENV = settings.ENV.model_copy(update={"drain_seconds": 0})
    make_tier("split", "split")
    stays, first = real_world.sign_up("stays"), real_world.sign_up("dry-run")
    real_world.settle(stays, first)
    accounts = {first: own_account(real_world, first, 0)}
    move(first, "split")
    boundaries = dry_run(first, has_ended)
    chosen = sample(boundaries, SAMPLE)
    for hit in chosen:
        tenant = real_world.sign_up(f"at-{hit}")
        accounts[tenant] = own_account(real_world, tenant, hit)
    finish([tenant for tenant in accounts if tenant != first], is_active)
    for hit, tenant in zip(chosen, [tenant for tenant in accounts if tenant != first], strict=True):
        move(tenant, "split")
        status = die_at(hit, tenant, has_ended)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, boundaries[hit - 1]
    finish(list(accounts), has_ended)
    known = set(ManagedResource.objects.living().values_list("name", flat=True))
    assert leaked(real_world.hosted(), known=known) == [] and doubled(real_world.hosted()) == []
    for tenant, account in accounts.items():
        done = TierChange.objects.get(tenant=tenant)
        assert done.state == ChangeState.DONE, done.detail
        assert where(tenant) == routed_to(tenant) == {account.account_id}
        assert hosted_in(account) == [
            row.name for row in real_world.rows(tenant=tenant, kind="endpoint", phase="ready")
        ]
    with capsys.disabled():
        print(f"\ncrashes between accounts: {len(boundaries)} boundaries, {len(chosen)} deaths, 0 leaked, 0 doubled")
