"""A release in steps: shares in the config, requests counted by version, alarms that roll it back, and what served."""

import os
from datetime import timedelta

import boto3
import pytest
from django.db import DatabaseError, transaction

from core import clock
from dataplane.config import tenant_key
from dataplane.emit import Emitter
from dataplane.kit import Kit
from events.models import Event
from models_registry.canary import Plan
from models_registry.models import Canary, CanaryInterval, Release
from models_registry.queries import canary_at, canary_timeline, served_at, timeline
from models_registry.services.adapters import VersionInUse, archive_version, create_adapter
from models_registry.services.canaries import NoCanary, NotPaused, abort_canary, go_on, pause_canary
from models_registry.services.releases import (
    NothingToCompareWith,
    PlanInvalid,
    release_version,
    roll_back,
)
from provisioning import queries
from provisioning.models import ManagedResource, Operation
from provisioning.runtime_config import targets_of
from provisioning.services.canary_watch import watch_canaries
from provisioning.services.converge import converge_tenant
from provisioning.states import OperationState, Phase
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tests.factories import TESTER
from tests.integration.models_registry.uploading import upload

PLAN = Plan(steps=(10, 50), bake_minutes=10, min_requests=20)


@pytest.fixture
def live(world):
    """An active tenant whose adapter serves version 1; version 2 is ready."""
    tenant = world.sign_up("acme", "advanced")
    world.settle(tenant)
    profile = next(line.profile for line in queries.lines_of(tenant.pk) if line.profile is not None)
    base = profile.foundation_model_id
    adapter = create_adapter(tenant_id=tenant.pk, name="support", foundation_model_id=base, actor=TESTER)
    first, second = upload(adapter, "ok-r8-qv"), upload(adapter, "ok-r16-all")
    release_version(version_id=first.pk, reason="", actor=TESTER)
    world.settle(tenant)
    return tenant, adapter, first, second


def begin(world, tenant, version, plan=PLAN) -> Release:
    """Release in steps, up to where the first share is published."""
    made = release_version(version_id=version.pk, plan=plan, reason="try it", actor=TESTER)
    world.settle(tenant)
    return made


def shares(tenant) -> list[tuple[int, int | None]]:
    """The route's targets as (version number, weight), in order, of the first line."""
    told = [target for name, _, target in targets_of(queries.current_config(tenant.pk).document) if name == "support"]
    return [(target.version_number, target.weight) for target in told if target.line == told[0].line]


def count(world, tenant, version, *, answered=0, failed=0, milliseconds=100, slow=0) -> None:
    """What a kit puts for the minute that has just begun; `slow` of the answers took ten times as long."""
    config = queries.current_config(tenant.pk).document
    line = next(target.line for _, _, target in targets_of(config) if target.adapter_version == version.public_id)
    kit = Emitter(client=boto3.client("cloudwatch"), tenant=tenant.public_id)
    where = {"namespace": config["metrics_namespace"], "adapter_version": version.public_id, "line": line}
    at = clock.now().timestamp()
    for number in range(answered):
        took = 10 * milliseconds if number < slow else milliseconds
        kit.record(**where, at=at, input_tokens=1, output_tokens=1, busy_milliseconds=took)
    for _ in range(failed):
        kit.record_error(**where, at=at)
    kit.flush()


def pass_minutes(world, minutes: float) -> None:
    world.aws.advance(timedelta(minutes=minutes).total_seconds())


