"""A scenario's answer: every option's cost and capacity, and where each pair of them breaks even."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import cached_property
from itertools import combinations
from typing import Any

from provisioning.planner.catalogue import Catalogue
from provisioning.planner.memory import MemoryPlan, plan_memory, why_not
from provisioning.planner.options import ApiOption, BreakEven, HostedOption, Option, break_even
from provisioning.planner.scenario import HostedChoice, Scenario, as_data
from provisioning.planner.units import SECONDS_PER_YEAR

ON_DEMAND, SAVINGS_PLAN = "on_demand", "savings_plan_1y"
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Evaluation:
    """What came out. Options are in the order of the scenario: hosted first, then APIs by name."""

    scenario: Scenario
    today: date
    hosted: Sequence[HostedOption]
    apis: Sequence[ApiOption]
    refusals: Sequence[tuple[HostedChoice, str, str]]

    @property
    def options(self) -> list[Option]:
        """All of them."""
        return [*self.hosted, *self.apis]

    @property
    def able(self) -> list[Option]:
        """Those that can carry the load."""
        return [option for option in self.options if isinstance(option, ApiOption) or option.carries]

    def annual_usd(self, option: Option) -> Decimal | None:
        """Its cost of a year under this load; None when it cannot carry any."""
        if isinstance(option, HostedOption) and not option.carries:
            return None
        return option.annual_usd(self.scenario.requests_per_year)

    @cached_property
    def cheapest(self) -> Option | None:
        """The cheapest option that can carry the load."""
        return min(self.able, key=lambda each: each.annual_usd(self.scenario.requests_per_year), default=None)

    @cached_property
    def cheapest_hosted(self) -> HostedOption | None:
        """The cheapest hosting that can carry the load."""
        able = [each for each in self.hosted if each.carries]
        return min(able, key=lambda each: each.annual_usd(self.scenario.requests_per_year), default=None)

    @cached_property
    def cheapest_api(self) -> ApiOption | None:
        """The cheapest API."""
        return min(self.apis, key=lambda each: each.usd_per_request, default=None)

    @cached_property
    def break_evens(self) -> dict[tuple[str, str], BreakEven]:
        """Between every two options, found under both orders of their keys."""
        found: dict[tuple[str, str], BreakEven] = {}
        for one, other in combinations(self.options, 2):
            found[one.key, other.key] = found[other.key, one.key] = break_even(one, other)
        return found


def evaluate(scenario: Scenario, catalogue: Catalogue, today: date) -> Evaluation:
    """Price every option of a scenario. Raises what `scenario.refuse_impossible` and `plan_memory` raise."""
    hosted: list[HostedOption] = []
    refusals = []
    for choice in scenario.hosted:
        model = catalogue.base_model(choice.base_model)
        instance = catalogue.instance(choice.instance_type, scenario.region)
        memory = plan_memory(scenario.memory_wish(model, choice.dtype), instance)
        if not memory.fits:
            refusals.append((choice, *why_not(memory, catalogue.instances())))
        hosted += _hosted_options(scenario, choice, memory, catalogue)
    prices = (
        [catalogue.token_price(api, today) for api in scenario.apis] if scenario.apis else catalogue.token_prices(today)
    )
    apis = [ApiOption(price, price.usd_per_request(scenario.tokens_in, scenario.tokens_out)) for price in prices]
    return Evaluation(scenario, today, hosted, apis, refusals)


def _hosted_options(
    scenario: Scenario, choice: HostedChoice, memory: MemoryPlan, catalogue: Catalogue
) -> list[HostedOption]:
    sequences = int((memory.sequences * (1 - scenario.headroom)).to_integral_value(rounding=ROUND_FLOOR))
    seconds = scenario.seconds_per_request * scenario.peak_to_average
    name = f"{memory.wish.model.name} {choice.dtype.upper()} on {choice.instance_type}"
    plan = catalogue.savings_plan(choice.instance_type)
    found = [HostedOption(f"hosted:{choice}:{ON_DEMAND}", f"{name}, on demand", memory, None, sequences, seconds)]
    if plan is not None:
        key, label = f"hosted:{choice}:{SAVINGS_PLAN}", f"{name}, 1-year Savings Plan"
        found.append(HostedOption(key, label, memory, plan, sequences, seconds))
    return found


def cents(amount: Decimal) -> Decimal:
    """An amount as people see it; the only rounding of money in the planner."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def requests(amount: Decimal) -> int:
    """A break-even volume as a whole number of requests: up to it the other option costs no more."""
    return int(amount.to_integral_value(rounding=ROUND_FLOOR))


def as_dict(result: Evaluation) -> dict[str, Any]:
    """The answer as JSON: money as text in USD, volumes as whole numbers."""
    scenario = result.scenario
    return {
        "scenario": as_data(scenario),
        "load": {
            "requests_per_second": float(scenario.requests_per_second),
            "concurrent_requests": float(scenario.concurrent_requests),
            "peak_concurrent_requests": float(scenario.peak_concurrent_requests),
        },
        "options": [_option(result, option) for option in result.options],
        "cheapest": result.cheapest.key if result.cheapest else None,
        "cheapest_hosted": result.cheapest_hosted.key if result.cheapest_hosted else None,
        "cheapest_api": result.cheapest_api.key if result.cheapest_api else None,
        "refusals": [
            {"option": str(choice), "detail": detail, "hint": hint} for choice, detail, hint in result.refusals
        ],
    }


def _option(result: Evaluation, option: Option) -> dict[str, Any]:
    load, cost = result.scenario.requests_per_year, result.annual_usd(option)
    shown: dict[str, Any] = {
        "id": option.key,
        "name": option.label,
        "kind": "api" if isinstance(option, ApiOption) else "hosted",
        "annual_usd": None if cost is None else f"{cents(cost)}",
    }
    if isinstance(option, ApiOption):
        price = option.price
        shown |= {"usd_per_request": f"{option.usd_per_request.normalize():f}", "capacity_requests_per_year": None}
        shown |= {"source": price.source, "as_of": f"{price.as_of}", "is_stale": price.is_stale(result.today)}
    else:
        sources = [option.instance, *([option.plan] if option.plan else [])]
        shown |= {
            "instance_type": option.instance.instance_type,
            "instances": option.instances(load) if option.carries else None,
            "usd_per_hour": f"{option.usd_per_hour.normalize():f}",
            "annual_usd_per_instance": f"{cents(option.usd_per_instance_year)}",
            "concurrent_sequences": option.sequences,
            "capacity_requests_per_year": round(option.capacity_requests_per_year),
            "capacity_requests_per_second": float(option.capacity_requests_per_year / SECONDS_PER_YEAR),
            "utilisation": float(option.utilisation(load)) if option.carries else None,
            "within_capacity_of_one_instance": option.carries and load <= option.capacity_requests_per_year,
            "memory": option.memory.as_dict(),
            "source": "; ".join(each.source for each in sources),
            "as_of": f"{min(each.as_of for each in sources)}",
            "is_stale": any(each.is_stale(result.today) for each in sources),
        }
    shown["break_even"] = [
        _break_even(other.key, result.break_evens[option.key, other.key])
        for other in result.options
        if other is not option
    ]
    return shown


def _break_even(other: str, found: BreakEven) -> dict[str, Any]:
    return {
        "with": other,
        "requests_per_year": None if found.requests_per_year is None else requests(found.requests_per_year),
        "utilisation": None if found.utilisation is None else float(found.utilisation),
        "within_capacity": found.within_capacity,
        "cheaper_below": found.cheaper_below,
        "cheaper_above": found.cheaper_above,
    }
