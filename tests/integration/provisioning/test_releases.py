"""An adapter serves: loaded beside what serves now, proved, routed; rolled back with one publish while it is warm."""

import hashlib
import hmac
import os
from datetime import timedelta

import pytest

from aws import connect
from core import clock
from dataplane.config import parse
from models_registry.models import Release
from models_registry.queries import served_at, timeline
from models_registry.services.adapters import create_adapter
from models_registry.services.releases import release_version, roll_back, withdraw
from models_registry.states import ReleaseState
from provisioning import queries
from provisioning.models import ManagedResource, Operation, PublishedConfig
from provisioning.services.converge import converge_tenant
from provisioning.services.inventory import take_inventory
from provisioning.services.publishing import publish
from provisioning.states import OperationState, Phase
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tenants.services.offboarding import begin_offboarding
from tests.factories import TESTER
from tests.integration.models_registry.uploading import upload


@pytest.fixture
def served(world):
    """An active advanced tenant with two ready versions of one adapter."""
    tenant = world.sign_up("acme", "advanced")
    world.settle(tenant)
    base = queries.lines_of(tenant.pk)[0].profile.foundation_model_id
    adapter = create_adapter(tenant_id=tenant.pk, name="support", foundation_model_id=base, actor=TESTER)
    first, second = upload(adapter, "ok-r8-qv"), upload(adapter, "ok-r16-all")
    return tenant, adapter, first, second


def route(tenant):
    found = queries.current_config(tenant.pk).document["routes"].get("support")
    return found and found["targets"][0]


def release(world, tenant, version):
    found = release_version(version_id=version.pk, reason="", actor=TESTER)
    world.settle(tenant)
    found.refresh_from_db()
    return found


def test_a_release_goes_live_once_it_is_proved(world, served):
    tenant, adapter, first, _ = served
    world.take_looks(2)
    assert route(tenant) is None
    found = release(world, tenant, first)
    assert found.state == ReleaseState.LIVE
    assert route(tenant)["adapter_version"] == first.public_id
    component = ManagedResource.objects.get(adapter_version=first)
    assert component.creating_sightings >= 2 and component.probed_at is not None
    assert component.name == route(tenant)["component"]
    operation = Operation.objects.get(release=found)
    assert operation.state == OperationState.SUCCEEDED
    assert [step.state for step in operation.steps.all()] == ["done"] * 3
    assert served_at(adapter.pk, clock.now()).version == first


def test_the_old_version_serves_until_the_new_one_does(world, served):
    tenant, _, first, second = served
    release(world, tenant, first)
    release_version(version_id=second.pk, reason="", actor=TESTER)
    routed = []
    for _ in range(12):
        world.step(tenant)
        routed.append(route(tenant)["version_number"])
    assert routed == sorted(routed)
    assert (routed[0], routed[-1]) == (1, 2)


def test_rolling_back_to_a_warm_version_is_one_publish(world, served):
    tenant, adapter, first, second = served
    release(world, tenant, first)
    release(world, tenant, second)
    before = world.aws.calls()
    versions = PublishedConfig.objects.filter(tenant=tenant).count()
    found = roll_back(adapter_id=adapter.pk, reason="worse", actor=TESTER)
    converge_tenant(tenant_id=tenant.pk)
    found.refresh_from_db()
    assert found.state == ReleaseState.LIVE
    assert route(tenant)["adapter_version"] == first.public_id
    assert PublishedConfig.objects.filter(tenant=tenant).count() == versions + 1
    after = world.aws.calls()
    assert {name for name in after if after[name] != before.get(name, 0)} & {
        "CreateInferenceComponent", "InvokeEndpoint", "DeleteInferenceComponent",
    } == set()  # fmt: skip
    assert [interval.version.number for interval in timeline(adapter.pk)] == [1, 2, 1]


def test_a_warm_version_is_let_go_after_its_window(world, served):
    tenant, _, first, second = served
    release(world, tenant, first)
    release(world, tenant, second)
    assert world.row(adapter_version=first).phase == Phase.READY
    world.aws.advance(timedelta(hours=25).total_seconds())
    world.settle(tenant)
    assert ManagedResource.objects.get(adapter_version=first).phase == Phase.GONE
    assert world.row(adapter_version=second).phase == Phase.READY


