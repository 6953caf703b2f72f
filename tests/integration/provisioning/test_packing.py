"""Several base models on one endpoint: packed by the planner's sums, shown, and refused before AWS is asked."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.services import create_operator
from provisioning import line_queries
from provisioning.models import ServingLine
from provisioning.services.catalogue import TIERS, route_tier
from provisioning.services.packing import pack
from provisioning.services.preflight import PreflightFailed, refuse_unfit
from tenants.services.tiers import define_tier
from tests.factories import TESTER
from tests.integration.api.client import caller
from tests.integration.provisioning.elsewhere import HOME, make_line
from tests.integration.provisioning.world import World

QUIET = ("ListServiceQuotas", "ListEndpoints", "CreateInferenceComponent", "CreateEndpoint")


def tier_on(key: str, *names: str) -> None:
    """A tier like Basic on these lines."""
    limits = next(limits for name, _, limits, _ in TIERS if name == "basic")
    version = define_tier(key=key, name=key.title(), position=9, limits=limits)
    route_tier(tier_version_id=version.pk, lines=[ServingLine.objects.get(name=name) for name in names])


def test_two_base_models_share_an_endpoint_and_the_page_shows_what_each_takes(world: World) -> None:
    make_line("second", HOME, like="pooled")
    tier_on("second", "second")
    first, second = world.sign_up("acme", "basic"), world.sign_up("beta", "second")
    world.settle(first, second)
    assert (first.state, second.state) == ("active", "active")
    assert {"endpoint": 1, "model": 2, "inference_component": 2}.items() <= world.counts().items()

    with CaptureQueriesContext(
        connection,
    ) as asked:
        [packed] = pack(list(line_queries.endpoints(None)))
    assert len(asked) <= 7
    assert {base.model_name for base in packed.bases} == {"tiny-llama", "tiny-llama-second"}
    assert (packed.accelerators_used, packed.instances_needed, packed.accelerators_at_most) == (2, 2, 8)
    assert packed.memory_used_bytes == sum(base.used_bytes or 0 for base in packed.bases) > 0
    assert all(base.memory is not None and base.memory.fits for base in packed.bases)

    ops = caller()
    [shown] = ops.get("packing").json()["data"]
    assert {base["model"] for base in shown["bases"]} == {"tiny-llama", "tiny-llama-second"}
    assert shown["memory_used_bytes"] == packed.memory_used_bytes
    assert caller("operations.view", tenant_id=first.pk).get("packing").json()["data"] == []
    lines = {line["name"]: line for line in ops.get("serving-lines").json()["data"]}
    assert lines["strong-api"]["price_basis"] == "tokens" and lines["second"]["price_basis"] == "instance_hours"
    assert {key: lines["strong-api"]["tiers"][0][key] for key in ("tier", "allowance_tokens")} == {
        "tier": "advanced-api",
        "allowance_tokens": 2_000_000,
    }
    own = caller("operations.view", tenant_id=second.pk).get("serving-lines").json()["data"]
    assert [line["name"] for line in own] == ["second"]

    client = Client()
    client.force_login(create_operator(name="op", role="operator", actor=TESTER))
    page = client.get(reverse("line-list")).content.decode()
    for said in ("tiny-llama-second", "2 of 8; needs 2 instances", "2M", "$1.52 an instance hour", "123456789012"):
        assert said in page


@pytest.mark.parametrize(
    ("most", "copies", "said"),
    [
        (8, 8, "8 copies beside 1 that are there need 9 x ml.g5.2xlarge, and the endpoint grows to 8. 1 instances"),
        (3, 5, "5 copies beside 1 that are there need 6 x ml.g5.2xlarge, and the endpoint grows to 3. 3 instances"),
    ],
)
def test_more_than_the_endpoint_can_hold_is_refused_with_the_exact_shortfall_before_aws_is_asked(
    world: World, most: int, copies: int, said: str
) -> None:
    ServingLine.objects.filter(endpoint_scope="shared").update(max_instance_count=most)
    make_line("second", HOME, like="pooled", copies=copies)
    tier_on("both", "pooled", "second")  # two base models that come together, on an endpoint that is not there yet
    before = [world.calls(operation) for operation in QUIET]
    with pytest.raises(PreflightFailed) as refused:
        refuse_unfit(tier_key="both", allowed_regions=[])
    assert {error.code for error in refused.value.errors} == {"impossible_copies"}
    assert said in refused.value.detail and refused.value.hint
    assert [world.calls(operation) for operation in QUIET] == before
