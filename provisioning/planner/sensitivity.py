"""What moves the result most: every input 20 % down and up, and what that does to the cheapest of each kind."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from provisioning.planner.catalogue import Catalogue
from provisioning.planner.evaluate import Evaluation, cents, evaluate
from provisioning.planner.scenario import LIMITS, WHOLE, Scenario

SWING = Decimal("0.2")
MOVED = ("requests_per_year", "tokens_in", "tokens_out", "seconds_per_request", "peak_to_average", "context_tokens")


@dataclass(frozen=True, slots=True)
class Effect:
    """What one input does, 20 % down and 20 % up: the change in USD a year, and in instances of the hosting."""

    name: str
    low: Decimal
    high: Decimal
    hosted_usd: tuple[Decimal, Decimal]
    api_usd: tuple[Decimal, Decimal]
    instances: tuple[int, int]

    @property
    def weight(self) -> Decimal:
        """The largest change of any side; the order of the list."""
        return max(abs(change) for change in (*self.hosted_usd, *self.api_usd))

    def as_dict(self) -> dict[str, Any]:
        """JSON: money as text in USD a year."""
        return {
            "input": self.name,
            "low": f"{self.low.normalize():f}",
            "high": f"{self.high.normalize():f}",
            "hosted_usd": [f"{cents(each)}" for each in self.hosted_usd],
            "api_usd": [f"{cents(each)}" for each in self.api_usd],
            "instances": list(self.instances),
        }


def sensitivity(result: Evaluation, catalogue: Catalogue, today: date) -> list[Effect]:
    """The effects of all inputs, the strongest first. An input stops at its limit instead of leaving it.

    The choice of options follows the input too: a longer context may make another instance the cheapest.
    """
    effects = [_effect(result, name, catalogue, today) for name in MOVED if _value(result.scenario, name) is not None]
    return sorted(effects, key=lambda effect: -effect.weight)


def _effect(result: Evaluation, name: str, catalogue: Catalogue, today: date) -> Effect:
    scenario = result.scenario
    value = Decimal(_value(scenario, name) or 0)
    lowest, highest = LIMITS[name]
    if name == "context_tokens":
        lowest = scenario.tokens_per_request
        longest = [catalogue.base_model(each.base_model).max_context_tokens for each in scenario.hosted]
        highest = min([highest, *(Decimal(each) for each in longest if each is not None)])
    elif name in ("tokens_in", "tokens_out"):
        others = scenario.tokens_per_request - value
        contexts = [scenario.context_of(catalogue.base_model(each.base_model)) for each in scenario.hosted]
        highest = min([highest, *(context - others for context in contexts)])
    ends = [max(lowest, value * (1 - SWING)), min(highest, value * (1 + SWING))]
    if name in WHOLE:
        ends = [end.to_integral_value() for end in ends]
    moved = [evaluate(_moved(scenario, name, end), catalogue, today) for end in ends]
    return Effect(
        name=name,
        low=ends[0],
        high=ends[1],
        hosted_usd=(_hosted(moved[0]) - _hosted(result), _hosted(moved[1]) - _hosted(result)),
        api_usd=(_api(moved[0]) - _api(result), _api(moved[1]) - _api(result)),
        instances=(_instances(moved[0]) - _instances(result), _instances(moved[1]) - _instances(result)),
    )


def _value(scenario: Scenario, name: str) -> Decimal | int | None:
    found: Decimal | int | None = getattr(scenario, name)
    return found


def _moved(scenario: Scenario, name: str, value: Decimal) -> Scenario:
    return replace(scenario, **{name: int(value) if name in WHOLE else value})  # type: ignore[arg-type]


def _hosted(result: Evaluation) -> Decimal:
    best = result.cheapest_hosted
    return best.annual_usd(result.scenario.requests_per_year) if best else Decimal(0)


def _api(result: Evaluation) -> Decimal:
    best = result.cheapest_api
    return best.annual_usd(result.scenario.requests_per_year) if best else Decimal(0)


def _instances(result: Evaluation) -> int:
    best = result.cheapest_hosted
    return best.instances(result.scenario.requests_per_year) if best else 0
