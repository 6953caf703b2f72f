"""The planner's inputs on a page: what the address says, what the form shows, and where a scenario can start.

The address holds the whole scenario, so that it can be shared, saved and gone back to.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.http import QueryDict
from django.utils.http import urlencode

from core.errors import Conflict
from dashboard.reading import LONGEST
from metering.queries import Latency, measured_latency, usage_by_hour
from provisioning.planner.adapters import USUAL_RANK
from provisioning.planner.catalogue import Catalogue
from provisioning.planner.presets import BLANK, PUBLISHED_EXAMPLE, load_presets
from provisioning.planner.scenario import LIMITS, HostedChoice, Scenario, as_data
from provisioning.planner.units import DTYPE_BITS, HOURS_PER_YEAR
from provisioning.queries import lines_of
from provisioning.services.preflight_fit import SERVED_AS

ROWS = ("a", "b", "c")
MEASURED_DAYS = 28
HOUR = timedelta(hours=1)
# A prompt is as long as it is, whether a cache spared some of it or not.
DIRECTIONS = {
    "in": ("input_tokens", "cached_input_tokens", "cache_write_input_tokens"),
    "out": ("output_tokens",),
}


class NoUsage(Conflict):
    """Nothing was measured that a scenario could start from."""

    code = "no_usage"
    title = "No usage to start from"


@dataclass(frozen=True, slots=True)
class Slider:
    """A number with a slider beside it. The slider covers the usual range; the number may go beyond it."""

    name: str
    label: str
    unit: str
    lowest: str
    highest: str
    step: str
    help: str = ""


LOAD = (
    Slider("tenants", "Tenants", "", "1", "1000", "1"),
    Slider("requests_per_year", "Requests", "a year", "100000", "200000000", "100000"),
    Slider("tokens_in", "Tokens in", "a request", "1", "8000", "1"),
    Slider("tokens_out", "Tokens out", "a request", "1", "4000", "1"),
    Slider("seconds_per_request", "Duration", "s a request", "0.1", "30", "0.1"),
    Slider("peak_to_average", "Peak over average", "×", "1", "10", "0.1", "The busiest hour over the mean."),
)
MEMORY = (
    Slider("context_tokens", "Context", "tokens", "1024", "131072", "1024", "Kept for every sequence at once."),
    Slider("lora_slots", "Adapter slots", "", "0", "64", "1", "In accelerator memory at once (max_loras)."),
    Slider("lora_rank", "Rank of a slot", "", "0", "256", "8", "The engine reserves this for each slot."),
    Slider("headroom", "Headroom", "", "0", "0.9", "0.05", "Share of sequences kept free in the busiest hour."),
    Slider("usable_fraction", "Usable memory", "", "0.5", "1", "0.01", "What the engine may take of each accelerator."),
    Slider("reserve_gib", "Reserve", "GiB each", "0", "16", "0.5", "Kept free per accelerator for activations."),
)


@dataclass(frozen=True, slots=True)
class Field:
    """A slider with the value that the page shows."""

    slider: Slider
    value: str


@dataclass(frozen=True, slots=True)
class Start:
    """The inputs that a scenario starts from, and for measured ones what each rests on."""

    inputs: dict[str, Any]
    told: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class HostedRow:
    """One row of choices of what may host; the first one is needed."""

    row: str
    base_model: str
    dtype: str
    instance_type: str


def text_in(query: QueryDict, name: str) -> str:
    """A parameter as `dashboard.reading.text_of` gives it, of an address that came inside a form as well."""
    return query.get(name, "").replace("\0", "").strip()[:LONGEST]


def read_inputs(query: QueryDict) -> dict[str, Any]:
    """What an address says, for `read_scenario`; what it does not say stays out."""
    data: dict[str, Any] = {name: query[name] for name in LIMITS if query.get(name)}
    data |= {name: query[name] for name in ("region", "name") if query.get(name)}
    rows = [
        ":".join(query.get(f"{part}_{row}", "").strip() for part in ("model", "dtype", "instance"))
        for row in ROWS
        if query.get(f"instance_{row}")
    ]
    data["hosted"] = rows + query.getlist("hosted")
    data["apis"] = query.getlist("apis")
    # Two sliders that only make sense together: no slots need no rank, and slots without a rank get the usual one.
    if data.get("lora_slots", "0") == "0":
        data.pop("lora_rank", None)
    elif data.get("lora_rank", "0") == "0":
        data["lora_rank"] = str(USUAL_RANK)
    return data


def as_query(scenario: Scenario) -> str:
    """The address's parameters that give this scenario again."""
    data = as_data(scenario)
    pairs: list[tuple[str, str]] = []
    for name, value in data.items():
        if isinstance(value, list):
            pairs += [(name, str(each)) for each in value]
        elif value not in (None, ""):
            pairs.append((name, str(value)))
    return urlencode(pairs)


def fields(sliders: Iterable[Slider], data: Mapping[str, Any], scenario: Scenario | None) -> list[Field]:
    """The sliders with the scenario's numbers; with what was typed where that is no scenario."""
    shown = as_data(scenario) if scenario else data
    return [Field(slider, _shown(shown.get(slider.name))) for slider in sliders]


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def hosted_rows(data: Mapping[str, Any]) -> tuple[list[HostedRow], list[str]]:
    """The rows of the form, one of them free, and the choices beyond them, which go along unseen."""
    chosen = [str(each) for each in data.get("hosted", [])]
    rows = []
    for number, row in enumerate(ROWS[: max(2, len(chosen) + 1)]):
        parts = (chosen[number] if number < len(chosen) else "").split(":")
        rows.append(HostedRow(row, *(parts if len(parts) == 3 else ("", "fp16", ""))))
    return rows, chosen[len(ROWS) :]