@pytest.mark.parametrize(("behaviour", "code"), [("load_nothing", "not_loaded"), ("fall_back_to_base", "no_effect")])
def test_an_adapter_that_does_nothing_is_refused_and_the_live_one_serves_on(world, served, behaviour, code):
    tenant, _, first, second = served
    release(world, tenant, first)
    world.aws.post("inference", {"behaviour": behaviour, "name_contains": "adapter"})
    found = release(world, tenant, second)
    assert (found.state, found.refusal_code) == (ReleaseState.REFUSED, code)
    assert found.evidence
    assert route(tenant)["adapter_version"] == first.public_id
    assert ManagedResource.objects.get(adapter_version=second).phase == Phase.GONE
    operation = Operation.objects.get(release=found)
    assert operation.state == OperationState.FAILED and code in operation.detail


@pytest.mark.parametrize(
    "gap",
    [
        "while it is loaded",
        pytest.param("before the wish", marks=pytest.mark.long),
        pytest.param("when it is loaded", marks=pytest.mark.long),
    ],
)
def test_bytes_that_were_replaced_behind_the_gate_never_serve(world, served, gap):
    """AWS loads by the name alone, and another tenant's adapter is as different from the base as the right one."""
    tenant, _, first, second = served
    release(world, tenant, first)
    world.take_looks(2)
    store, key = connect.artifacts(), second.artifact_key
    other = store.open(first.artifact_key).read()

    def replace():
        store.put(key, other, sha256=first.sha256, if_absent=False)

    if gap == "before the wish":
        replace()
    release_version(version_id=second.pk, reason="", actor=TESTER)
    converge_tenant(tenant_id=tenant.pk)
    world.run_pass()
    if gap == "while it is loaded":
        replace()
    elif gap == "when it is loaded":
        while world.row(adapter_version=second).phase != Phase.READY:
            world.run_pass()
        store.delete(key)
    world.settle(tenant)
    found = Release.objects.get(version=second)
    assert (found.state, found.refusal_code) == (ReleaseState.REFUSED, "artifact_changed")
    assert found.evidence["admitted"]["sha256"] == second.sha256
    there = found.evidence["found"]
    assert there == (None if gap == "when it is loaded" else {"sha256": first.sha256, "bytes": len(other)})
    assert route(tenant)["adapter_version"] == first.public_id


def test_an_adapter_that_aws_cannot_load_is_refused_with_its_reason(world, served):
    tenant, _, first, second = served
    release(world, tenant, first)
    world.aws.fault("fail", operation="CreateInferenceComponent", name_contains="adapter", times=1)
    found = release(world, tenant, second)
    assert (found.state, found.refusal_code) == (ReleaseState.REFUSED, "component_failed")
    assert "ping health check" in found.refusal_detail
    assert found.evidence["request_id"] in Operation.objects.get(release=found).detail
    assert take_inventory().stuck == [] and tenant.pk not in queries.unsettled_tenant_ids()
    assert route(tenant)["adapter_version"] == first.public_id
    assert ManagedResource.objects.get(adapter_version=second).phase == Phase.GONE


def test_what_aws_could_not_load_once_can_be_released_again(world, served):
    tenant, _, first, second = served
    release(world, tenant, first)
    world.aws.fault("fail", operation="CreateInferenceComponent", name_contains="adapter", times=1)
    refused = release(world, tenant, second)
    operation = Operation.objects.get(release=refused)
    assert (operation.state, operation.is_retryable) == (OperationState.FAILED, False)
    again = release(world, tenant, second)
    assert (refused.state, again.state) == (ReleaseState.REFUSED, ReleaseState.LIVE)
    assert route(tenant)["adapter_version"] == second.public_id


def test_withdrawing_takes_the_route_and_then_the_component(world, served):
    tenant, adapter, first, _ = served
    release(world, tenant, first)
    withdraw(adapter_id=adapter.pk, reason="retired", actor=TESTER)
    world.settle(tenant)
    assert route(tenant) is None
    assert ManagedResource.objects.get(adapter_version=first).phase == Phase.GONE
    assert Release.objects.filter(adapter=adapter, state=ReleaseState.LIVE, kind="withdraw").exists()


