"""Settings that serve a set of adapters beside one another on one copy of a base model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import Invalid
from models_registry.containers.images import Image
from models_registry.containers.settings import Settings, from_environment

# vLLM compiles its LoRA kernels for these maximum ranks (vllm/config/lora.py, 0.26.0).
RANK_CHOICES = (1, 8, 16, 32, 64, 128, 256, 320, 512)
MAX_ADAPTERS = 1000
# Adapter components exist since LMI 13; in asynchronous mode they are served since LMI 16 (djl-serving's notes).
FIRST_RELEASE_WITH_ADAPTER_COMPONENTS = 13
FIRST_RELEASE_WITH_ASYNC_LORA = 16
# Where SageMaker puts a Model's weights inside the container.
MODEL_FOLDER = "/opt/ml/model"
# vLLM's asynchronous mode said outright, in LMI's one spelling (`settings`); AWS's own example for adapter components.
ASYNC = {
    "option.async_mode": "true",
    "option.rolling_batch": "disable",
    "option.entrypoint": "djl_python.lmi_vllm.vllm_async_service",
}
# The LoRA settings per family: switched on, slots on the accelerator, adapters in the host's memory, largest rank.
LORA_NAMES = {
    "lmi": ("option.enable_lora", "option.max_loras", "option.max_cpu_loras", "option.max_lora_rank"),
    "vllm": ("SM_VLLM_ENABLE_LORA", "SM_VLLM_MAX_LORAS", "SM_VLLM_MAX_CPU_LORAS", "SM_VLLM_MAX_LORA_RANK"),
}
SECRET_REFERENCE = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+")
SECRET_NAMES = re.compile(r"(?:^|[._])(?:TOKEN|PASSWORD|SECRET|API_?KEY|ACCESS_KEY(?:_ID)?)$", re.IGNORECASE)


class CannotGenerate(Invalid):
    """No settings of this image would do what is asked; the detail says why, and what would."""

    code = "container_settings_impossible"
    title = "No settings of this image would do"


@dataclass(frozen=True, slots=True)
class Assignment:
    """The adapters that one copy of a base model is to serve: their ranks, and how many of them in one batch.

    `in_one_batch` bounds the accelerator's slots, each of which takes memory for the largest rank whatever the
    adapter's own; the others wait in the host's memory. Raises CannotGenerate for numbers below 1, or too many.
    """

    ranks: tuple[int, ...] = ()
    in_one_batch: int = 4

    def __post_init__(self) -> None:
        if self.in_one_batch < 1 or any(rank < 1 for rank in self.ranks):
            raise CannotGenerate("A rank, and the number of adapters in one batch, is at least 1.")
        if len(self.ranks) > MAX_ADAPTERS:
            raise CannotGenerate(
                f"{len(self.ranks)} adapters were assigned; one copy is planned for {MAX_ADAPTERS} at most."
            )

    @property
    def max_lora_rank(self) -> int:
        """The smallest rank that the engine can be set to and that holds every adapter. Raises CannotGenerate."""
        largest = max(self.ranks)
        for choice in RANK_CHOICES:
            if choice >= largest:
                return choice
        raise CannotGenerate(f"An adapter has rank {largest}; the engine serves ranks up to {RANK_CHOICES[-1]}.")

    @property
    def max_loras(self) -> int:
        """Slots on the accelerator: distinct adapters in one batch."""
        return min(len(self.ranks), self.in_one_batch)

    @property
    def max_cpu_loras(self) -> int:
        """Adapters held in the host's memory, those on the accelerator included: all of them."""
        return len(self.ranks)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """Where the base model's weights are and how long a request may be. `secrets` are names and ARNs, never values."""

    model_id: str
    max_model_len: int | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)


def generate(image: Image, base: BaseModel, assignment: Assignment) -> Settings:
    """Settings for an image that serves the base model with the adapters assigned.

    Raises CannotGenerate for an image that cannot serve them, a rank that no engine takes, or a secret by value.
    """
    for name, reference in base.secrets.items():
        if not SECRET_REFERENCE.fullmatch(reference):
            raise CannotGenerate(f"{name} must be the ARN of a secret in AWS Secrets Manager, never the secret itself.")
    make = {"lmi": _lmi, "vllm": _vllm, "tgi": _tgi}[image.family]
    return from_environment(make(image, base, assignment) | dict(base.secrets), image.family)


def _lmi(image: Image, base: BaseModel, assignment: Assignment) -> dict[str, str]:
    release = image.release or 0
    if release < FIRST_RELEASE_WITH_ASYNC_LORA:
        raise CannotGenerate(
            f"{image.title} cannot serve adapters in vLLM's asynchronous mode; "
            f"use LMI {FIRST_RELEASE_WITH_ASYNC_LORA} or later."
        )
    made = {
        "HF_MODEL_ID": base.model_id,
        "SERVING_FAIL_FAST": "true",
        "TENSOR_PARALLEL_DEGREE": "max",
        **ASYNC,
    }
    if base.max_model_len is not None:
        made["OPTION_MAX_MODEL_LEN"] = str(base.max_model_len)
    if assignment.ranks:
        made |= _lora(image, assignment)
    return made


def _vllm(image: Image, base: BaseModel, assignment: Assignment) -> dict[str, str]:
    made = {"SM_VLLM_MODEL": base.model_id, "SM_VLLM_HOST": "0.0.0.0"}
    if base.max_model_len is not None:
        made["SM_VLLM_MAX_MODEL_LEN"] = str(base.max_model_len)
    if assignment.ranks:
        # Without the first SageMaker's calls to load an adapter are refused.
        made |= {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "true", **_lora(image, assignment)}
    return made


def _lora(image: Image, assignment: Assignment) -> dict[str, str]:
    values = ("true", str(assignment.max_loras), str(assignment.max_cpu_loras), str(assignment.max_lora_rank))
    return dict(zip(LORA_NAMES[image.family], values, strict=True))


def _tgi(image: Image, base: BaseModel, assignment: Assignment) -> dict[str, str]:
    if assignment.ranks:
        raise CannotGenerate(
            "TGI loads adapters when it starts and has no routes for adapter components; use an LMI or vLLM image."
        )
    made = {"HF_MODEL_ID": base.model_id}
    if base.max_model_len is not None:
        made |= {
            "MAX_TOTAL_TOKENS": str(base.max_model_len),
            "MAX_INPUT_TOKENS": str(max(1, base.max_model_len - 1)),
        }
    return made
