"""What is wrong with a container's settings at an image tag, why, and the settings that are right there."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from core.errors import Invalid
from models_registry.containers.generate import (
    ASYNC,
    FIRST_RELEASE_WITH_ADAPTER_COMPONENTS,
    FIRST_RELEASE_WITH_ASYNC_LORA,
    LORA_NAMES,
    RANK_CHOICES,
    SECRET_NAMES,
    SECRET_REFERENCE,
    Assignment,
)
from models_registry.containers.images import DATA, LAST_DEEPSPEED_RELEASE, Image
from models_registry.containers.settings import Settings

Severity = Literal["error", "warning"]

SOURCE_OF_LORA = "vLLM 0.26.0: vllm/config/lora.py"


class FamiliesDiffer(Invalid):
    """Settings are corrected within a family of images."""

    code = "container_families_differ"
    title = "Other settings altogether"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that is wrong: a stable code, the setting, a sentence, what to do, and where the rule comes from."""

    code: str
    severity: Severity
    setting: str
    message: str
    hint: str
    source: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with settings at `image`, and the same settings made right for `target`."""

    image: Image
    target: Image
    diagnoses: tuple[Diagnosis, ...]
    corrected: Settings
    diff: str

    @property
    def is_usable(self) -> bool:
        """Whether a container started with these settings would serve; warnings do not count."""
        return not any(diagnosis.severity == "error" for diagnosis in self.diagnoses)


def lint(image: Image, settings: Settings, assignment: Assignment, *, target: Image) -> Verdict:
    """Judge settings written for `image` as settings of `target`, and correct them. Pure.

    The two differ when somebody moves to a newer image. Raises FamiliesDiffer, and CannotGenerate when no engine takes
    the adapters assigned.
    """
    if image.family != target.family:
        raise FamiliesDiffer(
            f"Settings of {image.title} cannot become settings of {target.title}: the two read other names.",
            hint="Generate settings for the new image instead.",
        )
    found = [*_of_image(image, target, assignment)]
    values = dict(settings.values)
    for rule in _rules():
        if rule["family"] == target.family and _breaks(rule, values, target):
            found.append(_diagnosis(rule))
            _correct(rule, values)
    found += _of_secrets(values)
    if target.family in LORA_NAMES and assignment.ranks:
        found += _of_adapters(values, assignment, LORA_NAMES[target.family])
        found += _of_asynchrony(values, target) if target.family == "lmi" else _of_runtime_loading(values)
    corrected = Settings(values, settings.form)
    return Verdict(image, target, tuple(found), corrected, _diff(_masked(settings), corrected, image, target))


def _of_image(image: Image, target: Image, assignment: Assignment) -> list[Diagnosis]:
    found = []
    if image.is_discontinued:
        what = (
            "TGI is in maintenance, and loads adapters only when it starts"
            if image.family == "tgi"
            else f"djl-deepspeed images ended with LMI {LAST_DEEPSPEED_RELEASE}"
        )
        hint = f"Move to {target.name}." if target != image else "Write new settings for an LMI or vLLM image."
        found.append(
            Diagnosis("image_discontinued", "warning", "image", f"{what}.", hint, "data/containers/images.json")
        )
    elif not image.is_listed:
        found.append(
            Diagnosis(
                "image_unlisted",
                "warning",
                "image",
                f"{image.name} is not among the images that we know; it is judged by its release alone.",
                "Add it to data/containers/images.json once its release notes were read.",
                "data/containers/images.json",
            )
        )
    too_old = target.release is not None and target.release < FIRST_RELEASE_WITH_ADAPTER_COMPONENTS
    if assignment.ranks and (too_old or target.family == "tgi"):
        found.append(
            Diagnosis(
                "adapter_components_unsupported",
                "error",
                "image",
                f"{target.title} cannot serve adapters as inference components.",
                f"Use LMI {FIRST_RELEASE_WITH_ASYNC_LORA} or later, or vLLM's own image.",
                f"djl-serving: LMI {FIRST_RELEASE_WITH_ADAPTER_COMPONENTS} was the first with adapter components",
            )
        )
    return found


def _of_secrets(values: dict[str, str]) -> list[Diagnosis]:
    found = []
    for name in [name for name in values if SECRET_NAMES.search(name)]:
        if SECRET_REFERENCE.fullmatch(values[name]):
            continue
        del values[name]
        found.append(
            Diagnosis(
                "secret_by_value",
                "error",
                name,
                f"{name} holds a secret; whoever may describe the SageMaker Model can read it.",
                "Put the weights under an S3 prefix of yours so that no token is needed, or name the ARN of a secret "
                "in AWS Secrets Manager that the image reads.",
                "SageMaker DescribeModel answers the whole environment",
            )
        )
    return found


def _masked(settings: Settings) -> Settings:
    """The settings without the secrets among them: a diff is shown, copied and kept."""
    hidden = {
        name: value if not SECRET_NAMES.search(name) or SECRET_REFERENCE.fullmatch(value) else "***"
        for name, value in settings.values.items()
    }
    return Settings(hidden, settings.form)


def _of_adapters(values: dict[str, str], assignment: Assignment, names: tuple[str, ...]) -> list[Diagnosis]:
    enable, slots, host, rank = names
    found = []
    if values.get(enable, "false").lower() != "true":
        message = "Adapters are assigned and LoRA is switched off; registering one is answered with an error."
        found.append(Diagnosis("lora_disabled", "error", enable, message, f"Set {enable}=true.", SOURCE_OF_LORA))
        values[enable] = "true"
    for name, wanted, judge in (
        (rank, assignment.max_lora_rank, _of_rank),
        (slots, assignment.max_loras, _of_slots),
        (host, assignment.max_cpu_loras, _of_host_memory),
    ):
        diagnosis = judge(name, _number(values.get(name)), wanted)
        if diagnosis is not None:
            found.append(diagnosis)
            values[name] = str(wanted)
    return found


def _of_rank(name: str, given: int | None, wanted: int) -> Diagnosis | None:
    hint = f"Set {name}={wanted}."
    if given is not None and given not in RANK_CHOICES:
        choices = ", ".join(map(str, RANK_CHOICES))
        message = f"{name} is {given}; the engine takes {choices}."
        return Diagnosis("max_lora_rank_not_allowed", "error", name, message, hint, SOURCE_OF_LORA)
    if (given or 16) < wanted:  # 16 is the engine's own default
        message = f"{name} is {given or '16, the default'}; an adapter of rank {wanted} or just below would be refused."
        return Diagnosis("max_lora_rank_too_small", "error", name, message, hint, SOURCE_OF_LORA)
    if given is not None and given > wanted:
        message = (
            f"{name} is {given} and no adapter needs more than {wanted}; every slot takes memory for rank {given}, "
            "whatever the adapter's own."
        )
        return Diagnosis("max_lora_rank_too_large", "warning", name, message, hint, SOURCE_OF_LORA)
    return None


def _of_slots(name: str, given: int | None, wanted: int) -> Diagnosis | None:
    if given is not None and given >= 1:
        return None
    message = f"{name} is not set; how many adapters share a batch then depends on the container's default."
    return Diagnosis("max_loras_unset", "warning", name, message, f"Set {name}={wanted}.", SOURCE_OF_LORA)


def _of_host_memory(name: str, given: int | None, wanted: int) -> Diagnosis | None:
    if given is not None and given >= wanted:
        return None
    message = (
        f"{name} is {given if given is not None else 'not set'} and {wanted} adapters are assigned; "
        "those that do not fit are loaded from S3 again and again."
    )
    return Diagnosis("max_cpu_loras_too_small", "warning", name, message, f"Set {name}={wanted}.", SOURCE_OF_LORA)


def _of_asynchrony(values: dict[str, str], target: Image) -> list[Diagnosis]:
    """Adapter components need vLLM's asynchronous mode, said outright or by the default of LMI 17 and later."""
    if (target.release or 0) < FIRST_RELEASE_WITH_ASYNC_LORA or all(
        values.get(name, "").lower() == wanted for name, wanted in ASYNC.items()
    ):
        return []
    lacking = next(name for name, wanted in ASYNC.items() if values.get(name, "").lower() != wanted)
    values.update(ASYNC)
    message = "The settings do not say that vLLM runs in asynchronous mode, in which adapters are served."
    hint = "Set " + ", ".join(f"{name}={value}" for name, value in ASYNC.items()) + "."
    return [Diagnosis("async_mode_unset", "warning", lacking, message, hint, "AWS's LMI 18 and 19 example notebooks")]


