"""Serving lines and which tier serves on them, and the example catalogue that a new installation starts with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from core.actors import Actor
from models_registry.containers.generate import MODEL_FOLDER, Assignment, BaseModel, generate
from models_registry.containers.images import find_image
from models_registry.models import ServingProfile
from models_registry.services.catalogue import define_serving_profile, register_foundation_model
from provisioning.models import RoutingPolicy, Scope, ServingLine, TierRoute
from tenants.services.tiers import TierLimits, TokenLimit, define_tier

DATA = Path(__file__).resolve().parents[2] / "data"
GIB = 1 << 30

# The LMI 28 container, with vLLM 0.26 (deep-learning-containers' release notes, read 2026-11-20); the account holds
# AWS's images in the larger commercial regions.
IMAGE = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.36.0-lmi28.0.0-cu130"
ENGINE = "vllm-0.26"
MAX_LORAS, MAX_LORA_RANK = 8, 64
# Four times as many adapters wait in the host's memory as share a batch.
ASSIGNED = Assignment((MAX_LORA_RANK,) * 4 * MAX_LORAS, in_one_batch=MAX_LORAS)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How data planes of a tier go from line to line: see `provisioning.models.RoutingPolicy`."""

    breaker_failures: int = 5
    breaker_open_seconds: int = 30
    queue_seconds: int = 0
    tenant_chooses: bool = False


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What a serving line is made of; instance counts are AWS's lower and upper bound for scaling."""

    endpoint_scope: str
    component_scope: str
    instance_type: str
    instance_count: int
    max_instance_count: int
    copies: int


LINES = {
    "pooled": LineSettings(Scope.SHARED, Scope.SHARED, "ml.g5.2xlarge", 1, 8, 1),
    "shared-endpoint": LineSettings(Scope.SHARED, Scope.TENANT, "ml.g5.2xlarge", 1, 8, 1),
    "dedicated": LineSettings(Scope.TENANT, Scope.TENANT, "ml.g5.2xlarge", 1, 1, 1),
}


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """A model of Bedrock: its id, what AWS charges (USD per million tokens in and out), and a gated one's licence."""

    model_id: str
    usd_per_million_input: Decimal
    usd_per_million_output: Decimal
    eula_url: str = ""
    capacity_tokens_per_minute: int | None = None


