"""What one way to serve costs at any volume: an API along a line, hosting in steps of whole instances."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from provisioning.planner.catalogue import Instance, SavingsPlan, TokenPrice
from provisioning.planner.memory import MemoryPlan
from provisioning.planner.units import HOURS_PER_YEAR, SECONDS_PER_YEAR

# Two hosted options are compared step by step up to this many instances of the dearer step.
MOST_STEPS = 64


@dataclass(frozen=True)
class ApiOption:
    """Tokens bought from an API. Its quota is not modelled: it carries any load at its price per request."""

    price: TokenPrice
    usd_per_request: Decimal

    @cached_property
    def key(self) -> str:
        """Stable name, such as `api:claude-3-haiku`."""
        return f"api:{self.price.api}"

    @property
    def label(self) -> str:
        """Name for people."""
        return f"{self.price.name} (API)"

    def annual_usd(self, requests_per_year: Decimal | int) -> Decimal:
        """Requests x price of one request."""
        return requests_per_year * self.usd_per_request


@dataclass(frozen=True)
class HostedOption:
    """Whole instances, on demand or under a Savings Plan.

    `sequences` run at once on one instance with the headroom taken off. `seconds_at_peak` is how long a request holds
    its sequence, times the load's peak over its average: sequences have to be there for the busiest hour.
    """

    key: str
    label: str
    memory: MemoryPlan
    plan: SavingsPlan | None
    sequences: int
    seconds_at_peak: Decimal

    @cached_property
    def capacity_requests_per_year(self) -> Decimal:
        """What one instance carries: sequences x seconds of a year / seconds of a request at the peak."""
        return self.sequences * SECONDS_PER_YEAR / self.seconds_at_peak

    @property
    def instance(self) -> Instance:
        """What it runs on."""
        return self.memory.instance

    @cached_property
    def usd_per_hour(self) -> Decimal:
        """Price of one instance: on demand, or the plan's fraction of it."""
        on_demand = self.instance.usd_per_hour
        return on_demand * self.plan.fraction_of_on_demand if self.plan else on_demand

    @cached_property
    def usd_per_instance_year(self) -> Decimal:
        """Price x 8,760 hours: an endpoint is paid for whether it is used or not."""
        return self.usd_per_hour * HOURS_PER_YEAR

    @property
    def carries(self) -> bool:
        """Whether any number of instances can carry any load: at least one sequence fits."""
        return self.sequences > 0

    def instances(self, requests_per_year: Decimal | int) -> int:
        """Whole instances for a volume, at least one. Call it only when `carries`."""
        # Compared as products, because a quotient that was rounded up would add an instance at a full last one.
        wanted, one = requests_per_year * self.seconds_at_peak, self.sequences * SECONDS_PER_YEAR
        return max(1, int(wanted // one) + (wanted % one > 0))

    def annual_usd(self, requests_per_year: Decimal | int) -> Decimal:
        """Instances x price of a year."""
        return self.instances(requests_per_year) * self.usd_per_instance_year

    def utilisation(self, requests_per_year: Decimal | int) -> Decimal:
        """Used share of what the instances could carry, from 0 to 1."""
        return requests_per_year / (self.instances(requests_per_year) * self.capacity_requests_per_year)


Option = ApiOption | HostedOption


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where one option starts to cost less than another.

    For hosting against an API: `requests_per_year` at which one instance costs what the API does, whatever it can
    carry; `utilisation` is that over the capacity of one instance; `within_capacity` says whether it is at most 1.
    Above 1 there is no break-even at any volume, because more instances raise cost and capacity alike. Within it,
    hosting is cheaper up to what one instance carries, and so again on each step once that much of it is used. For
    other pairs the volume is None where the same one is always cheaper.
    """

    requests_per_year: Decimal | None
    utilisation: Decimal | None
    within_capacity: bool
    cheaper_below: str
    cheaper_above: str


def hosted_against_api(hosted: HostedOption, api: ApiOption) -> BreakEven:
    """Volume = price of an instance-year / price of a request."""
    volume = hosted.usd_per_instance_year / api.usd_per_request
    if not hosted.carries:
        return BreakEven(volume, None, False, api.key, api.key)
    utilisation = volume / hosted.capacity_requests_per_year
    within = utilisation <= 1
    return BreakEven(volume, utilisation, within, api.key, hosted.key if within else api.key)


def api_against_api(one: ApiOption, other: ApiOption) -> BreakEven:
    """Both are lines through zero: the lower one is cheaper at every volume."""
    cheaper = one if one.usd_per_request <= other.usd_per_request else other
    return BreakEven(None, None, True, cheaper.key, cheaper.key)


def hosted_against_hosted(one: HostedOption, other: HostedOption) -> BreakEven:
    """The first volume at which the order of two staircases under the same load turns.

    An exact walk over the steps of the one that starts lower, up to MOST_STEPS instances of it.
    """
    if not (one.carries and other.carries):
        able = one if one.carries else other
        return BreakEven(None, None, able.carries, able.key, able.key)
    low, high = sorted((one, other), key=lambda each: (each.usd_per_instance_year, -each.sequences))
    low_usd, high_usd = low.usd_per_instance_year, high.usd_per_instance_year
    if high.sequences <= low.sequences:  # never more room for more money
        return BreakEven(None, None, True, low.key, low.key)
    for steps in range(1, MOST_STEPS + 1):
        # Just above what `steps` instances carry the lower staircase has taken its next step.
        if (steps * low.sequences // high.sequences + 1) * high_usd < (steps + 1) * low_usd:
            edge = steps * low.capacity_requests_per_year
            return BreakEven(edge, edge / high.capacity_requests_per_year, True, low.key, high.key)
    return BreakEven(None, None, True, low.key, low.key)


def break_even(one: Option, other: Option) -> BreakEven:
    """Where the order of any two options turns."""
    match one, other:
        case HostedOption(), ApiOption():
            return hosted_against_api(one, other)
        case ApiOption(), HostedOption():
            return hosted_against_api(other, one)
        case HostedOption(), HostedOption():
            return hosted_against_hosted(one, other)
        case ApiOption(), ApiOption():
            return api_against_api(one, other)
    raise TypeError(f"no break-even between {type(one).__name__} and {type(other).__name__}")
