"""A tenant moves between accounts by changing its tier: pool, its own account, one of ours, and back. It keeps
answering, has nothing left where it was, and a worker that dies on the way loses and doubles nothing."""

import pytest

from aws import connect
from provisioning import queries
from provisioning.models import ArtifactCopy, ManagedResource, TierChange
from provisioning.runtime_config import targets_of
from provisioning.services.accounts import close_account
from provisioning.services.mirroring import mirror_registry
from provisioning.specs import REGISTRY_KINDS
from provisioning.states import ChangeState
from tests.factories import TESTER
from tests.integration.provisioning.changing import change_to, served_tenant
from tests.integration.provisioning.dying import die_along
from tests.integration.provisioning.elsewhere import OURS, THEIRS, give_account, hosted_in, make_tier
from tests.integration.provisioning.test_tier_change_crashes import has_ended
from tests.integration.provisioning.test_tier_change_traffic import Traffic, carry_through

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


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_dying_at_every_boundary_between_two_accounts(real_world, settings, capsys):
    """From the pool into an account of its own and back; AWS is counted in both, by boto3 alone."""
    settings.ENV = settings.ENV.model_copy(update={"drain_seconds": 0})
    make_tier("split", "split")
    tenant = served_tenant(real_world)
    account = give_account(real_world, tenant)
    reports = {}
    for tier, home in (("split", THEIRS), ("basic", connect.account_id())):
        change_to(tenant, tier)
        reports[tier] = die_along(real_world, tenant, has_ended).report
        change = TierChange.objects.filter(tenant=tenant).latest("pk")
        assert change.state == ChangeState.DONE, change.detail
        assert where(tenant) == routed_to(tenant) == {home}
        there = real_world.rows(tenant=tenant, kind="endpoint", account=THEIRS, phase="ready")
        assert hosted_in(account) == [row.name for row in there]
        assert set(ArtifactCopy.objects.values_list("account", flat=True)) == {home} - {connect.account_id()}
    with capsys.disabled():
        print(f"\ncrashes between accounts: {reports}, 0 leaked, 0 doubled")
