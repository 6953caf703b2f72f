"""Lines of Bedrock beside hosted ones: allowances, choices, rules before publishing, breakers, and going back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings

from aws import connect
from dataplane import Kit
from dataplane.config import tenant_key
from provisioning import queries
from provisioning.models import ConfigRefusal, PublishedConfig, ServingLine, TierRoute
from provisioning.services.catalogue import TIERS, ApiSettings, PolicySettings, define_api_line, route_tier
from provisioning.services.config_history import CannotRestore, UnknownConfig, roll_back_config
from provisioning.services.line_decisions import (
    NoChoice,
    NotGated,
    UnknownLine,
    UnknownTarget,
    accept_eula,
    choose_lines,
    reset_breaker,
    trip_breaker,
)
from provisioning.services.preflight import PreflightFailed, refuse_unfit
from provisioning.services.publishing import ConfigRefused
from provisioning.services.tier_changes import plan_change
from tenants.models import Tenant
from tenants.queries import current_tier_version
from tenants.services.tiers import define_tier
from tenants.states import TenantState
from tests.factories import TESTER
from tests.integration.provisioning.world import World

LICENCE = "https://example.com/licence"


def kit_of(tenant: Tenant, at: datetime | None = None) -> Kit:
    key = tenant_key(settings.CONFIG_SIGNING_KEY, tenant.public_id)
    clock = (lambda: at.timestamp()) if at else (lambda: datetime.now(UTC).timestamp())
    return Kit(
        tenant.public_id,
        key,
        settings.ENV.config_table,
        clock,
        config_ttl_seconds=0,
        limits_table=settings.ENV.limits_table,
    )


def base_lines(tenant: Tenant) -> list[str]:
    config = queries.current_config(tenant.pk)
    assert config is not None
    return [target["line"] for target in config.document["routes"]["base"]["targets"]]


@pytest.fixture
def apis(world: World) -> World:
    """With a tier whose tenants choose among two lines of Bedrock: what a line is hosted on does not matter there."""
    limits = next(limits for key, _, limits, _ in TIERS if key == "advanced-api")
    version = define_tier(key="choice", name="Choice", position=9, limits=limits)
    lines = [ServingLine.objects.get(name=name) for name in ("cheap-api", "strong-api")]
    route_tier(tier_version_id=version.pk, lines=lines, policy=PolicySettings(tenant_chooses=True))
    return world


def active(world: World, tier: str, slug: str = "acme", **details: Any) -> Tenant:
    tenant = world.sign_up(slug, tier, **details)
    world.settle(tenant)
    return tenant


def allow(line: str, tokens: int) -> None:
    TierRoute.objects.filter(line__name=line, tier_version__tier__key="advanced-api").update(allowance_tokens=tokens)


def gate(line: str) -> None:
    ServingLine.objects.filter(name=line).update(eula_url=LICENCE)


def test_a_tenant_of_apis_has_a_profile_per_model_with_our_tags_and_nothing_hosted(world: World) -> None:
    tenant = active(world, "advanced-api")
    assert tenant.state == TenantState.ACTIVE
    seen = [one for one in world.hosted() if one.tags["cp:tenant"] == tenant.public_id]
    assert {one.kind for one in seen} == {"inference_profile"} and len(seen) == 2
    assert {one.tags["cp:kind"] for one in seen} == {"inference_profile"}
    assert base_lines(tenant) == ["strong-api", "cheap-api"]


def test_example_b_the_strong_line_until_its_allowance_is_used_then_the_cheap_one_until_the_month_is_over(
    world: World,
) -> None:
    allow("strong-api", 300)
    tenant = active(world, "advanced-api")
    june, july = datetime(2026, 6, 30, 23, 50, tzinfo=UTC), datetime(2026, 7, 1, 0, 5, tzinfo=UTC)
    kit = kit_of(tenant, june)
    lines = [kit.complete("base", "w " * 40, 40).line for _ in range(6)]
    assert lines[0] == "strong-api" and lines[-1] == "cheap-api"
    assert lines == sorted(lines, reverse=True), "never back within the month"
    assert kit_of(tenant, july).complete("base", "w " * 40, 40).line == "strong-api"
    kit.flush()
    [degrade] = connect.limit_store().degrades(tenant.public_id)
    assert (degrade.line, degrade.to, degrade.reason) == ("strong-api", "cheap-api", "limit_exceeded")
    assert degrade.times == lines.count("cheap-api")


def test_example_c_a_tenant_takes_either_line_or_both_and_each_switch_is_a_publish(world: World) -> None:
    tenant = active(world, "premium-choice")
    assert base_lines(tenant) == ["dedicated", "strong-api"]
    changes = world.aws.calls()
    answered = []
    for chosen in (["strong-api"], ["dedicated"], ["strong-api", "dedicated"]):
        choose_lines(tenant_id=tenant.pk, line_names=chosen, reason="", actor=TESTER)
        world.settle(tenant)
        assert base_lines(tenant) == chosen
        answered.append(kit_of(tenant).complete("base", "hello", 5).line)
    assert answered == ["strong-api", "dedicated", "strong-api"]
    created = [name for name in world.aws.calls() if name.startswith(("Create", "Delete", "Update"))]
    assert {name: world.aws.calls()[name] - changes.get(name, 0) for name in created if "Item" not in name} == {
        name: 0 for name in created if "Item" not in name
    }


def test_only_lines_of_the_tier_can_be_chosen_and_only_where_it_leaves_a_choice(apis: World) -> None:
    free, fixed = active(apis, "choice"), active(apis, "advanced-api", "fixed")
    with pytest.raises(UnknownLine):
        choose_lines(tenant_id=free.pk, line_names=["pooled"], reason="", actor=TESTER)
    with pytest.raises(UnknownLine):
        choose_lines(tenant_id=free.pk, line_names=[], reason="", actor=TESTER)
    with pytest.raises(NoChoice):
        choose_lines(tenant_id=fixed.pk, line_names=["cheap-api"], reason="", actor=TESTER)
    assert base_lines(free) == ["cheap-api", "strong-api"]


def test_a_gated_model_is_published_once_the_licence_is_accepted_and_what_was_published_stays_until_then(
    apis: World,
) -> None:
    tenant = active(apis, "choice")
    before = queries.current_config(tenant.pk)
    gate("strong-api")
    choose_lines(tenant_id=tenant.pk, line_names=["strong-api"], reason="", actor=TESTER)
    apis.settle(tenant)
    assert queries.current_config(tenant.pk) == before
    refusal = ConfigRefusal.objects.get(tenant=tenant)
    assert [each["code"] for each in refusal.violations] == ["eula_not_accepted"] and refusal.what_to_do
    assert kit_of(tenant).complete("base", "hello", 5).line == "cheap-api"

    accept_eula(tenant_id=tenant.pk, line_name="strong-api", accepted_by="Ada", actor=TESTER)
    accept_eula(tenant_id=tenant.pk, line_name="strong-api", accepted_by="Ada", actor=TESTER)
    apis.settle(tenant)
    assert base_lines(tenant) == ["strong-api"]
    assert not ConfigRefusal.objects.exists()
    with pytest.raises(NotGated):
        accept_eula(tenant_id=tenant.pk, line_name="cheap-api", accepted_by="Ada", actor=TESTER)


def test_a_tenant_that_must_stay_in_one_region_gets_no_profile_that_leads_to_others(apis: World) -> None:
    home = [settings.ENV.aws_region]
    tenant = active(apis, "choice", allowed_regions=home)
    before = queries.current_config(tenant.pk)
    line = ServingLine.objects.get(name="strong-api")
    ServingLine.objects.filter(pk=line.pk).update(model_id=f"us.{line.model_id}")
    apis.settle(tenant)
    [refused] = ConfigRefusal.objects.get(tenant=tenant).violations
    assert refused["code"] == "outside_residency" and "us-east-1" in refused["detail"]
    assert queries.current_config(tenant.pk) == before
    choose_lines(tenant_id=tenant.pk, line_names=["cheap-api"], reason="", actor=TESTER)
    apis.settle(tenant)
    assert base_lines(tenant) == ["cheap-api"] and not ConfigRefusal.objects.exists()

    calls = apis.aws.calls()
    with pytest.raises(PreflightFailed, match="may answer in us-east-1"):
        refuse_unfit(tier_key="choice", allowed_regions=home)
    other = apis.sign_up("other", "basic", allowed_regions=home)
    plan = plan_change(tenant_id=other.pk, tier_version_id=current_tier_version("choice").pk)
    assert "region_outside_residency" in {obstacle.code for obstacle in plan.obstacles}
    assert apis.aws.calls().get("CreateInferenceProfile") == calls.get("CreateInferenceProfile")


def test_a_breaker_is_tripped_and_reset_by_the_published_config(apis: World) -> None:
    tenant = active(apis, "choice")
    trip_breaker(tenant_id=tenant.pk, route="base", line_name="cheap-api", reason="maintenance", actor=TESTER)
    apis.settle(tenant)
    kit = kit_of(tenant)
    assert kit.complete("base", "hello", 5).line == "strong-api"
    kit.flush()
    [seen] = connect.limit_store().breakers(tenant.public_id)
    assert (seen.route, seen.line, seen.state) == ("base", "cheap-api", "open")
    reset_breaker(tenant_id=tenant.pk, route="base", line_name="cheap-api", reason="", actor=TESTER)
    apis.settle(tenant)
    assert kit.complete("base", "hello", 5).line == "cheap-api"
    with pytest.raises(UnknownTarget):
        trip_breaker(tenant_id=tenant.pk, route="base", line_name="dedicated", reason="", actor=TESTER)


def test_going_back_is_a_new_version_that_stays_until_something_else_is_wished_for(apis: World) -> None:
    tenant = active(apis, "choice")
    first = queries.current_config(tenant.pk)
    assert first is not None
    choose_lines(tenant_id=tenant.pk, line_names=["strong-api"], reason="", actor=TESTER)
    apis.settle(tenant)
    restored = roll_back_config(tenant_id=tenant.pk, to_version=first.version, reason="worse", actor=TESTER)
    apis.settle(tenant)
    current = queries.current_config(tenant.pk)
    assert current == restored and restored.restores == first and current.version == first.version + 2
    assert base_lines(tenant) == ["cheap-api", "strong-api"]
    choose_lines(tenant_id=tenant.pk, line_names=["strong-api"], reason="again", actor=TESTER)
    apis.settle(tenant)
    assert base_lines(tenant) == ["cheap-api", "strong-api"], "the same wish as the one that was undone"
    choose_lines(tenant_id=tenant.pk, line_names=["cheap-api"], reason="", actor=TESTER)
    apis.settle(tenant)
    assert base_lines(tenant) == ["cheap-api"]


def test_going_back_is_refused_where_the_rules_have_changed_or_there_is_nothing_to_go_back_to(apis: World) -> None:
    tenant = active(apis, "choice")
    choose_lines(tenant_id=tenant.pk, line_names=["cheap-api"], reason="", actor=TESTER)
    apis.settle(tenant)
    gate("strong-api")
    count = PublishedConfig.objects.count()
    with pytest.raises(ConfigRefused):
        roll_back_config(tenant_id=tenant.pk, to_version=1, reason="", actor=TESTER)
    with pytest.raises(UnknownConfig):
        roll_back_config(tenant_id=tenant.pk, to_version=99, reason="", actor=TESTER)
    assert PublishedConfig.objects.count() == count


def test_going_back_to_another_adapter_version_is_the_adapters_own_roll_back(world: World) -> None:
    from tests.integration.provisioning.changing import served_tenant

    tenant = served_tenant(world)
    with pytest.raises(CannotRestore, match="other adapter versions"):
        roll_back_config(tenant_id=tenant.pk, to_version=1, reason="", actor=TESTER)


def test_a_model_that_bedrock_does_not_have_is_told_to_the_operator(world: World) -> None:
    made_up = ApiSettings(
        "anthropic.made-up-v1:0", *[ServingLine.objects.get(name="cheap-api").usd_per_million_input] * 2
    )
    line = define_api_line(name="made-up", region=settings.ENV.aws_region, api=made_up)
    TierRoute.objects.filter(tier_version__tier__key="advanced-api", position=1).update(line=line)
    tenant = active(world, "advanced-api")
    assert tenant.state == TenantState.PROVISIONING_FAILED and "does not exist" in tenant.state_reason


def test_offboarding_leaves_no_profile(world: World) -> None:
    from tenants.services.offboarding import begin_offboarding

    tenant = active(world, "advanced-api")
    begin_offboarding(tenant_id=tenant.pk, reason="done", actor=TESTER)
    world.settle(tenant)
    assert [one for one in world.hosted() if one.tags["cp:tenant"] == tenant.public_id] == []
