"""Which prepaid credit pays for what: the credit that expires first is used first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Balance:
    """What remains of a grant, until when it may be used (None: for ever)."""

    grant_id: int
    remaining: Decimal
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Draw:
    """An amount to take from a grant; positive."""

    grant_id: int
    amount: Decimal


def plan_draws(needed: Decimal, balances: Sequence[Balance], *, at: datetime) -> list[Draw]:
    """What to draw for `needed` at an instant: earliest expiry first, and of two that expire together the older.

    Never more than is needed nor than a grant holds; what has expired by then is not touched.
    """
    draws = []
    usable = [balance for balance in balances if balance.expires_at is None or balance.expires_at > at]
    for balance in sorted(usable, key=lambda each: (each.expires_at or NEVER, each.grant_id)):
        amount = min(needed, balance.remaining)
        if amount > 0:
            draws.append(Draw(balance.grant_id, amount))
            needed -= amount
    return draws
