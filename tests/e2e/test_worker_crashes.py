"""A worker that dies costs time and nothing else, counted by what AWS itself lists."""

from __future__ import annotations

import boto3
import pytest

from demo.client import wait_for
from demo.lister import doubled, leaked
from tests.e2e.conftest import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

KILLS = 5


def _strays(product: Product) -> tuple[list[str], list[str]]:
    known = {resource["name"] for resource in product.client.every("/resources")}
    seen = product.account.hosting()
    return leaked(seen, known=known), doubled(seen)


def _sign_up(product: Product, slug: str, tier: str) -> str:
    tenant = product.client.post("/tenants", {"name": slug.title(), "slug": slug, "tier": tier})
    return str(tenant["id"])


def _state(product: Product, tenant: str) -> str:
    return str(product.client.get(f"/tenants/{tenant}")["state"])


def test_worker_killed_five_times_while_onboarding_leaks_and_doubles_nothing(product: Product) -> None:
    product.aws.delays(endpoint={"seconds": 4}, component={"seconds": 3})
    try:
        tenants = [_sign_up(product, f"crash-{tier}", tier) for tier in ("premium", "advanced", "basic")]
        seen_at_kills = []
        for _ in range(KILLS):
            seen_at_kills.append({_state(product, tenant) for tenant in tenants})
            product.stack.kill_worker()
            if seen_at_kills[-1] == {"active"}:
                tenants.append(_sign_up(product, f"crash-more-{len(tenants)}", "premium"))
        for tenant in tenants:
            wait_for(
                f"{tenant} becoming active", lambda tenant=tenant: _state(product, tenant) == "active", seconds=120
            )
    finally:
        product.aws.delays(endpoint={"seconds": 1}, component={"seconds": 0.5})
    assert sum(states != {"active"} for states in seen_at_kills) >= 3, seen_at_kills
    assert _strays(product) == ([], [])


def test_the_lister_would_notice(product: Product) -> None:
    """Negative control: an object that nobody knows, and a second one that carries another's tag."""
    env = product.stack.env
    sagemaker = boto3.client(
        "sagemaker",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    [existing, *_] = [seen for seen in product.account.hosting() if seen.kind == "model"]
    tags = [{"Key": key, "Value": value} for key, value in existing.tags.items()]
    image = "763104351884.dkr.ecr.us-west-2.amazonaws.com/djl-inference:0.36.0"
    sagemaker.create_model(
        ModelName="local-model-stray-00000000-1",
        PrimaryContainer={"Image": image},
        ExecutionRoleArn="arn:aws:iam::123456789012:role/controlplane-execution",
        Tags=tags,
    )
    try:
        assert _strays(product) == (["local-model-stray-00000000-1"], [existing.tags["cp:resource"]])
    finally:
        sagemaker.delete_model(ModelName="local-model-stray-00000000-1")
    assert _strays(product) == ([], [])
