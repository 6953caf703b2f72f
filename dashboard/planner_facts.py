"""What the planner's page shows of an answer: rows of options, the parts of the memory, what moves it, its sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from provisioning.planner.evaluate import Evaluation, requests
from provisioning.planner.options import ApiOption, HostedOption
from provisioning.planner.verdict import short

INPUT_WORDS = {
    "requests_per_year": "Requests a year",
    "tokens_in": "Tokens in",
    "tokens_out": "Tokens out",
    "seconds_per_request": "Seconds a request",
    "peak_to_average": "Peak over average",
    "context_tokens": "Context",
}


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One way to serve, as the table shows it; numbers that it does not have are None."""

    label: str
    is_hosted: bool
    is_cheapest: bool
    annual_usd: Decimal | None
    instances: int | None
    capacity: int | None
    used: Decimal | None
    break_even: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an instance's memory; `share` of the bar is in percent of the usable memory."""

    label: str
    gib: float
    look: str
    x: float
    share: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """How the load meets the cheapest hosting."""

    option: HostedOption
    instances: int
    rate: str
    peak_rate: str
    concurrent: str
    peak_concurrent: str
    sequences_together: int
    requests_per_year: int
    used: Decimal
    parts: Sequence[Part]
    usable_gib: float


@dataclass(frozen=True, slots=True)
class EffectRow:
    """What 20 % less and more of one input does, in words."""

    label: str
    hosted: tuple[Decimal, Decimal]
    api: tuple[Decimal, Decimal]
    instances: tuple[int, int]
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One input or figure of two scenarios: cells of the scenario's name and its value."""

    label: str
    cells: Sequence[tuple[str, str]]
    differs: bool


@dataclass(frozen=True, slots=True)
class Assumption:
    """A number that was taken from somewhere."""

    what: str
    value: str
    source: str
    as_of: date
    is_stale: bool


def option_rows(result: Evaluation) -> list[OptionRow]:
    """All options, the cheapest first, those that do not fit last."""
    load, hosted = result.scenario.requests_per_year, result.cheapest_hosted
    rows = []
    for option in result.options:
        is_hosted = isinstance(option, HostedOption)
        able = isinstance(option, ApiOption) or option.carries
        rows.append(
            OptionRow(
                label=option.label,
                is_hosted=is_hosted,
                is_cheapest=option is result.cheapest,
                annual_usd=result.annual_usd(option),
                instances=option.instances(load) if isinstance(option, HostedOption) and able else None,
                capacity=round(option.capacity_requests_per_year) if isinstance(option, HostedOption) else None,
                used=100 * option.utilisation(load) if isinstance(option, HostedOption) and able else None,
                break_even=_break_even(result, hosted, option) if isinstance(option, ApiOption) else "",
            )
        )
    return sorted(rows, key=lambda row: (row.annual_usd is None, row.annual_usd or 0))


def capacity_of(result: Evaluation) -> Capacity | None:
    """The capacity panel of the cheapest hosting; None when nothing fits."""
    option, scenario = result.cheapest_hosted, result.scenario
    if option is None:
        return None
    load = scenario.requests_per_year
    instances = option.instances(load)
    return Capacity(
        option=option,
        instances=instances,
        rate=short(scenario.requests_per_second),
        peak_rate=short(scenario.requests_per_second * scenario.peak_to_average),
        concurrent=short(scenario.concurrent_requests),
        peak_concurrent=short(scenario.peak_concurrent_requests),
        sequences_together=instances * option.sequences,
        requests_per_year=round(instances * option.capacity_requests_per_year),
        used=100 * option.utilisation(load),
        parts=_parts(option),
        usable_gib=option.memory.usable_bytes / 2**30,
    )


def effects_of(sensitivity: Sequence[dict[str, Any]]) -> list[EffectRow]:
    """The rows of "what moves the result most"; inputs that move nothing are left out."""
    rows = [
        EffectRow(
            label=INPUT_WORDS[each["input"]],
            hosted=(Decimal(each["hosted_usd"][0]), Decimal(each["hosted_usd"][1])),
            api=(Decimal(each["api_usd"][0]), Decimal(each["api_usd"][1])),
            instances=(each["instances"][0], each["instances"][1]),
            low=each["low"],
            high=each["high"],
        )
        for each in sensitivity
    ]
    return [row for row in rows if any((*row.hosted, *row.api))]


