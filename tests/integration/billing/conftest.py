"""A seeded price list and tenants with usage. Imports stand inside: this file is read before Django is set up."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest


@pytest.fixture
def set_clock(clock_file: Any) -> Callable[[datetime], None]:
    """Move the business clock to an instant."""

    def move(to: datetime) -> None:
        clock_file.write_text(str(int((to - datetime.now(UTC)).total_seconds())))

    return move


def seed_prices() -> None:
    """The example tiers and their price list."""
    from billing.services.seeding import seed_rate_cards
    from core.actors import SYSTEM
    from tests.factories import make_tier

    for tier in ("basic", "advanced", "premium"):
        make_tier(tier)
    seed_rate_cards(actor=SYSTEM)


@pytest.fixture
def world(db: None, set_clock: Callable[[datetime], None]) -> Any:
    """A price list, and tenants and usage on demand."""
    from tests.support.billing_world import World

    seed_prices()
    return World(set_clock)


@pytest.fixture
def october() -> Any:
    """The month that the tests invoice."""
    from tests.support.billing_world import OCTOBER

    return OCTOBER
