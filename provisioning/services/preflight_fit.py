"""The checks of the pre-flight that need no AWS: values in, one answer each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from core.errors import DomainError
from models_registry.queries import WantedRelease
from provisioning.config_policy import LineRules, outside_of
from provisioning.models import ServingLine
from provisioning.planner.base_models import read_base_model
from provisioning.planner.catalogue import Catalogue, Instance
from provisioning.planner.memory import MemoryPlan, MemoryWish, plan_memory, why_not
from provisioning.planner.units import said
from provisioning.services.preflight_report import PreflightCheck, passed, refused
from tenants.models import TierVersion

# What config.json calls the weights' type, in the planner's words; engines serve in it unless told otherwise.
SERVED_AS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
SHORTEST_CONTEXT = 2048
CONTEXT_SETTING = "OPTION_MAX_MODEL_LEN"


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """What the catalogue knows of a line's instance type; None when nothing."""

    check: PreflightCheck
    instance: Instance | None


def check_lines(version: TierVersion, names: Sequence[str]) -> PreflightCheck:
    """Whether the tier version serves anywhere."""
    if names:
        return passed("serving_lines", f"{version} serves on {', '.join(names)}.")
    detail = f"{version} has no serving line."
    return refused("serving_lines", "no_serving_line", detail, what_to_do="Route the tier version to a line.")


def check_residency(line: LineRules, allowed: Sequence[str]) -> PreflightCheck:
    """Whether a line answers only where the tenant may be served: in its region, or all over its geography."""
    key = f"residency:{line.name}"
    if not allowed:
        return passed(key, "The tenant's models may run in any region.")
    outside = outside_of(line, allowed)
    if not outside:
        return passed(key, f"Line {line.name} answers only in allowed regions.")
    return refused(
        key,
        "region_outside_residency",
        f"{line.model_name} on line {line.name} may answer in {outside}, and the tenant's models may run only in "
        f"{', '.join(allowed)}.",
        what_to_do="Choose a tier whose lines stay in an allowed region.",
    )


def check_instance(catalogue: Catalogue, line: ServingLine) -> FoundInstance:
    """Whether the catalogue knows the line's instance type: in its region, or at least in another one."""
    key = f"instance_type:{line.name}"
    of_type = [each for each in catalogue.instances() if each.instance_type == line.instance_type]
    for instance in sorted(of_type, key=lambda each: each.region != line.region):
        price = "" if instance.region == line.region else f" Its price in {line.region} is not known."
        told = f"{instance.instance_type} has {instance.accelerators} {instance.accelerator}.{price}"
        return FoundInstance(passed(key, told), instance)
    known = ", ".join(sorted({each.instance_type for each in catalogue.instances()}))
    detail = f"Line {line.name} asks for the instance type {line.instance_type}, which the catalogue does not know."
    advice = f"Known are {known}. Change the line, or import the type's row into the catalogue."
    return FoundInstance(refused(key, "unknown_instance", detail, what_to_do=advice), None)


def check_copies(line: ServingLine, instance: Instance, *, beside: Sequence[int], most: int) -> PreflightCheck:
    """Whether the copies of the base have accelerators enough when the endpoint has grown to `most` instances.

    `beside` are the accelerators of each copy that is on the endpoint already. A copy lies on one instance.
    """
    key, each = f"copies:{line.name}", line.hosting_profile.accelerators
    if each > instance.accelerators:
        return refused(
            key,
            "impossible_copies",
            f"One copy needs {each} accelerators, and {line.instance_type} has {instance.accelerators}.",
            shortfall=f"{each - instance.accelerators} accelerators are missing on one instance.",
            what_to_do="Choose a larger instance type for the line.",
        )
    needed = instances_needed([*beside, *[each] * line.copies], instance.accelerators)
    others = f" beside {len(beside)} that are there" if beside else ""
    if needed <= most:
        return passed(key, f"{line.copies} copies{others} need {needed} of at most {most} instances.")
    return refused(
        key,
        "impossible_copies",
        f"{line.copies} copies{others} need {needed} x {line.instance_type}, and the endpoint grows to {most}.",
        shortfall=f"{needed - most} instances are missing.",
        what_to_do="Ask for fewer copies, or let the line have more instances.",
    )


