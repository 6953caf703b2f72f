"""A scenario: the load, what may host it, and which APIs it is compared with. Made from JSON, a form or an address."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import FieldError
from provisioning.planner.base_models import BaseModel
from provisioning.planner.catalogue import Catalogue
from provisioning.planner.memory import USABLE_FRACTION, MemoryWish, known_instance
from provisioning.planner.refusals import ImpossibleScenario, wrong
from provisioning.planner.units import GIB_BYTES, SECONDS_PER_YEAR

MOST_HOSTED, MOST_APIS = 6, 20
LONGEST_TEXT = 120
# (lowest, highest) of every number; the highest are far above any real load and keep the arithmetic exact.
LIMITS: Mapping[str, tuple[Decimal, Decimal]] = {
    "tenants": (Decimal(1), Decimal(1_000_000)),
    "requests_per_year": (Decimal(1), Decimal(10**12)),
    "tokens_in": (Decimal(1), Decimal(10_000_000)),
    "tokens_out": (Decimal(1), Decimal(10_000_000)),
    "seconds_per_request": (Decimal("0.001"), Decimal(3600)),
    "peak_to_average": (Decimal(1), Decimal(1000)),
    "headroom": (Decimal(0), Decimal("0.9")),
    "context_tokens": (Decimal(1), Decimal(10_000_000)),
    "lora_rank": (Decimal(0), Decimal(512)),
    "lora_slots": (Decimal(0), Decimal(10_000)),
    "usable_fraction": (Decimal("0.1"), Decimal(1)),
    "reserve_gib": (Decimal(0), Decimal(100)),
}
WHOLE = frozenset({"tenants", "requests_per_year", "context_tokens", "lora_rank", "lora_slots"})


@dataclass(frozen=True, slots=True)
class HostedChoice:
    """A model in a dtype on an instance type. Written `MODEL:DTYPE:INSTANCE`."""

    base_model: str
    dtype: str
    instance_type: str

    def __str__(self) -> str:
        return f"{self.base_model}:{self.dtype}:{self.instance_type}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """The inputs of a comparison. `apis` empty means every API with a price; `context_tokens` None the model's most.

    `peak_to_average` is the load of the busiest hour over the mean; `headroom` the share of sequences kept free in it.
    `seconds_per_request` is how long a request holds its sequence.
    """

    requests_per_year: int
    tokens_in: Decimal
    tokens_out: Decimal
    seconds_per_request: Decimal
    hosted: tuple[HostedChoice, ...]
    apis: tuple[str, ...] = ()
    region: str = "us-west-2"
    tenants: int = 1
    peak_to_average: Decimal = Decimal(1)
    headroom: Decimal = Decimal(0)
    context_tokens: int | None = None
    lora_rank: int = 0
    lora_slots: int = 0
    usable_fraction: Decimal = USABLE_FRACTION
    reserve_gib: Decimal = Decimal(0)
    name: str = field(default="", compare=False)

    @property
    def requests_per_second(self) -> Decimal:
        """The mean rate."""
        return Decimal(self.requests_per_year) / SECONDS_PER_YEAR

    @property
    def concurrent_requests(self) -> Decimal:
        """Requests in progress on average: rate x time in the system (Little's law)."""
        return self.requests_per_second * self.seconds_per_request

    @property
    def peak_concurrent_requests(self) -> Decimal:
        """Requests in progress in the busiest hour."""
        return self.concurrent_requests * self.peak_to_average

    @property
    def tokens_per_request(self) -> Decimal:
        """What one request's cache has to hold at its end."""
        return self.tokens_in + self.tokens_out

    def context_of(self, model: BaseModel) -> int:
        """Context that a sequence of this model is given."""
        if self.context_tokens is not None:
            return self.context_tokens
        return model.max_context_tokens or int(self.tokens_per_request.to_integral_value(rounding="ROUND_CEILING"))

    def memory_wish(self, model: BaseModel, dtype: str) -> MemoryWish:
        """What one copy of the model needs to hold."""
        return MemoryWish(
            model=model,
            dtype=dtype,
            cache_dtype=dtype,
            context_tokens=self.context_of(model),
            lora_rank=self.lora_rank,
            lora_slots=self.lora_slots,
            usable_fraction=self.usable_fraction,
            reserve_bytes=int(self.reserve_gib * GIB_BYTES),
        )


def read_scenario(data: Mapping[str, Any], catalogue: Catalogue) -> Scenario:
    """The scenario that JSON or a form describes; numbers may be text.

    `hosted` is a list of `MODEL:DTYPE:INSTANCE` or of objects with base_model, dtype and instance_type. Raises
    ImpossibleScenario with everything that is wrong, UnknownModel, UnknownInstance or UnknownTokenPrice.
    """
    known = {each.name for each in fields(Scenario)}
    errors = [
        wrong(str(name), f"There is no input {name}.", code="unknown_field") for name in data if name not in known
    ]
    values: dict[str, Any] = {}
    for name in LIMITS:
        if data.get(name) not in (None, ""):
            try:
                values[name] = read_number(name, data[name])
            except ValueError as error:
                errors.append(wrong(name, str(error)))
        elif name in ("requests_per_year", "tokens_in", "tokens_out", "seconds_per_request"):
            errors.append(wrong(name, f"{name} is needed.", code="required"))
    for name in ("region", "name"):
        text = data.get(name) or ""
        if not isinstance(text, str) or len(text) > LONGEST_TEXT or "\0" in text:
            errors.append(wrong(name, f"{name} is a text of at most {LONGEST_TEXT} characters."))
        elif text:
            values[name] = text
    values["hosted"], hosted_errors = _hosted(data.get("hosted"))
    values["apis"], api_errors = _apis(data.get("apis"))
    errors += hosted_errors + api_errors
    if errors:
        raise ImpossibleScenario(" ".join(error.detail for error in errors[:5]), errors=errors)
    scenario = Scenario(**values)
    refuse_impossible(scenario, catalogue)
    return scenario


def refuse_impossible(scenario: Scenario, catalogue: Catalogue) -> None:
    """Raises what `read_scenario` raises for things that the catalogue lacks or a model cannot do."""
    errors: list[FieldError] = []
    for choice in scenario.hosted:
        model = catalogue.base_model(choice.base_model)
        known_instance(catalogue, scenario.memory_wish(model, choice.dtype), choice.instance_type, scenario.region)
        context = scenario.context_of(model)
        if scenario.tokens_per_request > context:
            errors.append(
                wrong(
                    "context_tokens",
                    f"A request of {scenario.tokens_per_request.normalize():f} tokens in and out does not fit into a "
                    f"context of {context:,} tokens ({model.name}).",
                    code="impossible_context",
                )
            )
    if errors:
        raise ImpossibleScenario(errors[0].detail, errors=errors, hint="Choose a longer context, or fewer tokens.")


def read_number(name: str, value: Any) -> int | Decimal:
    """One input of LIMITS from a number or text. Raises ValueError with a sentence."""
    lowest, highest = LIMITS[name]
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        number = Decimal(str(value).strip().replace(",", "").replace("_", ""))
        fits = number.is_finite() and lowest <= number <= highest
    except InvalidOperation:
        raise ValueError(f"{name} has to be a number, not {str(value)[:40]!r}.") from None
    if not fits:
        raise ValueError(f"{name} has to be from {lowest:,} to {highest:,}, not {str(value)[:40]}.")
    if name not in WHOLE:
        return number
    if number != number.to_integral_value():
        raise ValueError(f"{name} has to be a whole number, not {str(value)[:40]}.")
    return int(number)


def as_data(scenario: Scenario) -> dict[str, Any]:
    """What `read_scenario` reads: JSON-ready, decimals as text."""
    found: dict[str, Any] = {}
    for each in fields(scenario):
        value = getattr(scenario, each.name)
        if each.name == "hosted":
            value = [str(choice) for choice in value]
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Decimal):
            value = f"{value.normalize():f}"
        found[each.name] = value
    return found


def _hosted(value: Any) -> tuple[tuple[HostedChoice, ...], list[FieldError]]:
    found = []
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_HOSTED:
        return (), [wrong("hosted", f"1 to {MOST_HOSTED} choices of MODEL:DTYPE:INSTANCE are needed.")]
    for each in value:
        parts = (
            [each.get("base_model"), each.get("dtype"), each.get("instance_type")]
            if isinstance(each, Mapping)
            else str(each).split(":")
        )
        if len(parts) != 3 or not all(isinstance(part, str) and 0 < len(part) <= LONGEST_TEXT for part in parts):
            return (), [wrong("hosted", f"{str(each)[:80]!r} is not MODEL:DTYPE:INSTANCE.")]
        choice = HostedChoice(*parts)
        if choice not in found:
            found.append(choice)
    return tuple(found), []


def _apis(value: Any) -> tuple[tuple[str, ...], list[FieldError]]:
    if value in (None, ""):
        return (), []
    listed = isinstance(value, list | tuple) and len(value) <= MOST_APIS
    if not listed or not all(isinstance(each, str) and len(each) <= LONGEST_TEXT for each in value):
        return (), [wrong("apis", f"At most {MOST_APIS} names of APIs.")]
    return tuple(dict.fromkeys(value)), []
