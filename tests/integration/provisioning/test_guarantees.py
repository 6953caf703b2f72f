"""Example C: what a tenant with a line of its own keeps while neighbours flood what they share.

A copy of the local AWS answers one request at a time, so requests wait for each other exactly where they share an
accelerator. Shown: the flood is refused at its own limits and slows who shares its base; a tenant with an endpoint of
its own, and one with a base component of its own on an endpoint that is flooded, are answered as before; nothing is
counted against them, and a pool that fails opens none of their breakers.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from statistics import median
from typing import Any

import pytest

from aws import connect
from dataplane import Kit
from dataplane.errors import LimitExceeded, ModelUnavailable
from provisioning import queries
from provisioning.models import ServingLine
from provisioning.runtime_config import routed_names
from provisioning.services.catalogue import TIERS, route_tier
from tenants.models import Tenant
from tenants.services.tiers import define_tier
from tests.integration.provisioning.changing import release_something
from tests.integration.provisioning.test_lines import base_lines, kit_of
from tests.integration.provisioning.world import World

# An answer of the flood takes 0.6 s of a copy, one of the others 0.05 s. Each request of the flood holds 240,000 of
# Basic's million tokens a minute and uses 120,000 of them, so four fit at once and eight altogether.
FLOOD_TOKENS, WORDS_PER_SECOND, LONG_PROMPT = 60, 100, "w " * 120_000


def document_of(tenant: Tenant) -> dict[str, Any]:
    config = queries.current_config(tenant.pk)
    assert config is not None
    return config.document


def names_of(tenant: Tenant) -> set[str]:
    return set(routed_names(document_of(tenant)))


def premium_on_a_shared_endpoint() -> None:
    """A tier with Premium's limits, on a base component of its own beside those of others."""
    limits = next(limits for key, _, limits, _ in TIERS if key == "premium")
    version = define_tier(key="premium-shared", name="Premium, shared endpoint", position=9, limits=limits)
    route_tier(tier_version_id=version.pk, lines=[ServingLine.objects.get(name="shared-endpoint")])


def push(kit: Kit, route: str, prompt: str) -> str:
    try:
        return kit.complete(route, prompt, FLOOD_TOKENS, options={"ignore_eos": True}).line
    except LimitExceeded:
        return "refused"


def ask(kit: Kit, route: str, times: int = 1) -> tuple[set[str], float, float]:
    """The lines that answered, how long an answer took, and when the last came."""
    lines, took, ended = set(), [], time.monotonic()
    for _ in range(times):
        began = ended
        lines.add(kit.complete(route, "hello", 5, options={"ignore_eos": True}).line)
        ended = time.monotonic()
        took.append(ended - began)
    return lines, median(took), ended


def wait_until_flooded(world: World, before: int, flooding: int) -> None:
    while world.calls("InvokeEndpoint") < before + flooding:
        time.sleep(0.02)


def test_the_guarantee_of_premium_holds_while_its_neighbours_flood(world: World) -> None:
    premium_on_a_shared_endpoint()
    tiers = {
        "loud": "basic", "poor": "basic", "busy": "advanced", "beside": "premium-shared", "quiet": "premium-choice",
    }  # fmt: skip
    everybody = [world.sign_up(slug, tier) for slug, tier in tiers.items()]
    loud, poor, busy, beside, premium = everybody
    world.settle(*everybody)
    for tenant in (loud, poor):
        release_something(tenant)
    world.settle(loud, poor)
    assert base_lines(premium) == ["dedicated", "strong-api"]
    assert not names_of(loud) & names_of(premium), "nothing that answers one answers the other"
    assert len(names_of(busy) & names_of(beside)) == 1, "one endpoint, and a base component each"
    kits = {tenant.slug: kit_of(tenant) for tenant in everybody} | {"loud": kit_of(loud, datetime.now(UTC))}
    for slug, route in (("quiet", "base"), ("beside", "base"), ("poor", "support")):
        ask(kits[slug], route)  # a kit's first request reads the config and connects
    world.aws.post("inference", {"copy_words_per_second": WORDS_PER_SECOND})

    asked = world.calls("InvokeEndpoint")
    with ThreadPoolExecutor(19) as threads:
        of_loud = [threads.submit(push, kits["loud"], "support", LONG_PROMPT) for _ in range(12)]
        of_busy = [threads.submit(push, kits["busy"], "base", "w") for _ in range(4)]
        wait_until_flooded(world, asked, flooding=8)
        suffers = threads.submit(ask, kits["poor"], "support")
        calm = {slug: threads.submit(ask, kits[slug], "base", 4) for slug in ("quiet", "beside")}
        outcome = Counter(each.result() for each in of_loud)
        assert set(outcome) == {"pooled", "refused"} and 4 <= outcome["pooled"] <= 8, outcome
        assert {each.result() for each in of_busy} == {"shared-endpoint"}
    lines, waited, last = suffers.result()
    assert lines == {"pooled"}
    for slug, line in (("quiet", "dedicated"), ("beside", "shared-endpoint")):
        lines, took, ended = calm[slug].result()
        assert lines == {line}, "none failed, none went elsewhere"
        assert took < waited / 2 and ended < last, (slug, took, waited)

    world.aws.post("inference", {"copy_words_per_second": None})
    [target] = document_of(loud)["routes"]["support"]["targets"]
    world.aws.fault("throttle", operation="InvokeEndpoint", name_contains=target["component"], times=100)
    with pytest.raises(ModelUnavailable):
        kits["loud"].complete("support", "hello", 5)
    assert ask(kits["quiet"], "base", 5)[0] == {"dedicated"}
    for tenant in (premium, beside):
        kits[tenant.slug].flush()
        assert connect.limit_store().degrades(tenant.public_id) == []
        assert connect.limit_store().breakers(tenant.public_id) == []
