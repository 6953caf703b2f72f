"""Adapters in memory: merged into a copy of the weights per tenant, or unmerged beside one base."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from provisioning.planner.evaluate import Evaluation, cents
from provisioning.planner.memory import MemoryPlan, MemoryWish, plan_memory
from provisioning.planner.options import HostedOption
from provisioning.planner.units import SECONDS_PER_YEAR, in_gib

# What is counted when a scenario names no rank of its own: vLLM's default of max_lora_rank.
USUAL_RANK = 16


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """One tenant one adapter, both ways, on the instance type of one option.

    `slots_at_most` adapters fit beside one base copy while it still runs `sequences_wanted` sequences; further
    adapters are loaded from the machine's own memory when they are asked for.
    """

    rank: int
    slot_bytes: int
    sequences_wanted: int
    slots_at_most: int
    tenants: int
    merged_bytes: int
    merged_instances: int | None
    merged_usd: Decimal | None
    unmerged_bytes: int
    unmerged_instances: int | None
    unmerged_usd: Decimal | None

    def as_dict(self) -> dict[str, Any]:
        """JSON: sizes in GiB, money as text in USD a year."""
        return {
            "rank": self.rank,
            "slot_gib": in_gib(self.slot_bytes),
            "sequences_wanted": self.sequences_wanted,
            "slots_at_most": self.slots_at_most,
            "tenants": self.tenants,
            "merged": _way(self.merged_bytes, self.merged_instances, self.merged_usd),
            "unmerged": _way(self.unmerged_bytes, self.unmerged_instances, self.unmerged_usd),
        }


def plan_adapters(result: Evaluation, option: HostedOption) -> AdapterPlan:
    """Merged adapters (weights x tenants) against unmerged ones (one base plus an adapter each).

    Merged, every tenant needs weights and at least one sequence of its own, wherever they are packed, and the copies
    still have to carry the load. Unmerged, tenants share the base copies that the load needs. Raises nothing.
    """
    scenario, memory = result.scenario, option.memory
    rank = scenario.lora_rank or USUAL_RANK
    slot = memory.wish.model.adapter_slot_bytes(rank)
    wanted = _sequences_wanted(result, option)
    room = memory.usable_bytes - memory.weight_bytes - wanted * memory.cache_bytes_per_sequence
    merged = _merged_instances(scenario.tenants, _without_slots(memory), option, scenario.requests_per_year)
    unmerged = option.instances(scenario.requests_per_year) if option.carries else None
    price = option.usd_per_instance_year
    return AdapterPlan(
        rank=rank,
        slot_bytes=slot,
        sequences_wanted=wanted,
        slots_at_most=max(0, room // slot),
        tenants=scenario.tenants,
        merged_bytes=scenario.tenants * memory.weight_bytes,
        merged_instances=merged,
        merged_usd=None if merged is None else merged * price,
        unmerged_bytes=memory.weight_bytes + scenario.tenants * slot,
        unmerged_instances=unmerged,
        unmerged_usd=None if unmerged is None else unmerged * price,
    )


def _sequences_wanted(result: Evaluation, option: HostedOption) -> int:
    """Sequences that the load needs on each of its instances in the busiest hour."""
    instances = option.instances(result.scenario.requests_per_year) if option.carries else 1
    work = result.scenario.requests_per_year * option.seconds_at_peak
    seconds = instances * SECONDS_PER_YEAR * (1 - result.scenario.headroom)
    return max(1, int(work // seconds) + (work % seconds > 0))


def _without_slots(memory: MemoryPlan) -> MemoryPlan:
    wish: MemoryWish = replace(memory.wish, lora_rank=0, lora_slots=0)
    return plan_memory(wish, memory.instance)


def _merged_instances(tenants: int, memory: MemoryPlan, option: HostedOption, requests_per_year: int) -> int | None:
    copies = memory.usable_bytes // (memory.weight_bytes + memory.cache_bytes_per_sequence)
    if copies == 0 or not option.carries:
        return None
    return max(-(-tenants // copies), option.instances(requests_per_year))


def _way(size: int, instances: int | None, usd: Decimal | None) -> dict[str, Any]:
    return {
        "memory_gib": in_gib(size),
        "instances": instances,
        "annual_usd": None if usd is None else f"{cents(usd)}",
    }