def check_host_memory(catalogue: Catalogue, line: ServingLine, *, beside: Sequence[int], most: int) -> PreflightCheck:
    """Whether the copies get the memory of the host that they ask for, on at most `most` instances.

    `beside` is what each copy that is on the endpoint already asks for, in MiB. SageMaker keeps part of it to itself
    and does not say how much, so what fits here barely may still fail there.
    """
    key, each = f"host_memory:{line.name}", line.hosting_profile.min_memory_mb
    known = catalogue.host_memory(line.instance_type)
    if known is None:
        return passed(key, f"The host memory of {line.instance_type} is not known, so it was not checked.")
    if each > known.mebibytes:
        enough = [row for row in catalogue.instances() if row.region == line.region and _holds(catalogue, row, each)]
        advice = f"The cheapest that would do in {line.region} is {enough[0].instance_type}. " if enough else ""
        return refused(
            key,
            "insufficient_host_memory",
            f"One copy asks for {each:,} MiB of host memory, and {line.instance_type} has {known.mebibytes:,} MiB.",
            shortfall=f"{each - known.mebibytes:,} MiB are missing on one instance.",
            what_to_do=f"{advice}Choose a larger instance type for the line, or let its profile ask for less.",
        )
    needed = instances_needed([*beside, *[each] * line.copies], known.mebibytes)
    others = f" beside {len(beside)} that are there" if beside else ""
    told = f"{line.copies} copies with {each:,} MiB of host memory each{others} need {needed} x {line.instance_type}"
    if needed <= most:
        return passed(key, f"{told}, of at most {most}.")
    return refused(
        key,
        "insufficient_host_memory",
        f"{told}, and the endpoint grows to {most}.",
        shortfall=f"{needed - most} instances are missing.",
        what_to_do="Ask for fewer copies, let the line have more instances, or choose a larger instance type.",
    )


def _holds(catalogue: Catalogue, instance: Instance, mebibytes: int) -> bool:
    known = catalogue.host_memory(instance.instance_type)
    return known is not None and known.mebibytes >= mebibytes


def instances_needed(copies: Sequence[int], room: int) -> int:
    """On how many instances with so much room (accelerators, or memory) the copies fit, the largest placed first."""
    free: list[int] = []
    for size in sorted(copies, reverse=True):
        place = next((index for index, left in enumerate(free) if left >= size), None)
        if place is None:
            free.append(room - size)
        else:
            free[place] -= size
    return len(free)


def check_memory(catalogue: Catalogue, line: ServingLine, instance: Instance) -> PreflightCheck:
    """Whether weights, adapter slots and one sequence fit on the accelerators of one copy, by the planner's sums."""
    key = f"memory:{line.name}"
    base = line.hosting_profile.foundation_model
    try:
        plan = memory_of_copy(line, instance)
    except DomainError as error:
        return passed(key, f"The memory of {base.name} cannot be worked out, so it was not checked: {error.detail}")
    if plan.fits:
        wish = plan.wish
        return passed(
            key,
            f"{base.name} and {wish.lora_slots} slots of rank {wish.lora_rank} leave room for {plan.sequences:,} "
            f"sequences of {wish.context_tokens:,} tokens.",
        )
    detail, advice = why_not(plan, catalogue.instances())
    return refused(
        key,
        "insufficient_memory",
        detail,
        shortfall=f"{said(plan.missing_bytes)} are missing.",
        what_to_do=advice,
    )