def assumptions(result: Evaluation) -> list[Assumption]:
    """Every price that the answer rests on, with its source and day."""
    found: dict[str, Assumption] = {}
    for option in result.options:
        if isinstance(option, ApiOption):
            price = option.price
            value = (
                f"{price.usd_per_million_tokens_in} in, {price.usd_per_million_tokens_out} out, USD per million tokens"
            )
            stale = price.is_stale(result.today)
            found[price.key] = Assumption(price.name, value, price.source, price.as_of, stale)
            continue
        instance, plan = option.instance, option.plan
        value = (
            f"{instance.usd_per_hour} USD an hour in {instance.region}; "
            f"{instance.accelerators} × {instance.accelerator} with {instance.memory_gib_per_accelerator} GiB"
        )
        stale = instance.is_stale(result.today)
        found[instance.key] = Assumption(instance.instance_type, value, instance.source, instance.as_of, stale)
        if plan:
            value = f"{plan.fraction_of_on_demand} of on demand"
            label, stale = f"Savings Plan, {plan.applies_to}", plan.is_stale(result.today)
            found[plan.key] = Assumption(label, value, plan.source, plan.as_of, stale)
    return list(found.values())


def compared_rows(sides: Sequence[tuple[str, Evaluation]]) -> list[ComparedRow]:
    """Inputs and main figures of scenarios, line by line; what differs is marked."""
    columns = [_figures(result) for _name, result in sides]
    rows = []
    for label in columns[0]:
        values = [column[label] for column in columns]
        cells = [(name, value) for (name, _result), value in zip(sides, values, strict=True)]
        rows.append(ComparedRow(label, cells, len(set(values)) > 1))
    return rows


def _figures(result: Evaluation) -> dict[str, str]:
    scenario, hosted, api = result.scenario, result.cheapest_hosted, result.cheapest_api
    load = scenario.requests_per_year
    return {
        "Tenants": f"{scenario.tenants:,}",
        "Requests a year": f"{load:,}",
        "Tokens in and out": f"{scenario.tokens_in.normalize():f} and {scenario.tokens_out.normalize():f}",
        "Duration": f"{scenario.seconds_per_request.normalize():f} s",
        "Peak over average": f"{scenario.peak_to_average.normalize():f}",
        "Context": f"{scenario.context_tokens:,}" if scenario.context_tokens else "the model's longest",
        "Adapter slots": f"{scenario.lora_slots} of rank {scenario.lora_rank}" if scenario.lora_slots else "none",
        "Region": scenario.region,
        "Cheapest": result.cheapest.label if result.cheapest else "nothing carries it",
        "Cheapest hosting": f"{hosted.label}: ${hosted.annual_usd(load):,.0f} a year" if hosted else "does not fit",
        "Instances": f"{hosted.instances(load):,}" if hosted else "–",
        "Cheapest API": f"{api.label}: ${api.annual_usd(load):,.0f} a year" if api else "none",
    }


def _break_even(result: Evaluation, hosted: HostedOption | None, api: ApiOption) -> str:
    if hosted is None:
        return "no hosting fits"
    found = result.break_evens[hosted.key, api.key]
    volume = f"{requests(found.requests_per_year or Decimal(0)):,}"
    if found.within_capacity:
        return f"hosting is cheaper from {volume} a year"
    return f"never: {volume} a year is beyond what one instance carries"


def _parts(option: HostedOption) -> list[Part]:
    memory = option.memory
    sizes = [
        ("Weights", memory.weight_bytes, "one"),
        ("Adapter slots", memory.adapter_bytes, "three"),
        (f"KV cache, {memory.sequences} sequences", memory.sequences * memory.cache_bytes_per_sequence, "two"),
        ("Free", memory.room_bytes - memory.sequences * memory.cache_bytes_per_sequence, "free"),
    ]
    parts, x = [], 0.0
    for label, size, look in sizes:
        share = 100 * size / memory.usable_bytes
        if size:
            parts.append(Part(label, size / 2**30, look, x, share))
        x += share
    return parts
