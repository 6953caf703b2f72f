"""Canary plans and the decision about one step of them. Pure: values in, a decision with its reasons out.

Latency is the 90th percentile, or the mean where CloudWatch has no percentile: an older kit put sums only.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MOST_STEPS = 10
LONGEST_BAKE_MINUTES = 1440
MOST_REQUESTS = 1_000_000

ADVANCE, HOLD, ROLL_BACK = "advance", "hold", "roll_back"
# Why a step is held, and why a canary is rolled back.
BAKING, PAUSED, FEW_REQUESTS = "baking", "paused", "few_requests"
ERRORS_ALARM, LATENCY_ALARM = "canary_errors", "canary_latency"


@dataclass(frozen=True, slots=True)
class Plan:
    """The shares in per cent that the new version gets, one after the other, before it gets everything.

    Each share lasts at least `bake_minutes`. It is rolled back when more than `max_error_share` (0 to 1) of the
    requests to it fail, and more than of those to the old version; or when its slow answers (the 90th percentile) take
    more than `max_latency_ratio` times as long as the old version's. Below `min_requests` to each nothing is concluded.
    """

    steps: tuple[int, ...]
    bake_minutes: int = 30
    max_error_share: Decimal = Decimal("0.05")
    max_latency_ratio: Decimal = Decimal("1.5")
    min_requests: int = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of the requests to one version: answered, failed, and how long the answered ones took together.

    `p90_milliseconds` is what nine of ten answers took at most, minute by minute, weighted by the requests of each;
    None where CloudWatch does not know.
    """

    answered: int = 0
    failed: int = 0
    busy_milliseconds: int = 0
    p90_milliseconds: Decimal | None = None

    @property
    def asked(self) -> int:
        """All requests."""
        return self.answered + self.failed

    @property
    def error_share(self) -> Decimal:
        """From 0 to 1; 0 where nothing was asked."""
        return Decimal(self.failed) / self.asked if self.asked else Decimal(0)

    @property
    def mean_milliseconds(self) -> Decimal:
        """Of the answered requests; 0 where there are none."""
        return Decimal(self.busy_milliseconds) / self.answered if self.answered else Decimal(0)

    def as_evidence(self) -> dict[str, Any]:
        """As it is kept and shown."""
        return {
            "requests": self.asked,
            "errors": self.failed,
            "error_share": float(round(self.error_share, 4)),
            "mean_milliseconds": float(round(self.mean_milliseconds, 1)),
            "p90_milliseconds": None if self.p90_milliseconds is None else float(round(self.p90_milliseconds, 1)),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the step now; `code` says why, `detail` says it to people."""

    what: str
    code: str
    detail: str


def errors_of(plan: Plan) -> list[tuple[str, str]]:
    """What is wrong with a plan, as (field, sentence)."""
    found = []
    rising = all(low < high for low, high in zip(plan.steps, plan.steps[1:], strict=False))
    if not plan.steps or len(plan.steps) > MOST_STEPS or not rising or not all(1 <= each <= 99 for each in plan.steps):
        found.append(
            ("steps", f"1 to {MOST_STEPS} rising shares from 1 to 99; all requests follow after the last one.")
        )
    if not 1 <= plan.bake_minutes <= LONGEST_BAKE_MINUTES:
        found.append(("bake_minutes", f"From 1 to {LONGEST_BAKE_MINUTES} minutes."))
    if not 0 <= plan.max_error_share < 1:
        found.append(("max_error_share", "From 0 to below 1; 0.05 is five per cent."))
    if not 1 <= plan.max_latency_ratio <= 100:
        found.append(("max_latency_ratio", "From 1 to 100 times the old version's."))
    if not 1 <= plan.min_requests <= MOST_REQUESTS:
        found.append(("min_requests", f"From 1 to {MOST_REQUESTS:,}."))
    return found


def decide(plan: Plan, *, new: Seen, old: Seen, is_baked: bool, is_paused: bool) -> Decision:
    """What to do with a step, by what was seen of both versions since it began.

    An alarm ends a paused canary too: its share of the traffic is as real as any.
    """
    alarm = _alarm(plan, new, old)
    if alarm is not None:
        return alarm
    if is_paused:
        return Decision(HOLD, PAUSED, "Somebody paused it; the alarms go on watching.")
    if not is_baked:
        return Decision(HOLD, BAKING, f"Each share lasts at least {plan.bake_minutes} minutes.")
    few = min(new.asked, old.asked)
    if few < plan.min_requests:
        return Decision(HOLD, FEW_REQUESTS, f"{few} of the {plan.min_requests} requests that each version must have.")
    return Decision(ADVANCE, "", f"{new.asked} requests without an alarm.")


def _alarm(plan: Plan, new: Seen, old: Seen) -> Decision | None:
    if new.asked < plan.min_requests:
        return None
    # What fails with the old version too is not the new one's doing.
    if new.error_share > plan.max_error_share and new.error_share > old.error_share:
        detail = (
            f"{new.failed} of {new.asked} requests failed ({new.error_share:.1%}); the plan allows "
            f"{plan.max_error_share:.1%}, and with the old version {old.error_share:.1%} failed."
        )
        return Decision(ROLL_BACK, ERRORS_ALARM, detail)
    if old.answered < plan.min_requests or new.answered < plan.min_requests or not old.busy_milliseconds:
        return None
    if new.p90_milliseconds is not None and old.p90_milliseconds is not None:
        took, took_before, of = new.p90_milliseconds, old.p90_milliseconds, "Nine of ten answers took at most"
    else:
        took, took_before, of = new.mean_milliseconds, old.mean_milliseconds, "An answer took on average"
    if took > plan.max_latency_ratio * took_before:
        detail = (
            f"{of} {took:.0f} ms, the old version's {took_before:.0f} ms; the plan allows "
            f"{plan.max_latency_ratio:.2f} times as long."
        )
        return Decision(ROLL_BACK, LATENCY_ALARM, detail)
    return None