def test_a_release_in_steps_takes_every_share_and_goes_live(world, live):
    tenant, adapter, first, second = live
    made = begin(world, tenant, second)
    assert shares(tenant) == [(2, 10), (1, None)]
    made.refresh_from_db()
    assert (made.state, made.live_at) == ("pending", None)
    for percent, following in [(10, [(2, 50), (1, None)]), (50, [(2, None)])]:
        assert canary_at(adapter.pk, clock.now()).percent == percent
        assert served_at(adapter.pk, clock.now()).version == first
        pass_minutes(world, 2)
        count(world, tenant, first, answered=200)
        count(world, tenant, second, answered=30)
        assert watch_canaries() == 0  # the share has not baked
        pass_minutes(world, 9)
        assert watch_canaries() == 1
        converge_tenant(tenant_id=tenant.pk)
        assert shares(tenant) == following
    made.refresh_from_db()
    assert made.state == "live"
    assert served_at(adapter.pk, clock.now()).version == second
    assert canary_at(adapter.pk, clock.now()) is None
    assert [(each.version.number, each.percent) for each in canary_timeline(adapter.pk)] == [(2, 50), (2, 10)]
    last_share, new = canary_timeline(adapter.pk)[0], timeline(adapter.pk)[0]
    assert last_share.during.upper == new.during.lower  # no moment without, none with both
    told = Event.objects.filter(name="adapter.canary_advanced").order_by("pk")
    assert [each.after["percent"] for each in told] == [50, 100]
    assert told[0].data["evidence"]["new"]["requests"] == 30
    operation = Operation.objects.get(release=made)
    titles = [step.title for step in operation.steps.all() if "%" in step.title]
    assert titles == ["Watch it answer 10 % of the requests", "Watch it answer 50 % of the requests"]
    assert operation.state == OperationState.SUCCEEDED


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ({"answered": 15, "failed": 15}, "canary_errors"),
        ({"answered": 30, "milliseconds": 400}, "canary_latency"),
        # One in six is slow, and still the mean (50 ms) is half the old version's: nine in ten is what people feel.
        ({"answered": 30, "milliseconds": 20, "slow": 5}, "canary_latency"),
    ],
)
def test_an_alarm_rolls_it_back_with_the_evidence(world, live, seen, code):
    tenant, adapter, first, second = live
    made = begin(world, tenant, second)
    pass_minutes(world, 2)
    count(world, tenant, first, answered=200)
    count(world, tenant, second, **seen)
    pause_canary(release_id=made.pk, reason="lunch", actor=TESTER)  # the alarms watch on
    assert watch_canaries() == 1
    made.refresh_from_db()
    assert (made.state, made.refusal_code) == ("refused", code)
    assert made.evidence["new"]["requests"] == 30 and made.evidence["old"]["requests"] == 200
    converge_tenant(tenant_id=tenant.pk)
    assert shares(tenant) == [(1, None)]
    assert canary_at(adapter.pk, clock.now()) is None
    world.settle(tenant)
    assert ManagedResource.objects.get(adapter_version=second).phase == Phase.GONE
    assert served_at(adapter.pk, clock.now()).version == first
    assert Operation.objects.get(release=made).state == OperationState.FAILED


def test_pause_go_on_and_abort(world, live):
    tenant, adapter, _, second = live
    made = begin(world, tenant, second)
    with pytest.raises(NotPaused):
        go_on(release_id=made.pk, actor=TESTER)
    pause_canary(release_id=made.pk, reason="lunch", actor=TESTER)
    pass_minutes(world, 30)
    assert watch_canaries() == 0
    assert Canary.objects.get(release=made).seen["code"] == "paused"
    go_on(release_id=made.pk, actor=TESTER)
    since = Canary.objects.get(release=made).step_since
    assert clock.now() - since < timedelta(minutes=1)  # the share bakes anew
    go_on(release_id=made.pk, skip_bake=True, reason="too few requests to judge by", actor=TESTER)
    converge_tenant(tenant_id=tenant.pk)
    assert shares(tenant) == [(2, 50), (1, None)]
    abort_canary(release_id=made.pk, reason="wrong tone", actor=TESTER)
    converge_tenant(tenant_id=tenant.pk)
    made.refresh_from_db()
    assert (made.state, made.refusal_code) == ("refused", "canary_aborted")
    assert shares(tenant) == [(1, None)]
    for action in (pause_canary, abort_canary):
        with pytest.raises(NoCanary):
            action(release_id=made.pk, reason="", actor=TESTER)
    assert CanaryInterval.objects.filter(adapter=adapter, during__endswith__isnull=True).count() == 0


