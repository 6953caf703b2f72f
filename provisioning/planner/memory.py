"""Accelerator memory: what fits beside the weights, and which term is in the way when it does not."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from provisioning.planner.base_models import BaseModel
from provisioning.planner.catalogue import Catalogue, Instance
from provisioning.planner.refusals import ImpossibleScenario, UnknownInstance, UnknownRegion, wrong
from provisioning.planner.units import DTYPE_BITS, GIB_BYTES, in_gb, in_gib, said

# vLLM takes 90 % of each accelerator by default (gpu_memory_utilization); "about 5" of the published example needs it.
USABLE_FRACTION = Decimal("0.9")
LONGEST_CONTEXT_TOKENS = 10_000_000
LARGEST_RANK, MOST_SLOTS = 512, 10_000
WEIGHTS, ADAPTERS, CACHE = "weights", "adapters", "kv_cache"


@dataclass(frozen=True, slots=True)
class MemoryWish:
    """What is to be served: weights of `dtype`, a cache of `cache_dtype` for `context_tokens` per sequence, and slots.

    `reserve_bytes` per accelerator stay free for activations and buffers, on top of what `usable_fraction` leaves.
    """

    model: BaseModel
    dtype: str
    cache_dtype: str
    context_tokens: int
    lora_rank: int = 0
    lora_slots: int = 0
    usable_fraction: Decimal = USABLE_FRACTION
    reserve_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A wish on one instance: the terms in bytes, and how many sequences run at once beside them."""

    wish: MemoryWish
    instance: Instance
    usable_bytes: int
    weight_bytes: int
    adapter_bytes: int
    cache_bytes_per_sequence: int

    @property
    def room_bytes(self) -> int:
        """What weights and adapter slots leave for sequences; negative when they do not fit themselves."""
        return self.usable_bytes - self.weight_bytes - self.adapter_bytes

    @property
    def sequences(self) -> int:
        """Whole sequences of the full context at once; zero when it does not fit."""
        return max(0, self.room_bytes // self.cache_bytes_per_sequence)

    @property
    def sequences_exact(self) -> float:
        """The same before rounding down, for people who compare it with a slide."""
        return max(0.0, self.room_bytes / self.cache_bytes_per_sequence)

    @property
    def fits(self) -> bool:
        """Whether at least one sequence can run."""
        return self.sequences > 0

    @property
    def limiting_term(self) -> str:
        """What overflows: the weights, the adapter slots, or (also when all fits) the cache of one more sequence."""
        if self.weight_bytes > self.usable_bytes:
            return WEIGHTS
        if self.room_bytes < 0:
            return ADAPTERS
        return CACHE

    @property
    def missing_bytes(self) -> int:
        """How much more usable memory one sequence would need; zero when it fits."""
        return max(0, self.cache_bytes_per_sequence - self.room_bytes)

    def as_dict(self) -> dict[str, Any]:
        """Sizes in GiB, and the same in decimal GB."""
        sizes = {
            "weights": self.weight_bytes,
            "kv_{}_per_sequence": self.cache_bytes_per_sequence,
            "adapter": self.adapter_bytes,
            "usable": self.usable_bytes,
        }
        shown: dict[str, Any] = {}
        for unit, convert in (("gib", in_gib), ("gb", in_gb)):
            for name, size in sizes.items():
                shown[name.format(unit) if "{}" in name else f"{name}_{unit}"] = convert(size)
        return {
            **shown,
            "concurrent_sequences": self.sequences,
            "concurrent_sequences_exact": self.sequences_exact,
            "fits": self.fits,
            "limiting_term": self.limiting_term,
        }


def plan_memory(wish: MemoryWish, instance: Instance) -> MemoryPlan:
    """The wish on all accelerators of one instance, one copy of the model split over them (tensor parallelism).

    With more accelerators than key-value heads each keeps at least one head, so the cache is held several times.
    Raises ImpossibleScenario.
    """
    model = wish.model
    refuse_impossible(wish)
    total = instance.accelerators * instance.memory_bytes_per_accelerator
    usable = int(total * wish.usable_fraction) - instance.accelerators * wish.reserve_bytes
    cache = model.cache_bytes_per_token(wish.cache_dtype) * wish.context_tokens
    heads = model.architecture.key_value_heads
    return MemoryPlan(
        wish=wish,
        instance=instance,
        usable_bytes=max(0, usable),
        weight_bytes=model.weight_bytes(wish.dtype),
        adapter_bytes=wish.lora_slots * model.adapter_slot_bytes(wish.lora_rank),
        cache_bytes_per_sequence=cache * max(heads, instance.accelerators) // heads,
    )


def refuse_impossible(wish: MemoryWish) -> None:
    """Raises ImpossibleScenario for a dtype, a context or slots that the model cannot have."""
    errors = [
        wrong(name, f"{dtype!r} is none of {', '.join(DTYPE_BITS)}.", code="unknown_dtype")
        for name, dtype in (("dtype", wish.dtype), ("kv_dtype", wish.cache_dtype))
        if dtype not in DTYPE_BITS
    ]
    longest = wish.model.max_context_tokens or LONGEST_CONTEXT_TOKENS
    if not 1 <= wish.context_tokens <= longest:
        detail = f"{wish.model.name} takes a context of 1 to {longest:,} tokens, not {wish.context_tokens:,}."
        errors.append(wrong("context_tokens", detail, code="impossible_context"))
    if not (0 <= wish.lora_rank <= LARGEST_RANK and 0 <= wish.lora_slots <= MOST_SLOTS):
        detail = f"Adapter slots have a rank of 0 to {LARGEST_RANK}, and there are 0 to {MOST_SLOTS:,} of them."
        errors.append(wrong("lora_slots", detail))
    elif (wish.lora_rank == 0) != (wish.lora_slots == 0):
        errors.append(wrong("lora_slots", "Adapter slots need both a rank and a number, or neither."))
    if not 0 < wish.usable_fraction <= 1:
        errors.append(wrong("usable_fraction", "The usable fraction is above 0 and at most 1."))
    if wish.reserve_bytes < 0:
        errors.append(wrong("reserve_gib", "The reserve is not negative."))
    if errors:
        raise ImpossibleScenario(" ".join(error.detail for error in errors), errors=errors)


def smallest_instance(
    wish: MemoryWish, instances: Iterable[Instance], *, region: str, sequences: int = 1
) -> Instance | None:
    """The instance of the region with the least memory on which so many sequences fit; the cheapest of equals."""
    there = [each for each in instances if each.region == region]
    for instance in sorted(there, key=lambda each: (each.memory_bytes, each.usd_per_hour, each.instance_type)):
        if plan_memory(wish, instance).sequences >= sequences:
            return instance
    return None


def known_instance(catalogue: Catalogue, wish: MemoryWish, instance_type: str, region: str) -> Instance:
    """The instance type in the region.

    Raises UnknownRegion, and UnknownInstance, which names the smallest that would do instead.
    """
    try:
        return catalogue.instance(instance_type, region)
    except UnknownRegion:
        raise  # there is no smaller or larger one to name
    except UnknownInstance as error:
        refuse_impossible(wish)
        advice = _would_do(wish, catalogue.instances(), region)
        raise UnknownInstance(error.detail, hint=f"{error.hint} {advice}", errors=error.errors) from error


def why_not(plan: MemoryPlan, instances: Iterable[Instance]) -> tuple[str, str]:
    """For a plan that does not fit: what overflows in words, and the smallest instance that would do."""
    wish, instance = plan.wish, plan.instance
    before = {
        WEIGHTS: "",
        ADAPTERS: f" beside weights of {said(plan.weight_bytes)}",
        CACHE: f" beside {said(plan.weight_bytes + plan.adapter_bytes)} of weights and adapter slots",
    }[plan.limiting_term]
    what = {
        WEIGHTS: f"the {wish.dtype} weights need {said(plan.weight_bytes)}",
        ADAPTERS: f"{wish.lora_slots} adapter slots of rank {wish.lora_rank} need {said(plan.adapter_bytes)}",
        CACHE: f"the KV cache of one sequence of {wish.context_tokens:,} tokens needs "
        f"{said(plan.cache_bytes_per_sequence)}",
    }[plan.limiting_term]
    detail = (
        f"{wish.model.name} does not fit on {instance.instance_type}: {what}{before}, "
        f"and {said(plan.usable_bytes)} are usable."
    )
    return detail, _would_do(wish, instances, instance.region)


def _would_do(wish: MemoryWish, instances: Iterable[Instance], region: str) -> str:
    found = smallest_instance(wish, instances, region=region)
    if found is None:
        return (
            f"No instance type known in {region} would do. Use a smaller dtype, a shorter context or fewer adapter "
            "slots."
        )
    return (
        f"The smallest that would do in {region} is {found.instance_type} "
        f"({found.memory_bytes // GIB_BYTES} GiB, {found.usd_per_hour} USD an hour)."
    )
