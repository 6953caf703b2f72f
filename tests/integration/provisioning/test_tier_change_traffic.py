"""The tenant keeps answering throughout: a kit sends a request every 100 ms while its tier changes.

From account to account, and with the mirror of its adapters, is `test_account_moves`.
"""

import os
import threading
import time
from datetime import timedelta

import pytest

from dataplane.config import tenant_key
from dataplane.kit import Kit
from provisioning.models import TierChange
from provisioning.states import ChangeState
from tests.integration.provisioning.changing import change_to, end_draining, served_tenant

EVERY_SECONDS = 0.1
# The kit's own refresh, made short; what traffic left stays for a few of them.
TTL_SECONDS = 0.3


class Traffic:
    """Requests at a steady pace in a thread; what failed, and which line answered each time."""

    def __init__(self, tenant) -> None:
        key = tenant_key(os.environ["CP_CONFIG_SIGNING_KEY"], tenant.public_id)
        self.kit = Kit(tenant.public_id, key, os.environ["CP_CONFIG_TABLE"], config_ttl_seconds=TTL_SECONDS)
        self.failures: list[BaseException] = []
        self.lines: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.kit.close()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            try:
                self.lines.append(self.kit.complete("support", "hello there", 4).line)
            except Exception as error:
                self.failures.append(error)


def carry_through(world, tenant) -> TierChange:
    """Step until the change has ended, with the old lines kept a little longer than a kit needs to notice."""
    drained_at = None
    for _ in range(120):
        world.step(tenant)
        change = TierChange.objects.filter(tenant=tenant).latest("pk")
        if change.state in (ChangeState.DONE, ChangeState.RETURNED):
            return change
        if change.drain_until is not None and drained_at is None:
            drained_at = time.monotonic() + 5 * TTL_SECONDS
        if drained_at is not None and time.monotonic() >= drained_at:
            end_draining()
    raise AssertionError(f"the change is {change.state}: {change.detail}")


@pytest.mark.long
def test_no_request_fails_on_the_way_there_back_and_when_it_goes_wrong(world):
    tenant = served_tenant(world)
    with Traffic(tenant) as traffic:
        change_to(tenant, "premium")
        assert carry_through(world, tenant).state == ChangeState.DONE
        world.aws.fault("fail", operation="CreateInferenceComponent", name_contains="adapter-acme", times=1)
        change_to(tenant, "basic")
        assert carry_through(world, tenant).state == ChangeState.RETURNED
        change_to(tenant, "basic")
        assert carry_through(world, tenant).state == ChangeState.DONE
        time.sleep(timedelta(seconds=4 * TTL_SECONDS).total_seconds())
    assert traffic.failures == []
    turns = [line for line, before in zip(traffic.lines, [None, *traffic.lines], strict=False) if line != before]
    assert turns == ["pooled", "dedicated", "pooled"]
    assert len(traffic.lines) >= 20
