"""Serving lines and which tier serves on them, and the example catalogue that a new installation starts with."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from core.actors import Actor
from models_registry.containers.generate import Assignment, BaseModel, generate
from models_registry.containers.images import find_image
from models_registry.models import ServingProfile
from models_registry.services.catalogue import define_serving_profile, register_foundation_model
from provisioning.models import Scope, ServingLine, TierRoute
from tenants.services.tiers import TierLimits, TokenLimit, define_tier

DATA = Path(__file__).resolve().parents[2] / "data"
GIB = 1 << 30

# The LMI 28 container, with vLLM 0.26 (deep-learning-containers' release notes, read 2026-11-20); the account holds
# AWS's images in the larger commercial regions.
IMAGE = "763104351884.dkr.ecr.{region}.amazonaws.com/djl-inference:0.36.0-lmi28.0.0-cu130"
ENGINE = "vllm-0.26"
MAX_LORAS, MAX_LORA_RANK = 8, 64
# Where SageMaker puts a Model's weights inside the container.
MODEL_FOLDER = "/opt/ml/model"
# Four times as many adapters wait in the host's memory as share a batch.
ASSIGNED = Assignment((MAX_LORA_RANK,) * 4 * MAX_LORAS, in_one_batch=MAX_LORAS)


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
TIERS: tuple[tuple[str, str, TierLimits, tuple[str, ...]], ...] = (
    ("basic", "Basic", TierLimits(3, GIB // 4, 16, False, 0), ("pooled",)),
    ("advanced", "Advanced", TierLimits(10, GIB // 2, 32, True, 24), ("shared-endpoint",)),
    ("premium", "Premium", TierLimits(50, GIB, 64, True, 72), ("dedicated",)),
)


# Per minute, day and month. Generous: an estimate counts a prompt's bytes as tokens until the answer tells better. The
# day of a tier is soft and marks what is unusual; minute and month refuse.
TOKENS = {
    "basic": (1_000_000, 20_000_000, 100_000_000),
    "advanced": (5_000_000, 100_000_000, 500_000_000),
    "premium": (20_000_000, 400_000_000, 2_000_000_000),
}
WINDOWS = (("minute", "hard"), ("day", "soft"), ("month", "hard"))


def token_limits(key: str) -> list[TokenLimit]:
    """What an example tier allows, input and output together."""
    return [
        TokenLimit("total_tokens", window, amount, mode)
        for (window, mode), amount in zip(WINDOWS, TOKENS[key], strict=True)
    ]


def define_line(*, name: str, profile: ServingProfile, region: str, line: LineSettings) -> ServingLine:
    """Make a serving line; one that is there already under this name stays as it is and is answered."""
    with transaction.atomic(durable=True):
        made, _ = ServingLine.objects.get_or_create(
            name=name, defaults={"profile": profile, "region": region, **asdict(line)}
        )
    return made


def route_tier(*, tier_version_id: int, lines: Sequence[ServingLine]) -> list[TierRoute]:
    """Say on which lines a tier version serves, in order; a version that has routes keeps them."""
    with transaction.atomic(durable=True):
        there = list(TierRoute.objects.select_for_update(no_key=True).filter(tier_version_id=tier_version_id))
        if there:
            return there
        return TierRoute.objects.bulk_create(
            TierRoute(tier_version_id=tier_version_id, position=position, line=line)
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
    for position, (key, name, limits, routed) in enumerate(TIERS):
        version = define_tier(key=key, name=name, position=position, limits=limits, tokens=token_limits(key))
        route_tier(tier_version_id=version.pk, lines=[lines[line] for line in routed])
    return {
        "foundation_models": [model.name],
        "serving_profiles": [profile.name],
        "lines": list(lines),
        "tiers": [key for key, *_ in TIERS],
    }
