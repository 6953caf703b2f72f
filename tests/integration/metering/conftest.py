"""A month of tenants and metrics on the local AWS, with the clock in hand.

Our rooms are imported inside the fixtures: this file is read before Django is set up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_stack.emulator import EmulatorClient
    from tests.integration.metering.between import Between
    from tests.integration.metering.meterage import Meterage


@pytest.fixture
def meterage(db: None, aws: EmulatorClient) -> Meterage:
    """One transaction around the test; the clock stands at the start of an hour."""
    from tests.integration.metering.meterage import Meterage

    return Meterage(aws)


@pytest.fixture
def real_meterage(transactional_db: None, aws: EmulatorClient) -> Meterage:
    """Commits for real: for threads and for processes that die."""
    from tests.integration.metering.meterage import Meterage

    return Meterage(aws)


@pytest.fixture
def between(aws: EmulatorClient, settings: object) -> Iterator[Between]:
    """Something between us and CloudWatch that breaks answers as it is told."""
    from tests.integration.metering.between import standing_between

    with standing_between(settings) as found:
        yield found