def _of_runtime_loading(values: dict[str, str]) -> list[Diagnosis]:
    name = "VLLM_ALLOW_RUNTIME_LORA_UPDATING"
    if values.get(name, "").lower() == "true":
        return []
    values[name] = "true"
    message = f"{name} is not true; SageMaker's calls that load an adapter are refused."
    return [Diagnosis("runtime_loading_off", "error", name, message, f"Set {name}=true.", "vLLM's SageMaker image")]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _breaks(rule: dict[str, Any], values: dict[str, str], target: Image) -> bool:
    if rule["setting"] not in values or (target.release or 0) < rule.get("from_release", 0):
        return False
    return "values" not in rule or values[rule["setting"]].lower() in rule["values"]


def _correct(rule: dict[str, Any], values: dict[str, str]) -> None:
    value = values[rule["setting"]]
    if "rename" in rule:
        del values[rule["setting"]]
        values.setdefault(rule["rename"], value)
    elif rule["correction"] is None:
        del values[rule["setting"]]
    else:
        values[rule["setting"]] = rule["correction"]


def _diagnosis(rule: dict[str, Any]) -> Diagnosis:
    return Diagnosis(
        code=rule["code"],
        severity=rule["severity"],
        setting=rule["setting"],
        message=rule["message"],
        hint=rule["hint"],
        source=rule["source"],
    )


def _diff(before: Settings, after: Settings, image: Image, target: Image) -> str:
    lines = difflib.unified_diff(
        before.render().splitlines(), after.render().splitlines(), image.name, target.name, lineterm="", n=100
    )
    return "".join(f"{line}\n" for line in lines)


@cache
def _rules() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads((DATA / "rules.json").read_text(encoding="utf-8"))["rules"])
