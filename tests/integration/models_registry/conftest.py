"""A base model, a serving profile, and adapters on them, made by the real services.

Our rooms are imported inside the fixtures: this file is read before Django is set up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from models_registry.containers.generate import MODEL_FOLDER, Assignment, BaseModel, generate
from models_registry.containers.images import newest

if TYPE_CHECKING:
    from models_registry.models import Adapter, ServingProfile


@pytest.fixture
def profile(db: None) -> ServingProfile:
    from models_registry.services.catalogue import define_serving_profile, register_foundation_model
    from tests.factories import TESTER
    from tests.unit.models_registry.making import BASE

    model = register_foundation_model(
        name="tiny-llama", config=BASE, model_data_uri="s3://models/tiny-llama/", actor=TESTER
    )
    return define_serving_profile(
        name="tiny-llama-vllm",
        foundation_model_id=model.pk,
        image=newest().name,
        engine="vllm-0.26",
        max_lora_rank=64,
        max_loras=8,
        accelerators=1,
        min_memory_mb=4096,
        environment=generate(newest(), BaseModel(MODEL_FOLDER), Assignment((64,) * 8, 8)).environment(),
        actor=TESTER,
    )


@pytest.fixture
def make_adapter(profile: ServingProfile) -> Callable[..., Adapter]:
    from models_registry.services.adapters import create_adapter
    from tests.factories import TESTER, make_tenant

    def make(name: str = "support", **details: Any) -> Adapter:
        tenant = details.pop("tenant", None) or make_tenant(**details)
        return create_adapter(
            tenant_id=tenant.pk, name=name, foundation_model_id=profile.foundation_model_id, actor=TESTER
        )

    return make


@pytest.fixture
def adapter(make_adapter: Callable[..., Adapter]) -> Adapter:
    return make_adapter()
