"""What a release needs of the accelerators, by the planner's own memory functions, before anybody decides."""

from typing import Any

from core.errors import DomainError
from dashboard.planner_inputs import dtype_of
from provisioning.planner.base_models import read_base_model
from provisioning.planner.memory import USABLE_FRACTION, MemoryPlan, MemoryWish, plan_memory, why_not
from provisioning.queries import lines_of, planner_catalogue

SHORTEST_CONTEXT = 2048


def memory_of_release(adapter: Any) -> list[str]:
    """A sentence for each line that the adapter's tenant serves on; none for a line that cannot be planned.

    Every slot has the profile's largest rank whatever the adapter's own is, so a release changes nothing in memory:
    the sentence says whether the line has the room that its settings promise.
    """
    catalogue, told = planner_catalogue(), []
    for line in lines_of(adapter.tenant_id):
        if not line.is_hosted:
            continue
        base, profile = line.hosting_profile.foundation_model, line.hosting_profile
        try:
            model = read_base_model(base.name, base.config)
            dtype = dtype_of(base)
            wish = MemoryWish(
                model=model,
                dtype=dtype,
                cache_dtype=dtype,
                context_tokens=model.max_context_tokens or SHORTEST_CONTEXT,
                lora_rank=profile.max_lora_rank,
                lora_slots=profile.max_loras,
                usable_fraction=USABLE_FRACTION,
            )
            plan = plan_memory(wish, catalogue.instance(line.instance_type, line.region))
        except DomainError:
            continue  # a model or an instance type that the catalogue does not know is no reason against a release
        told.append(_words(line.name, plan, " ".join(why_not(plan, catalogue.instances())) if not plan.fits else ""))
    return told


def _words(line: str, plan: MemoryPlan, refusal: str) -> str:
    if refusal:
        return f"Memory on {line}: {refusal}"
    wish = plan.wish
    return (
        f"Memory on {line} ({plan.instance.instance_type}): base and {wish.lora_slots} slots of rank {wish.lora_rank} "
        f"leave room for {plan.sequences:,} sequences of {wish.context_tokens:,} tokens."
    )
