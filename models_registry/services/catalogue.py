"""What is on offer: base models and the ways to serve them."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from core.actors import Actor
from core.errors import Invalid
from events.record import record_event
from models_registry.containers.generate import Assignment
from models_registry.containers.images import find_image
from models_registry.containers.lint import lint
from models_registry.containers.settings import from_environment
from models_registry.inspection.architecture import UnknownArchitecture, UnusableBase, read_architecture
from models_registry.inspection.engines import UnknownEngine, load_engine
from models_registry.models import FoundationModel, ServingProfile


class FoundationModelInvalid(Invalid):
    """The config.json does not describe a base model whose adapters can be judged."""

    code = "foundation_model_invalid"
    title = "The base model cannot be used"


class ServingProfileInvalid(Invalid):
    """The engine has no rules here, or does not take this maximum rank."""

    code = "serving_profile_invalid"
    title = "The serving profile cannot be used"


def register_foundation_model(
    *, name: str, config: Mapping[str, Any], model_data_uri: str, revision: str = "", actor: Actor
) -> FoundationModel:
    """Put a base model on offer by its config.json; one that is there under this name and revision stays as it is.

    Raises FoundationModelInvalid for an unknown family or a config.json without the numbers that shapes need.
    """
    try:
        architecture = read_architecture(config)
    except (UnknownArchitecture, UnusableBase) as error:
        raise FoundationModelInvalid(str(error), hint="Use the config.json of the base model.") from error
    context = config.get("max_position_embeddings")
    with transaction.atomic(durable=True):
        model, is_new = FoundationModel.objects.get_or_create(
            name=name,
            revision=revision,
            defaults={
                "config": dict(config),
                "family": architecture.family,
                "layers": architecture.layers,
                "hidden_size": architecture.hidden,
                "attention_heads": architecture.heads,
                "key_value_heads": architecture.key_value_heads,
                "head_dim": architecture.head_dim,
                "vocabulary_size": architecture.vocabulary,
                "context_length": context if type(context) is int and context > 0 else None,
                "model_data_uri": model_data_uri,
            },
        )
        if is_new:
            record_event("foundation_model.registered", tenant=None, subject=model, actor=actor, after={"name": name})
    return model


def define_serving_profile(
    *,
    name: str,
    foundation_model_id: int,
    image: str,
    engine: str,
    max_lora_rank: int,
    max_loras: int,
    accelerators: int,
    min_memory_mb: int,
    environment: Mapping[str, str],
    actor: Actor,
) -> ServingProfile:
    """Say how a base model is served; a profile that is there under this name stays as it is.

    Raises ServingProfileInvalid when there are no rules for the engine, it cannot be set to this maximum rank, or the
    container would not serve with these settings (`models_registry.containers`); UnknownImage for another image.
    """
    try:
        rules = load_engine(engine)
    except UnknownEngine as error:
        raise ServingProfileInvalid(str(error)) from error
    if max_lora_rank not in rules.ranks:
        allowed = ", ".join(str(rank) for rank in rules.ranks)
        raise ServingProfileInvalid(f"{engine} can be set to the maximum ranks {allowed}, not to {max_lora_rank}.")
    _refuse_broken(image, environment, assignment=Assignment((max_lora_rank,), in_one_batch=max_loras))
    with transaction.atomic(durable=True):
        profile, is_new = ServingProfile.objects.get_or_create(
            name=name,
            defaults={
                "foundation_model_id": foundation_model_id,
                "image": image,
                "engine": engine,
                "max_lora_rank": max_lora_rank,
                "max_loras": max_loras,
                "accelerators": accelerators,
                "min_memory_mb": min_memory_mb,
                "environment": dict(environment),
            },
        )
        if is_new:
            record_event("serving_profile.defined", tenant=None, subject=profile, actor=actor, after={"name": name})
    return profile


def _refuse_broken(image: str, environment: Mapping[str, str], *, assignment: Assignment) -> None:
    found = find_image(image)
    verdict = lint(found, from_environment(environment, found.family), assignment, target=found)
    errors = [diagnosis for diagnosis in verdict.diagnoses if diagnosis.severity == "error"]
    if errors:
        raise ServingProfileInvalid(
            " ".join(diagnosis.message for diagnosis in errors), hint=" ".join(diagnosis.hint for diagnosis in errors)
        )