def choices(catalogue: Catalogue, region: str) -> dict[str, Any]:
    """What the selects of the form offer: every instance type, with its price in the region where it has one."""
    regions = sorted({each.region for each in catalogue.instances()})
    prices: dict[str, Decimal | None] = {each.instance_type: None for each in catalogue.instances()}
    prices |= {each.instance_type: each.usd_per_hour for each in catalogue.instances() if each.region == region}
    return {
        "models": sorted(catalogue.base_models.values(), key=lambda model: model.name.lower()),
        "dtypes": list(DTYPE_BITS),
        "instances": [{"instance_type": name, "usd_per_hour": price} for name, price in prices.items()],
        "regions": regions,
    }


def preset_inputs(key: str) -> dict[str, Any]:
    """The inputs of a preset; of the published example for a name that is none."""
    presets = load_presets()
    return dict(presets.get(key, presets[PUBLISHED_EXAMPLE]).scenario)


def start_from_usage(tenants: Sequence[Any], *, now: datetime, name: str, catalogue: Catalogue) -> Start:
    """A scenario from what tenants used in the last 28 days, on the first of them's first hosted line.

    Requests are stretched to a year, the peak is the busiest hour over the mean, the duration the mean of the requests
    whose time was measured, or else the published example's. Raises NoUsage.
    """
    ids, end = [tenant.pk for tenant in tenants], now.replace(minute=0, second=0, microsecond=0)
    since = end - timedelta(days=MEASURED_DAYS)
    load = _measure(ids, since, end)
    if load is None:
        raise NoUsage(
            f"{name} has no requests in the last {MEASURED_DAYS} days.",
            hint="Start from the published example, or once its data plane has answered requests.",
        )
    latency = measured_latency(tenant_ids=ids, start=since, end=end)
    inputs = preset_inputs(BLANK) | load.inputs | {"tenants": len(tenants), "name": f"{name}, measured"}
    inputs["seconds_per_request"] = (
        _mean_seconds(latency) if latency else preset_inputs(PUBLISHED_EXAMPLE)["seconds_per_request"]
    )
    if lines := [line for line in lines_of(tenants[0].pk) if line.is_hosted]:
        line, profile = lines[0], lines[0].hosting_profile
        base = profile.foundation_model
        inputs["hosted"] = [str(HostedChoice(base.name, dtype_of(base), line.instance_type))]
        inputs["region"] = line.region
        inputs |= {"lora_rank": profile.max_lora_rank, "lora_slots": profile.max_loras}
        longest = catalogue.base_model(base.name).max_context_tokens if base.name in catalogue.base_models else None
        inputs["context_tokens"] = min(inputs["context_tokens"], longest or inputs["context_tokens"])
    load_words = f"Load: {_counted(load.requests)} {_span(load.since, end)}."
    return Start(inputs, (load_words, _duration_words(latency, inputs["seconds_per_request"])))


def dtype_of(base: Any) -> str:
    """The dtype in which a registered base model is served, as its config.json says."""
    return SERVED_AS.get(str(base.config.get("torch_dtype") or base.config.get("dtype")), "bf16")


@dataclass(frozen=True, slots=True)
class _Load:
    requests: int
    since: datetime
    inputs: dict[str, Any]


def _measure(tenant_ids: Collection[int], since: datetime, end: datetime) -> _Load | None:
    rows = usage_by_hour(tenant_ids=tenant_ids, start=since, end=end)
    requests = {row.hour: row.quantity for row in rows if row.meter == "requests"}
    total = sum(requests.values())
    if not total:
        return None
    first = min(requests)
    hours = max(1, (end - first) // HOUR)
    sums = {
        direction: sum(row.quantity for row in rows if row.meter in meters) for direction, meters in DIRECTIONS.items()
    }
    peak = Decimal(max(requests.values())) * hours / total
    inputs = {
        "requests_per_year": max(1, total * HOURS_PER_YEAR // hours),
        "tokens_in": str(max(Decimal(1), _tenth(Decimal(sums["in"]) / total))),
        "tokens_out": str(max(Decimal(1), _tenth(Decimal(sums["out"]) / total))),
        "peak_to_average": str(min(Decimal(1000), max(Decimal(1), _tenth(peak)))),
    }
    return _Load(total, first, inputs)


def _mean_seconds(latency: Latency) -> str:
    lowest, highest = LIMITS["seconds_per_request"]
    mean = Decimal(latency.busy_milliseconds) / latency.requests / 1000
    return str(min(highest, max(lowest, mean.quantize(Decimal("0.001")))).normalize())


def _duration_words(latency: Latency | None, seconds: str) -> str:
    if latency is None:
        return f"Duration: {seconds} s of the published example, because none was measured."
    return (
        f"Duration: {seconds} s, the mean of {_counted(latency.requests)} whose time was measured, "
        f"{_span(latency.start, latency.end)}."
    )


def _counted(requests: int) -> str:
    return f"{requests:,} request{'' if requests == 1 else 's'}"


def _span(start: datetime, end: datetime) -> str:
    return f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _tenth(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.1"))