def memory_of_copy(line: ServingLine, instance: Instance) -> MemoryPlan:
    """One copy of a hosted line's base with its adapter slots, on as many accelerators of an instance as it takes.

    Raises a DomainError for a model or settings that the planner cannot count.
    """
    profile = line.hosting_profile
    base = profile.foundation_model
    dtype = SERVED_AS.get(str(base.config.get("torch_dtype") or base.config.get("dtype")), "bf16")
    model = read_base_model(base.name, base.config)
    context = str(profile.environment.get(CONTEXT_SETTING, ""))
    wish = MemoryWish(
        model=model,
        dtype=dtype,
        cache_dtype=dtype,
        context_tokens=int(context) if context.isdigit() else model.max_context_tokens or SHORTEST_CONTEXT,
        lora_rank=profile.max_lora_rank,
        lora_slots=profile.max_loras,
    )
    return plan_memory(wish, replace(instance, accelerators=min(profile.accelerators, instance.accelerators)))


def check_weights(line: ServingLine, bucket: str, home: str) -> PreflightCheck:
    """Whether the base's weights lie in the line's region, as SageMaker wants it; known only of our own bucket."""
    key, base = f"weights:{line.name}", line.hosting_profile.foundation_model
    where = urlsplit(base.model_data_uri)
    if where.netloc != bucket or line.region == home:
        return passed(key, f"{base.name} is read from {base.model_data_uri}.")
    return refused(
        key,
        "weights_in_another_region",
        f"The weights of {base.name} lie in {home}; an endpoint in {line.region} cannot read them there.",
        what_to_do=f"Copy them into a bucket in {line.region} and register the base model with that address.",
    )


def check_rank(version: TierVersion, line: ServingLine) -> PreflightCheck:
    """Whether the line's engine loads every rank that the tier promises."""
    key, limit = f"adapter_rank:{line.name}", line.hosting_profile.max_lora_rank
    if version.max_lora_rank <= limit:
        return passed(
            key, f"{line.hosting_profile.max_loras} slots of rank {limit}; {version} promises {version.max_lora_rank}."
        )
    return refused(
        key,
        "adapter_rank_too_large",
        f"{version} promises adapters of rank {version.max_lora_rank}, and {line.name} loads up to rank {limit}.",
        shortfall=f"{version.max_lora_rank - limit} ranks are missing.",
        what_to_do="Route the tier to a line with a larger maximum rank.",
    )


def check_adapters(
    version: TierVersion, lines: Sequence[ServingLine], wanted: Sequence[WantedRelease]
) -> list[PreflightCheck]:
    """Whether the tenant's adapters are as many as the tier allows, and load on its first line."""
    served = [each for each in wanted if each.version is not None]
    checks = []
    if len(served) > version.max_adapters:
        checks.append(
            refused(
                "adapter_slots",
                "too_many_adapters",
                f"The tenant serves {len(served)} adapters, and {version} allows {version.max_adapters}.",
                shortfall=f"{len(served) - version.max_adapters} adapters are too many.",
                what_to_do="Withdraw some of them first, or choose a larger tier.",
            )
        )
    else:
        checks.append(passed("adapter_slots", f"{len(served)} of {version.max_adapters} adapters are served."))
    for each in served:
        checks += [_check_adapter(each, line) for line in lines[:1]]
    return checks


def _check_adapter(each: WantedRelease, line: ServingLine) -> PreflightCheck:
    name, profile = each.adapter.name, line.hosting_profile
    key, rank = f"adapter:{name}", (each.version.rank if each.version else None) or 0
    if each.adapter.foundation_model_id != profile.foundation_model_id:
        detail = (
            f"{name} was trained on {each.adapter.foundation_model}, and {line.name} serves {profile.foundation_model}."
        )
        return refused(key, "adapter_of_another_base", detail, what_to_do="Choose a tier that serves its base model.")
    if rank > profile.max_lora_rank:
        return refused(
            key,
            "adapter_rank_too_large",
            f"{name} has rank {rank}, and {line.name} loads up to rank {profile.max_lora_rank}.",
            shortfall=f"{rank - profile.max_lora_rank} ranks are missing.",
            what_to_do="Choose a tier whose line loads that rank.",
        )
    return passed(key, f"{name} (rank {rank}) loads on {line.name}.")
