"""Example C: what a tenant with a line of its own keeps while a neighbour floods the pool.

Shown: the flood is refused at the neighbour's own limits, nothing of it is counted against the other tenant or opens
its breakers, and a pool that fails leaves the dedicated endpoint answering. The local AWS has no accelerator that could
be slow, so times of answers are not shown by this.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from aws import connect
from dataplane.errors import LimitExceeded, ModelUnavailable
from provisioning import queries
from provisioning.runtime_config import routed_names
from tenants.models import Tenant
from tests.integration.provisioning.changing import served_tenant
from tests.integration.provisioning.test_lines import active, base_lines, kit_of
from tests.integration.provisioning.world import World


def document_of(tenant: Tenant) -> dict[str, Any]:
    config = queries.current_config(tenant.pk)
    assert config is not None
    return config.document


def test_the_guarantee_of_premium_holds_while_a_pooled_neighbour_floods(world: World) -> None:
    loud, premium = served_tenant(world), active(world, "premium-choice", "quiet")
    assert base_lines(premium) == ["dedicated", "strong-api"]
    shared = set(routed_names(document_of(loud))) & set(routed_names(document_of(premium)))
    assert not shared, "nothing that answers one answers the other"
    flood, quiet = kit_of(loud, datetime.now(UTC)), kit_of(premium)

    def push() -> str:
        try:
            return flood.complete("support", "w " * 60_000, 50).line
        except LimitExceeded:
            return "refused"

    def ask() -> str:
        return quiet.complete("base", "hello", 5).line

    with ThreadPoolExecutor(8) as threads:
        pushed, asked = [threads.submit(push) for _ in range(40)], [threads.submit(ask) for _ in range(20)]
        outcome, answered = Counter(each.result() for each in pushed), {each.result() for each in asked}
    # A minute of Basic has a million tokens, and each of these uses 60,000.
    assert set(outcome) == {"pooled", "refused"} and outcome["pooled"] <= 16, outcome
    assert answered == {"dedicated"}

    [target] = document_of(loud)["routes"]["support"]["targets"]
    world.aws.fault("throttle", operation="InvokeEndpoint", name_contains=target["component"], times=100)
    with pytest.raises(ModelUnavailable):
        kit_of(loud).complete("support", "hello", 5)
    assert {ask() for _ in range(5)} == {"dedicated"}
    quiet.flush()
    assert connect.limit_store().degrades(premium.public_id) == []
    assert connect.limit_store().breakers(premium.public_id) == []
