"""Tier versions, tier changes, bulk operations and legal holds as a billing system uses them: over REST."""

from decimal import Decimal

import pytest

from billing.services.seeding import seed_rate_cards
from core.actors import SYSTEM
from provisioning.models import TierChange
from provisioning.services.bulk import advance_bulk_operations
from provisioning.states import ChangeState
from tests.integration.api.client import Caller, caller, refused
from tests.integration.provisioning.changing import settle_change

VERSION = {
    "tier": "basic",
    "lines": ["pooled"],
    "max_adapters": 5,
    "max_adapter_bytes": 1000000,
    "max_lora_rank": 16,
    "retention_days": 30,
    "token_limits": [{"meter": "total_tokens", "window": "day", "amount": 5000}],
}


@pytest.fixture
def rest() -> Caller:
    return caller()


@pytest.fixture
def priced(world) -> None:
    seed_rate_cards(actor=SYSTEM)


def test_a_new_version_leaves_pinned_tenants_alone_until_they_are_moved(world, priced, rest):
    pinned = world.sign_up("pinned")
    world.settle(pinned)
    made = rest.post("tier-versions", VERSION)
    assert made.status_code == 201, made.content
    version = made.json()
    assert (version["number"], version["published_at"], version["lines"]) == (2, None, ["pooled"])
    assert version["token_limits"][0]["mode"] == "hard"
    assert {price["currency"] for price in version["prices"]} == {"USD", "JPY"}  # as the version before
    refused(rest.post("tenants/pinned/tier-change", {"tier": "basic", "version": 2}), 409, "tier_change_refused")
    preview = ("tenants/pinned/tier-change/preview", {"tier": "basic", "version": 2})
    assert rest.post(*preview).status_code == 200
    refused(caller("tenants.view", tenant_id=pinned.pk).post(*preview), 404, "not_found")  # a draft is not theirs

    published = rest.post(f"tier-versions/{version['id']}/publish").json()
    assert published["published_at"] is not None
    assert rest.get("tenants/pinned").json()["tier"]["version"] == 1
    assert world.sign_up("newcomer").assignments.get().tier_version.number == 2
    counts = {row["number"]: row["tenant_count"] for row in rest.get("tier-versions?tier=basic").json()["data"]}
    assert counts == {1: 1, 2: 1}

    wanted = {"kind": "change_tier", "on_tier": "basic", "tier": "basic"}
    planned = rest.post("bulk-operations/preview", wanted).json()["items"]
    assert {each["outcome"] for each in planned} == {"change", "skip"}
    [moves] = [each for each in planned if each["outcome"] == "change"]
    assert moves["price"]["per_month_difference"] == "0.00" and moves["resources"][0]["is_shared"]
    started = rest.post("bulk-operations", wanted | {"reason": "version 2"})
    assert started.status_code == 202 and started.json()["total"] == 2
    advance_bulk_operations()
    settle_change(world, pinned)
    advance_bulk_operations()
    bulk = rest.get(f"bulk-operations/{started.json()['id']}").json()
    assert (bulk["ended"], bulk["failed"]) == (2, 0) and bulk["finished_at"]
    items = rest.get(f"bulk-operations/{bulk['id']}/items").json()["data"]
    assert {item["state"] for item in items} == {"done", "skipped"}
    refused(rest.post(f"bulk-operations/{bulk['id']}/retry"), 409, "nothing_failed")
    assert rest.get("tenants/pinned").json()["tier"]["version"] == 2


def test_a_change_is_previewed_with_its_price_begun_held_and_cancelled(world, priced, rest):
    tenant = world.sign_up("acme", "basic")
    world.settle(tenant)
    preview = rest.post("tenants/acme/tier-change/preview", {"tier": "premium"}).json()
    assert preview["is_possible"] and preview["downtime_seconds"] == 0 and preview["obstacles"] == []
    price = preview["price"]
    assert (price["card_before"], price["card_after"]) == ("Basic #1", "Premium #1")
    assert Decimal(price["per_month_before"]) == 29 and Decimal(price["per_month_after"]) == 900
    assert Decimal(price["this_month_difference"]) < Decimal(price["per_month_difference"])
    assert any(rate["before"] == "" for rate in price["rates"])
    refused(rest.post("tenants/acme/tier-change/preview", {"tier": "nothing"}), 404, "not_found")

    begun = rest.post("tenants/acme/tier-change", {"tier": "premium", "reason": "They grew."})
    assert begun.status_code == 202, begun.content
    operation = begun.json()
    assert operation["kind"] == "change_tier" and operation["available_actions"] == ["retry", "cancel", "hold"]
    path = f"operations/{operation['id']}"
    held = rest.post(f"{path}/hold", {"reason": "ask first"}).json()
    assert held["held_at"] and held["hold_reason"] == "ask first" and "continue" in held["available_actions"]
    world.settle(tenant)
    assert TierChange.objects.get().state == ChangeState.PREPARING
    assert rest.post(f"{path}/continue").json()["held_at"] is None
    refused(rest.post(f"{path}/continue"), 409, "operation_not_held")
    world.step(tenant)
    assert rest.post(f"{path}/cancel", {"reason": "no budget"}).status_code == 202
    settle_change(world, tenant)
    assert rest.get(path).json()["state"] == "cancelled"
    assert all(step["attempts"] or step["state"] != "done" for step in rest.get(path).json()["steps"])


def test_what_cannot_be_is_refused_and_a_tenants_own_key_sees_no_drafts(world, priced, rest):
    tenant = world.sign_up("acme")
    for wrong, pointer in (
        ({"lines": ["nowhere"]}, "/lines"),
        ({"keep_previous_warm": True}, "/warm_window_hours"),
        ({"token_limits": VERSION["token_limits"] * 2}, "/token_limits"),
        ({"rate_cards": ["rc_unknown"]}, "/rate_cards"),
    ):
        problem = refused(rest.post("tier-versions", VERSION | wrong), 422, "tier_version_invalid")
        assert problem["errors"][0]["pointer"] == pointer
    assert len(rest.get("tier-versions?tier=basic").json()["data"]) == 1
    own = caller("tenants.view", tenant_id=tenant.pk)
    assert own.get("tier-versions").json()["data"] == []
    refused(rest.post("bulk-operations", {"kind": "suspend", "reason": "x"}), 422, "invalid")
    hold = rest.post("tenants/acme/legal-holds", {"reason": "case 7"})
    assert hold.status_code == 200, hold.content
    refused(rest.post("tenants/acme/legal-holds", {"reason": "case 8"}), 409, "legal_hold_in_force")
    assert rest.post("tenants/acme/legal-holds/release", {"reason": "settled"}).status_code == 200
    [listed] = rest.get("tenants/acme/legal-holds").json()["data"]
    assert (listed["reason"], listed["release_reason"]) == ("case 7", "settled")
    assert rest.get("tenants/acme/deletion-certificates").json()["data"] == []
