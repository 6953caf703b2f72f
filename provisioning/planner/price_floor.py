"""What a tenant must pay at least: its share of the instances that keep a tier's promise about waiting."""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any

from provisioning.planner.evaluate import Evaluation, cents
from provisioning.planner.options import HostedOption

MONTHS = 12
MOST_SEQUENCES = 100_000


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """A tier's promise: at most this share of requests waits for a free sequence in the busiest hour.

    `is_shared` says whether its tenants share instances or each has its own.
    """

    key: str
    is_shared: bool
    waiting_share_at_most: float


# The three tiers of the product; the shares are assumptions, shown as such, until a tier carries its own.
SERVICE_LEVELS = (
    ServiceLevel("basic", True, 0.20),
    ServiceLevel("advanced", True, 0.05),
    ServiceLevel("premium", False, 0.01),
)


@dataclass(frozen=True, slots=True)
class PriceFloor:
    """The least that covers hosting, per tenant and month, if all tenants of the scenario were on this tier."""

    level: ServiceLevel
    sequences: int
    instances: int
    usd_per_tenant_month: Decimal

    def as_dict(self) -> dict[str, Any]:
        """JSON: money as text in USD."""
        return {
            "tier": self.level.key,
            "is_shared": self.level.is_shared,
            "waiting_share_at_most": self.level.waiting_share_at_most,
            "sequences": self.sequences,
            "instances": self.instances,
            "usd_per_tenant_month": f"{cents(self.usd_per_tenant_month)}",
        }


def waiting_share(offered: float, sequences: int) -> float:
    """Share of requests that find every sequence busy (Erlang C), for `offered` requests in progress on average.

    1.0 when the sequences cannot keep up. Erlang's recursion B(n) = a B(n-1) / (n + a B(n-1)), then
    C = n B / (n - a (1 - B)).
    """
    if sequences <= offered:
        return 1.0
    blocked = 1.0
    for number in range(1, sequences + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return sequences * blocked / (sequences - offered * (1 - blocked))


def sequences_for(offered: float, share_at_most: float) -> int:
    """The fewest sequences with which at most that share waits; one pass of Erlang's recursion.

    Raises ValueError above MOST_SEQUENCES.
    """
    blocked, number = 1.0, 0
    while number < MOST_SEQUENCES:
        number += 1
        blocked = offered * blocked / (number + offered * blocked)
        if number > offered and number * blocked / (number - offered * (1 - blocked)) <= share_at_most:
            return number
    raise ValueError(f"more than {MOST_SEQUENCES} sequences")


def price_floors(result: Evaluation, option: HostedOption) -> list[PriceFloor]:
    """The floor of each tier on one option's instances; empty when no sequence fits or the load is beyond counting."""
    scenario = result.scenario
    offered = float(scenario.peak_concurrent_requests)
    if not option.carries or offered > MOST_SEQUENCES / 2:
        return []
    found = []
    for level in SERVICE_LEVELS:
        groups = 1 if level.is_shared else scenario.tenants
        sequences = sequences_for(offered / groups, level.waiting_share_at_most)
        instances = groups * ceil(sequences / option.sequences)
        usd = instances * option.usd_per_instance_year / scenario.tenants / MONTHS
        found.append(PriceFloor(level, groups * sequences, instances, usd))
    return found
