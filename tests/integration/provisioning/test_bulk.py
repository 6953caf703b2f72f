"""One deed for many tenants: a dry run, an outcome for each, and another try for those that failed."""

import pytest

from provisioning import outcomes
from provisioning.models import BulkOperation, Operation
from provisioning.services.bulk import (
    BulkInvalid,
    NothingFailed,
    advance_bulk_operations,
    plan_bulk,
    retry_failed,
    start_bulk,
)
from tenants.models import Tenant
from tenants.queries import current_tier_version
from tenants.states import TenantState
from tests.factories import TESTER
from tests.integration.provisioning.changing import end_draining, routed_lines

pytestmark = pytest.mark.django_db


def outcome(bulk: BulkOperation) -> dict[str, str]:
    return {item.tenant.slug: item.state for item in outcomes.bulk_items(bulk.pk)}


def test_a_bulk_suspension_tells_what_became_of_each(world):
    tenants = [world.sign_up(slug) for slug in ("one", "two", "three")]
    world.settle(*tenants[:2])
    chosen = [tenant.pk for tenant in tenants]
    planned = plan_bulk(kind="suspend", tenant_ids=chosen, tier_version_id=None)
    assert {each.tenant.slug: each.outcome for each in planned} == {
        "one": "change",
        "two": "change",
        "three": "blocked",
    }
    bulk = start_bulk(kind="suspend", tenant_ids=chosen, tier_version_id=None, reason="unpaid", actor=TESTER)
    assert advance_bulk_operations() == 1 and advance_bulk_operations() == 0
    assert outcome(bulk) == {"one": "done", "two": "done", "three": "failed"}
    [failed] = outcomes.bulk_items(bulk.pk).filter(state="failed")
    assert failed.code == "tenant_not_running" and "signed up" in failed.detail
    assert Tenant.objects.filter(state=TenantState.SUSPENDED, state_reason="unpaid").count() == 2

    world.settle(tenants[2])
    retry_failed(bulk_id=bulk.pk, actor=TESTER)
    assert advance_bulk_operations() == 1
    assert outcome(bulk) == {"one": "done", "two": "done", "three": "done"}
    found = outcomes.bulk_operation(bulk.public_id, tenant_ids=None)
    assert (found.total, found.ended, found.failed) == (3, 3, 0) and found.finished_at is not None
    with pytest.raises(NothingFailed):
        retry_failed(bulk_id=bulk.pk, actor=TESTER)
    assert [item.attempts for item in outcomes.bulk_items(bulk.pk)] == [1, 1, 2]


@pytest.mark.long
def test_a_bulk_tier_change_follows_each_change_and_retries_what_went_back(world):
    moves, goes_back, stays = (
        world.sign_up(slug, tier) for slug, tier in (("moves", "advanced"), ("back", "advanced"), ("stays", "premium"))
    )
    world.settle(moves, goes_back, stays)
    world.aws.fault("fail", operation="CreateEndpoint", name_contains="back", times=1)
    premium = current_tier_version("premium")
    everybody = [moves.pk, goes_back.pk, stays.pk]
    planned = plan_bulk(kind="change_tier", tenant_ids=everybody, tier_version_id=premium.pk)
    assert {each.tenant.slug: each.outcome for each in planned} == {
        "moves": "change",
        "back": "change",
        "stays": "skip",
    }
    bulk = start_bulk(
        kind="change_tier", tenant_ids=everybody, tier_version_id=premium.pk, reason="offer", actor=TESTER
    )
    assert advance_bulk_operations() == 0
    assert outcome(bulk) == {"moves": "working", "back": "working", "stays": "skipped"}
    for _ in range(2):
        world.settle(moves, goes_back)
        end_draining()
    world.settle(moves, goes_back)
    assert advance_bulk_operations() == 1
    assert outcome(bulk) == {"moves": "done", "back": "failed", "stays": "skipped"}
    [failed] = outcomes.bulk_items(bulk.pk).filter(state="failed")
    assert failed.operation == Operation.objects.get(tenant=goes_back, kind="change_tier")
    assert "Back on Advanced v1" in failed.detail

    retry_failed(bulk_id=bulk.pk, actor=TESTER)
    advance_bulk_operations()
    world.settle(goes_back)
    end_draining()
    world.settle(goes_back)
    assert advance_bulk_operations() == 1 and outcome(bulk)["back"] == "done"
    assert routed_lines(goes_back) == {"dedicated"}


@pytest.mark.parametrize(
    ("kind", "chosen", "tier"),
    [("suspend", [], None), ("explode", [1], None), ("change_tier", [1], None), ("resume", [1], 1),
     ("suspend", range(501), None)],
)  # fmt: skip
def test_what_cannot_be_a_bulk_operation_is_refused(kind, chosen, tier):
    with pytest.raises(BulkInvalid):
        start_bulk(kind=kind, tenant_ids=chosen, tier_version_id=tier, reason="", actor=TESTER)
    assert not BulkOperation.objects.exists()
