"""People at the door, and a tenant that has one of everything. Imports stand inside: Django is not set up yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from tests.integration.dashboard.furniture import Furnished


@pytest.fixture
def set_clock(clock_file: Any) -> Callable[[datetime], None]:
    """Move the business clock to an instant."""

    def move(to: datetime) -> None:
        clock_file.write_text(str(int((to - datetime.now(UTC)).total_seconds())))

    return move


@pytest.fixture
def sign_in(db: None) -> Callable[..., Client]:
    """A browser in which somebody with this role is signed in."""
    from django.test import Client

    from accounts.services import create_operator
    from tests.factories import TESTER

    def enter(role: str = "admin", **options: Any) -> Client:
        client = Client(**options)
        client.force_login(create_operator(name=f"person-{role}", role=role, actor=TESTER))
        return client

    return enter


@pytest.fixture
def admin(sign_in: Callable[..., Client]) -> Client:
    """A browser in which an administrator is signed in."""
    return sign_in("admin")


@pytest.fixture
def furnished(db: None, set_clock: Callable[[datetime], None]) -> Furnished:
    """A tenant with an adapter, a release, an operation, resources, a config, usage and invoices."""
    from tests.integration.dashboard.furniture import furnish

    return furnish(set_clock)