# The models and prices that AWS's own comparison of hosting and APIs is made with (as of October 2024, approximate by
# its own words): to be looked up anew before real money depends on them.
API_LINES = {
    "strong-api": ApiSettings("anthropic.claude-3-5-sonnet-20241022-v2:0", Decimal("3.00"), Decimal("15.00")),
    "cheap-api": ApiSettings("anthropic.claude-3-haiku-20240307-v1:0", Decimal("0.25"), Decimal("1.25")),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A line in a tier's order, and how many tokens a month may go there before the next one answers; None: any."""

    line: str
    monthly_tokens: int | None = None


# The first three are hosted. Advanced API is answered by the strong API until its allowance is used, then by the cheap
# one until the month is over, and has no adapters. Premium Choice has its own endpoint and the strong API, and is
# answered by either or both, as the tenant likes; its adapters are on the endpoint.
TIERS: tuple[tuple[str, str, TierLimits, tuple[Step, ...]], ...] = (
    ("basic", "Basic", TierLimits(3, GIB // 4, 16, False, 0), (Step("pooled"),)),
    ("advanced", "Advanced", TierLimits(10, GIB // 2, 32, True, 24), (Step("shared-endpoint"),)),
    ("premium", "Premium", TierLimits(50, GIB, 64, True, 72), (Step("dedicated"),)),
    (
        "advanced-api",
        "Advanced API",
        TierLimits(0, GIB // 2, 32, False, 0),
        (Step("strong-api", 2_000_000), Step("cheap-api")),
    ),
    ("premium-choice", "Premium Choice", TierLimits(50, GIB, 64, True, 72), (Step("dedicated"), Step("strong-api"))),
)
POLICIES = {"premium-choice": PolicySettings(tenant_chooses=True)}


# Per minute, day and month. Generous: an estimate counts a prompt's bytes as tokens until the answer tells better. The
# day of a tier is soft and marks what is unusual; minute and month refuse.
TOKENS = {
    "basic": (1_000_000, 20_000_000, 100_000_000),
    "advanced": (5_000_000, 100_000_000, 500_000_000),
    "premium": (20_000_000, 400_000_000, 2_000_000_000),
}
LIMITS_OF = {"advanced-api": "advanced", "premium-choice": "premium"}
WINDOWS = (("minute", "hard"), ("day", "soft"), ("month", "hard"))


def token_limits(key: str) -> list[TokenLimit]:
    """What an example tier allows, input and output together."""
    return [
        TokenLimit("total_tokens", window, amount, mode)
        for (window, mode), amount in zip(WINDOWS, TOKENS[LIMITS_OF.get(key, key)], strict=True)
    ]


def define_line(*, name: str, profile: ServingProfile, region: str, line: LineSettings) -> ServingLine:
    """Make a serving line; one that is there already under this name stays as it is and is answered."""
    with transaction.atomic(durable=True):
        made, _ = ServingLine.objects.get_or_create(
            name=name, defaults={"profile": profile, "region": region, **asdict(line)}
        )
    return made


def define_api_line(*, name: str, region: str, api: ApiSettings) -> ServingLine:
    """Make a line that a model of Bedrock answers on; one that is there under this name stays and is answered."""
    with transaction.atomic(durable=True):
        made, _ = ServingLine.objects.get_or_create(
            name=name,
            defaults={
                "kind": ServingLine.Kind.API,
                "price_basis": ServingLine.PriceBasis.TOKENS,
                "region": region,
                **asdict(api),
            },
        )
    return made


def route_tier(
    *,
    tier_version_id: int,
    lines: Sequence[ServingLine],
    monthly_tokens: Mapping[str, int] | None = None,
    policy: PolicySettings | None = None,
) -> list[TierRoute]:
    """Say on which lines a tier version serves, in order; a version that has routes keeps them.

    `monthly_tokens` are allowances by line; what is used up goes to the next line until the month is over.
    """
    with transaction.atomic(durable=True):
        there = list(TierRoute.objects.select_for_update(no_key=True).filter(tier_version_id=tier_version_id))
        if there:
            return there
        if policy is not None:
            RoutingPolicy.objects.create(tier_version_id=tier_version_id, **asdict(policy))
        return TierRoute.objects.bulk_create(
            TierRoute(
                tier_version_id=tier_version_id,
                position=position,
                line=line,
                allowance_tokens=(monthly_tokens or {}).get(line.name),
            )
            for position, line in enumerate(lines)
        )


def seed_catalogue(*, actor: Actor) -> dict[str, list[str]]:
    """The example base model, profile, lines and tiers where they are missing; the names of what there is, by kind."""
    region = settings.ENV.aws_region
    config: dict[str, Any] = json.loads((DATA / "base-models" / "tiny-llama.json").read_text(encoding="utf-8"))
    model = register_foundation_model(
        name="tiny-llama",
        config=config,
        model_data_uri=f"s3://{settings.ARTIFACT_BUCKET}/base-models/tiny-llama/",
        actor=actor,
    )
    image = IMAGE.format(region=region)
    profile = define_serving_profile(
        name="tiny-llama-lmi28",
        foundation_model_id=model.pk,
        image=image,
        engine=ENGINE,
        max_lora_rank=MAX_LORA_RANK,
        max_loras=MAX_LORAS,
        accelerators=1,
        min_memory_mb=8192,
        environment=generate(find_image(image), BaseModel(MODEL_FOLDER), ASSIGNED).environment(),
        actor=actor,
    )
    lines = {name: define_line(name=name, profile=profile, region=region, line=line) for name, line in LINES.items()}
    lines |= {name: define_api_line(name=name, region=region, api=api) for name, api in API_LINES.items()}
    for position, (key, name, limits, steps) in enumerate(TIERS):
        version = define_tier(key=key, name=name, position=position, limits=limits, tokens=token_limits(key))
        route_tier(
            tier_version_id=version.pk,
            lines=[lines[step.line] for step in steps],
            monthly_tokens={step.line: step.monthly_tokens for step in steps if step.monthly_tokens},
            policy=POLICIES.get(key),
        )
    return {
        "foundation_models": [model.name],
        "serving_profiles": [profile.name],
        "lines": list(lines),
        "tiers": [key for key, *_ in TIERS],
    }