def test_the_newest_wish_wins_while_another_is_on_its_way(world, served):
    tenant, _, first, second = served
    older = release_version(version_id=first.pk, reason="", actor=TESTER)
    for _ in range(3):
        world.step(tenant)
    newer = release(world, tenant, second)
    older.refresh_from_db()
    assert (older.state, newer.state) == (ReleaseState.SUPERSEDED, ReleaseState.LIVE)
    assert route(tenant)["version_number"] == 2
    assert ManagedResource.objects.get(adapter_version=first).phase == Phase.GONE


def test_what_dynamodb_holds_is_signed_for_this_tenant_alone(world, served):
    tenant, _, first, _ = served
    release(world, tenant, first)
    stored = connect.config_store().read_current(tenant.public_id)
    key = hmac.new(os.environ["CP_CONFIG_SIGNING_KEY"].encode(), tenant.public_id.encode(), hashlib.sha256).digest()
    config = parse(stored.document, stored.signature, tenant=tenant.public_id, key=key)
    assert config.version == stored.version == queries.current_config(tenant.pk).version
    assert stored.sha256 == hashlib.sha256(stored.document).hexdigest()


def test_a_vanished_live_component_is_made_again_and_routed(world, served):
    tenant, _, first, _ = served
    release(world, tenant, first)
    old = route(tenant)["component"]
    world.aws.fault("vanish", name_contains=old, times=1)
    world.settle(tenant)
    assert route(tenant)["component"] == world.row(adapter_version=first).name != old


def test_offboarding_with_adapters_leaves_only_what_others_must_erase(world, served):
    tenant, _, first, second = served
    release(world, tenant, first)
    release(world, tenant, second)
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    world.settle(tenant)
    assert world.counts() == {}
    assert {name.split()[0] for name in world.account.left_of(tenant.public_id)} == {"object"}
    assert not Release.objects.filter(adapter__tenant=tenant, state__in=["pending", "live"]).exists()


def test_the_inventory_is_clean_and_names_a_planted_orphan(world, served):
    tenant, _, first, _ = served
    release(world, tenant, first)
    assert take_inventory().is_clean
    row = world.row(adapter_version=first)
    ManagedResource.objects.filter(pk=row.pk).update(phase=Phase.GONE)
    assert [found.name for found in take_inventory().orphans] == [row.name]
    ManagedResource.objects.filter(pk=row.pk).update(phase=Phase.READY)
    world.aws.fault("vanish", name_contains=row.name, times=1)
    assert [found.name for found in take_inventory().missing] == [row.name]


def test_uptime_counts_serving_seconds_by_hour(world):
    tenant = world.sign_up("acme", "premium")
    world.settle(tenant)
    world.aws.advance(3 * 3600)
    from core.periods import Period

    row = ManagedResource.objects.get(kind="endpoint")
    period = Period(row.ready_at - timedelta(hours=1), row.ready_at + timedelta(hours=2))
    rows = [part for part in queries.uptime(tenant.pk, period) if part.kind == "endpoint"]
    assert round(sum(part.seconds for part in rows)) == 7200
    assert {part.line for part in rows} == {"dedicated"}
    assert all(part.seconds <= 3600 for part in rows)


def test_a_worker_with_an_old_picture_routes_nothing_for_a_tenant_that_leaves(world, served):
    tenant, _, _, _ = served
    begin_offboarding(tenant_id=tenant.pk, reason="goodbye", actor=TESTER)
    versions = PublishedConfig.objects.filter(tenant=tenant).count()
    late = publish(tenant_id=tenant.pk, status="active", region="us-west-2", routes={})
    assert (late.config, late.is_new) == (None, False)
    assert PublishedConfig.objects.filter(tenant=tenant).count() == versions


def test_nothing_served_while_the_tenant_was_suspended(world, served):
    tenant, adapter, first, _ = served
    release(world, tenant, first)
    suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
    world.settle(tenant)
    assert served_at(adapter.pk, clock.now()) is None
    resume_tenant(tenant_id=tenant.pk, actor=TESTER)
    world.settle(tenant)
    assert served_at(adapter.pk, clock.now()).version == first
    now, before = timeline(adapter.pk)
    assert now.during.upper is None and before.during.upper <= now.during.lower
    assert now.release == before.release
