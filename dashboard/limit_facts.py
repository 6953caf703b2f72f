"""How full a tenant's token limits are, in words and bars."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provisioning.services.limits import window_use

METERS = {"input_tokens": "Input tokens", "output_tokens": "Output tokens", "total_tokens": "Tokens in and out"}
WHEN_FULL = {
    "hard": "refuses requests when full",
    "soft": "marks requests when full",
    "shadow": "only counts",
}


@dataclass(frozen=True, slots=True)
class LimitBar:
    """One limit: its name, how much of it is used or held, when its window ends and what happens when it is full."""

    title: str
    used: int
    amount: int
    ends_at: datetime
    when_full: str

    @property
    def is_full(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.amount


@dataclass(frozen=True, slots=True)
class LimitNotice:
    """A threshold that was reached in a window that still runs."""

    title: str
    percent: int
    seen_at: datetime


def limit_notices(alerts: Iterable[Any]) -> list[LimitNotice]:
    """Alerts in words."""
    return [
        LimitNotice(f"{METERS[each.meter]} per {each.window}", each.threshold_percent, each.created_at)
        for each in alerts
    ]


def limit_bars(tenant_id: int) -> Sequence[LimitBar] | None:
    """A bar per limit; none without limits, None when the table of counts does not answer."""
    found = window_use(tenant_id=tenant_id)
    if found is None:
        return None
    return [
        LimitBar(
            title=f"{METERS[each.meter]} per {each.window}",
            used=each.used,
            amount=each.amount,
            ends_at=each.ends_at,
            when_full=WHEN_FULL[each.mode],
        )
        for each in found
    ]
