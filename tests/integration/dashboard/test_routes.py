"""The pages and addresses about a tenant's routes: lines, licences, breakers, degrades, refusals, and going back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

if TYPE_CHECKING:
    from local_stack.emulator import EmulatorClient
    from tests.integration.provisioning.world import World

LICENCE = "https://example.com/licence"


@pytest.fixture
def world(db: None, aws: EmulatorClient) -> World:
    """With a tier whose tenants choose among two lines of Bedrock, of which one is gated."""
    from core.actors import SYSTEM
    from provisioning.models import ServingLine
    from provisioning.services.catalogue import TIERS, PolicySettings, route_tier, seed_catalogue
    from tenants.services.tiers import define_tier
    from tests.integration.provisioning.world import World

    seed_catalogue(actor=SYSTEM)
    world = World(aws)
    world.take_looks(0)
    limits = next(limits for key, _, limits, _ in TIERS if key == "advanced-api")
    version = define_tier(key="choice", name="Choice", position=9, limits=limits)
    lines = [ServingLine.objects.get(name=name) for name in ("cheap-api", "strong-api")]
    route_tier(tier_version_id=version.pk, lines=lines, policy=PolicySettings(tenant_chooses=True))
    return world


def page(client: Client, name: str, *args: Any) -> str:
    from django.urls import reverse

    response = client.get(reverse(name, args=args))
    assert response.status_code == 200, response.content
    return response.content.decode()


def send(client: Client, name: str, *args: Any, **typed: str) -> int:
    from django.urls import reverse

    return client.post(reverse(name, args=args), typed).status_code


def test_lines_are_chosen_licences_accepted_and_refused_routes_are_seen_until_they_may_be_published(
    admin: Client, world: World
) -> None:
    from provisioning.models import ServingLine
    from tests.integration.api.client import caller, refused

    tenant = world.sign_up("acme", "choice")
    world.settle(tenant)
    ServingLine.objects.filter(name="strong-api").update(eula_url=LICENCE)
    assert "Not accepted" in page(admin, "tenant-routes", "acme")
    assert send(admin, "tenant-lines-choose", "acme", lines="pooled", reason="x") == 422
    assert send(admin, "tenant-lines-choose", "acme", lines="strong-api, cheap-api", reason="quality") == 302
    world.settle(tenant)

    for name in ("tenant-routes", "tenant-config", "tenant-detail"):
        told = page(admin, name, "acme")
        assert "The newest routes were not published" in told and "eula_not_accepted" in told
        assert "Record the tenant" in told and "acceptance on its Routes page" in told
    assert "New routes of Acme were not published" in page(admin, "home")
    ops = caller()
    routing = ops.get("tenants/acme/routing").json()
    assert [each["code"] for each in routing["refusal"]["violations"]] == ["eula_not_accepted"]
    assert [(each["line"], each["waits_for_licence"]) for each in routing["lines"]] == [
        ("strong-api", True), ("cheap-api", False),
    ]  # fmt: skip

    body = {"line": "strong-api", "accepted_by": "Ada Lovelace"}
    refused(ops.post("tenants/acme/eula-acceptances", body | {"line": "cheap-api"}), 422, "line_not_gated")
    accepted = ops.post("tenants/acme/eula-acceptances", body).json()
    assert (accepted["model"], accepted["accepted_by"]) == ("anthropic.claude-3-5-sonnet-20241022-v2:0", "Ada Lovelace")
    assert send(admin, "tenant-eula-accept", "acme", "strong-api", accepted_by="Somebody else") == 302
    assert ops.get("tenants/acme/eula-acceptances").json()["data"] == [accepted], "the first one stays"
    world.settle(tenant)
    assert "The newest routes were not published" not in page(admin, "tenant-detail", "acme")
    assert "by Ada Lovelace" in page(admin, "tenant-routes", "acme")
    assert ops.get("tenants/acme/routing").json()["refusal"] is None

    chosen = ops.post("tenants/acme/lines/choose", {"lines": ["cheap-api"], "reason": "price"})
    assert chosen.json()["lines"] == ["cheap-api"]
    world.settle(tenant)
    assert "not chosen" in page(admin, "tenant-routes", "acme")


def test_breakers_are_tripped_and_reset_degrades_are_listed_and_configs_roll_back(admin: Client, world: World) -> None:
    from provisioning.queries import current_config
    from tests.integration.api.client import caller, refused
    from tests.integration.provisioning.test_lines import kit_of

    tenant, ops = world.sign_up("acme", "choice"), caller()
    world.settle(tenant)
    assert ops.get("tenants/acme/routing").json()["degrades"] == []

    assert send(admin, "tenant-breaker-trip", "acme", "base", "cheap-api", reason="maintenance") == 302
    assert send(admin, "tenant-breaker-trip", "acme", "other", "cheap-api", reason="x") == 422
    world.settle(tenant)
    kit = kit_of(tenant)
    assert kit.complete("base", "hello", 5).line == "strong-api"
    kit.flush()
    told = page(admin, "tenant-routes", "acme")
    assert "Tripped" in told and "maintenance" in told and "breaker_open" in told
    routing = ops.get("tenants/acme/routing").json()
    [tripped, closed] = routing["breakers"]
    assert (tripped["line"], tripped["state"], tripped["is_tripped"]) == ("cheap-api", "open", True)
    assert (closed["line"], closed["state"], closed["processes"]) == ("strong-api", "closed", 0)
    [degrade] = routing["degrades"]
    assert (degrade["line"], degrade["to"], degrade["reason"]) == ("cheap-api", "strong-api", "breaker_open")
    assert degrade["times"] == 1

    order = {"route": "base", "line": "cheap-api", "reason": "done"}
    refused(ops.post("tenants/acme/breakers/reset", order | {"line": "pooled"}), 422, "unknown_target")
    assert ops.post("tenants/acme/breakers/reset", order).json()["is_tripped"] is False
    world.settle(tenant)
    assert kit.complete("base", "hello", 5).line == "cheap-api"
    kit.flush()
    [reset, _] = ops.get("tenants/acme/routing").json()["breakers"]
    assert (reset["state"], reset["processes"], reset["reason"]) == ("closed", 1, "Reset by a person.")

    ops.post("tenants/acme/lines/choose", {"lines": ["strong-api"], "reason": "try it"})
    world.settle(tenant)
    before = current_config(tenant.pk)
    assert before is not None and "Roll back to it" in _older(admin)
    refused(ops.post("tenants/acme/runtime-configs/roll-back", {"version": 99, "reason": "x"}), 422,
            "unknown_config_version")  # fmt: skip
    assert send(admin, "tenant-config-roll-back", "acme", 1, reason="worse") == 302
    world.settle(tenant)
    now = current_config(tenant.pk)
    assert now is not None and (now.version, now.restores and now.restores.version) == (before.version + 1, 1)
    assert "the routes of version 1: worse" in page(admin, "tenant-config", "acme")
    again = ops.post(
        "tenants/acme/runtime-configs/roll-back", {"version": before.version, "reason": "better after all"}
    )
    assert (again.status_code, again.json()["version"]) == (201, now.version + 1)


def _older(client: Client) -> str:
    from django.urls import reverse

    return client.get(reverse("tenant-config", args=["acme"]), {"version": "1"}).content.decode()


def test_the_page_says_so_when_data_planes_cannot_be_heard(admin: Client, world: World) -> None:
    world.sign_up("acme", "choice")
    world.aws.fault("server_error", operation="Query", times=9)
    told = page(admin, "tenant-routes", "acme")
    assert "The table in which data planes tell does not answer" in told
    assert "Nothing has been published for this tenant yet" in told
