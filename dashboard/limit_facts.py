"""How full a tenant's token limits are, in words and bars."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aws.gateway import WindowUse
from provisioning.services.limits import window_use

METERS = {"input_tokens": "Input tokens", "output_tokens": "Output tokens", "total_tokens": "Tokens in and out"}
WHEN_FULL = {
    "hard": "refuses requests when full",
    "soft": "marks requests when full",
    "shadow": "only counts",
}
# An allowance is no limit: what it has no room for is not refused while another line may answer.
LINE_FULL = "sends requests to the next line when full, and refuses them where there is none"


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


def when_full(limit: Any) -> str:
    """What happens to requests that a limit, or a line's allowance, has no room for."""
    return LINE_FULL if limit.line else WHEN_FULL[limit.mode]


def limit_notices(alerts: Iterable[Any]) -> list[LimitNotice]:
    """Alerts in words."""
    return [LimitNotice(_title(each), each.threshold_percent, each.created_at) for each in alerts]


def limit_bars(tenant_id: int) -> Sequence[LimitBar] | None:
    """A bar per limit; none without limits, None when the table of counts does not answer."""
    found = window_use(tenant_id=tenant_id)
    if found is None:
        return None
    return [
        LimitBar(
            title=_title(each),
            used=each.used,
            amount=each.amount,
            ends_at=each.ends_at,
            when_full=when_full(each),
        )
        for each in sorted(found, key=_shortest_first)
    ]


def _shortest_first(use: WindowUse) -> tuple[bool, timedelta]:
    """The tenant's own limits by their windows, and then its allowances on lines."""
    return bool(use.line), use.ends_at - use.starts_at


def _title(limit: Any) -> str:
    words = f"{METERS[limit.meter]} per {limit.window}"
    return f"{words}, allowance of {limit.line}" if limit.line else words
