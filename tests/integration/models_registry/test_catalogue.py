"""What is on offer: base models and serving profiles, told once."""

import json

import pytest

from events.models import Event
from models_registry import queries
from models_registry.containers.images import UnknownImage, newest
from models_registry.models import FoundationModel, ServingProfile
from models_registry.services.adapters import NotServable, create_adapter
from models_registry.services.catalogue import (
    FoundationModelInvalid,
    ServingProfileInvalid,
    define_serving_profile,
    register_foundation_model,
)
from tests.factories import TESTER, make_tenant
from tests.unit.models_registry.making import BASE, SAMPLES


def test_a_base_models_facts_come_from_its_config(profile: ServingProfile) -> None:
    model = profile.foundation_model
    assert (model.family, model.layers, model.hidden_size, model.vocabulary_size) == ("llama", 2, 64, 512)
    assert (model.attention_heads, model.key_value_heads, model.head_dim, model.context_length) == (4, 2, 16, 2048)
    again = register_foundation_model(name="tiny-llama", config=BASE, model_data_uri="s3://other/", actor=TESTER)
    assert (again, again.model_data_uri) == (model, "s3://models/tiny-llama/")
    assert Event.objects.filter(name="foundation_model.registered").count() == 1
    assert queries.get_foundation_model("tiny-llama") == queries.get_foundation_model(model.public_id) == model
    assert queries.get_serving_profile("tiny-llama-vllm") == profile


def test_the_seeded_base_model_is_the_samples_base() -> None:
    seeded = SAMPLES.parents[2] / "data" / "base-models" / "tiny-llama.json"
    assert json.loads(seeded.read_text()) == BASE


@pytest.mark.django_db
def test_unusable_base_models_are_refused() -> None:
    for config in ({}, {"model_type": "mixtral"}, BASE | {"hidden_size": None}):
        with pytest.raises(FoundationModelInvalid):
            register_foundation_model(name="x", config=config, model_data_uri="s3://x/", actor=TESTER)
    assert not FoundationModel.objects.exists()


def test_unusable_profiles_are_refused(profile: ServingProfile) -> None:
    details = {
        "name": "other",
        "foundation_model_id": profile.foundation_model_id,
        "image": newest().name,
        "engine": "vllm-0.26",
        "max_lora_rank": 16,
        "max_loras": 1,
        "accelerators": 1,
        "min_memory_mb": 1024,
        "environment": {},
        "actor": TESTER,
    }
    for wrong in ({"engine": "vllm-0.1"}, {"engine": "../x"}, {"max_lora_rank": 20}, {"max_lora_rank": 1024}):
        with pytest.raises(ServingProfileInvalid):
            define_serving_profile(**details | wrong)
    with pytest.raises(ServingProfileInvalid, match="LoRA is switched off"):
        define_serving_profile(**details)
    with pytest.raises(UnknownImage):
        define_serving_profile(**details | {"image": "nginx:1.27"})
    secret = {"environment": {"HF_TOKEN": "hf_0123"}}
    with pytest.raises(ServingProfileInvalid, match="HF_TOKEN holds a secret"):
        define_serving_profile(**details | secret)
    assert ServingProfile.objects.count() == 1


@pytest.mark.django_db
def test_a_base_model_without_a_profile_takes_no_adapters() -> None:
    model = register_foundation_model(name="bare", config=BASE, model_data_uri="s3://x/", actor=TESTER)
    with pytest.raises(NotServable):
        create_adapter(tenant_id=make_tenant().pk, name="a", foundation_model_id=model.pk, actor=TESTER)
