"""Turns for calls that change AWS: the bucket's arithmetic, several workers at one bucket, and a storm."""

import threading
import time

import pytest
from django.conf import settings
from django.db import connections

from core.clock import real_now
from provisioning.models import ManagedResource
from provisioning.models.call_buckets import CallBucket
from provisioning.reconciler import tokens
from provisioning.reconciler.tokens import Rate, share
from provisioning.services.converge import converge_tenant
from provisioning.states import Phase

TWO = Rate(per_second=2, burst=10)
CREATES = ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "CreateInferenceComponent")


@pytest.mark.parametrize(
    ("left", "elapsed", "wanted", "granted", "after"),
    [
        (10, 0, 3, 3, 7),
        (10, 0, 40, 10, 0),
        (0, 0, 1, 0, 0),
        (0, 0.4, 1, 0, 0.8),
        (0, 0.5, 1, 1, 0),
        (0.5, 1, 4, 2, 0.5),
        (3, 3600, 40, 10, 0),  # never more than the burst
        (3, -5, 2, 2, 1),  # a clock that was set back
    ],
)
def test_what_a_bucket_gives(left, elapsed, wanted, granted, after):
    assert share(left, elapsed, TWO, wanted) == (granted, pytest.approx(after))


def test_workers_at_one_bucket_get_no_more_than_it_holds(real_world):
    taken, at = [], real_now()
    gate = threading.Barrier(6)

    def work() -> None:
        gate.wait()
        for _ in range(5):
            taken.append(tokens._take("123456789012", "us-west-2", "create endpoint", wanted=1, rate=TWO, at=at))
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) <= TWO.burst
    assert sum(taken) + CallBucket.objects.get().tokens == TWO.burst


def test_without_a_token_a_row_waits_and_has_not_failed(world, monkeypatch):
    slow = settings.ENV.model_copy(update={"aws_changes_per_second": 0.01, "aws_changes_burst": 1})
    monkeypatch.setattr(settings, "ENV", slow)
    one, two = world.sign_up("one", "premium"), world.sign_up("two", "premium")
    for tenant in (one, two):
        converge_tenant(tenant_id=tenant.pk)
    report = world.run_pass()
    assert world.counts() == {"model": 1, "endpoint_config": 1}
    assert (report.claimed, report.changes, report.recorded) == (8, 2, 8)
    waiting = ManagedResource.objects.get(tenant=two, kind="model")
    assert (waiting.phase, waiting.failures, waiting.stuck_reason, waiting.detail) == (Phase.WISHED, 0, "", "")
    assert 90 < (waiting.look_again_at - real_now()).total_seconds() <= 100


def test_a_throttled_storm_of_twenty_four_resources_converges_within_the_bucket(world, monkeypatch):
    rate = Rate(per_second=12, burst=2)
    within = {"aws_changes_per_second": rate.per_second, "aws_changes_burst": rate.burst}
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update=within))
    for number in range(6):
        converge_tenant(tenant_id=world.sign_up(f"storm-{number}", "premium").pk)
    throttled = dict.fromkeys(CREATES, 3)
    for operation, times in throttled.items():
        world.aws.fault("throttle", operation=operation, times=times)
    began = time.monotonic()
    while any(row.phase != Phase.READY for row in world.rows()):
        world.run_pass()
        calls = world.aws.calls()
        allowed = rate.burst + rate.per_second * (time.monotonic() - began)
        assert all(calls.get(name, 0) - throttled[name] <= allowed for name in CREATES), calls
        assert not ManagedResource.objects.exclude(stuck_reason="").exists()
        assert time.monotonic() - began < 60, "the storm is over and something still waits"
    assert world.counts() == {"model": 6, "endpoint_config": 6, "endpoint": 6, "inference_component": 6}
    assert {name: world.calls(name) - throttled[name] for name in CREATES} == dict.fromkeys(CREATES, 6)