def test_a_suspension_ends_the_share_and_its_time_begins_anew_after_it(world, live):
    tenant, adapter, _, second = live
    made = begin(world, tenant, second)
    suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
    world.settle(tenant)
    assert canary_at(adapter.pk, clock.now()) is None
    pass_minutes(world, 60)
    assert watch_canaries() == 0
    resume_tenant(tenant_id=tenant.pk, actor=TESTER)
    world.settle(tenant)
    assert canary_at(adapter.pk, clock.now()).percent == 10
    assert clock.now() - Canary.objects.get(release=made).step_since < timedelta(minutes=5)


def test_the_newest_wish_wins_over_a_canary(world, live):
    tenant, adapter, first, second = live
    made = begin(world, tenant, second)
    for version in (first, second):
        with pytest.raises(VersionInUse):
            archive_version(version_id=version.pk, actor=TESTER)
    back = roll_back(adapter_id=adapter.pk, reason="worse", actor=TESTER)
    converge_tenant(tenant_id=tenant.pk)
    made.refresh_from_db()
    back.refresh_from_db()
    assert (made.state, back.state, back.version) == ("superseded", "live", first)
    assert shares(tenant) == [(1, None)]
    assert canary_at(adapter.pk, clock.now()) is None


def test_a_refused_wish_does_not_bring_an_older_one_back(world, live):
    tenant, adapter, _, second = live
    made = begin(world, tenant, second)
    third = upload(adapter, "ok-r8-qv", notes="the third")
    world.aws.post("inference", {"behaviour": "load_nothing", "name_contains": "adapter"})
    newest = release_version(version_id=third.pk, reason="", actor=TESTER)
    world.settle(tenant)
    newest.refresh_from_db()
    made.refresh_from_db()
    assert (newest.state, made.state) == ("refused", "superseded")
    assert shares(tenant) == [(1, None)]


def test_what_makes_no_plan_is_refused_and_changes_nothing(world, live):
    _, adapter, _, second = live
    with pytest.raises(PlanInvalid) as refused:
        release_version(version_id=second.pk, plan=Plan(steps=(50, 10)), reason="", actor=TESTER)
    assert [error.pointer for error in refused.value.errors] == ["/plan/steps"]
    other = create_adapter(
        tenant_id=adapter.tenant_id,
        name="other",
        foundation_model_id=adapter.foundation_model_id,
        actor=TESTER,
    )
    with pytest.raises(NothingToCompareWith):
        release_version(version_id=upload(other, "ok-r8-qv").pk, plan=PLAN, reason="", actor=TESTER)
    assert Release.objects.filter(adapter__tenant_id=adapter.tenant_id).count() == 1
    made = release_version(version_id=second.pk, plan=PLAN, reason="", actor=TESTER)
    with pytest.raises(DatabaseError, match="final"), transaction.atomic():
        Canary.objects.filter(release=made).update(steps=[99])


def test_the_kit_shares_its_requests_and_answers_what_the_canary_does_not(world, live):
    tenant, _, _, second = live
    begin(world, tenant, second, Plan(steps=(50,), bake_minutes=10, min_requests=5, max_latency_ratio=100))
    key = tenant_key(os.environ["CP_CONFIG_SIGNING_KEY"], tenant.public_id)
    pass_minutes(world, 2)
    at = clock.now().timestamp()
    kit = Kit(tenant.public_id, key, os.environ["CP_CONFIG_TABLE"], clock=lambda: at, config_ttl_seconds=0)
    answered = [kit.complete("support", "hello there", 4).version_number for _ in range(60)]
    assert 10 <= answered.count(2) <= 50  # a share of half misses this once in 10^7 runs
    component = ManagedResource.objects.living().get(adapter_version=second).name
    world.aws.fault("server_error", operation="InvokeEndpoint", name_contains=component, times=20)
    failed = [kit.complete("support", "hello there", 4).version_number for _ in range(30)]
    assert set(failed) == {1}  # nobody's request is lost to it
    kit.close()
    assert watch_canaries() == 1
    made = Release.objects.get(version=second)
    assert (made.state, made.refusal_code) == ("refused", "canary_errors")
    assert made.evidence["new"]["errors"] >= 5
