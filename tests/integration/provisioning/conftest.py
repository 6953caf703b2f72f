"""The example catalogue, the local AWS, and a hand that runs passes.

Our rooms are imported inside the fixtures: this file is read before Django is set up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_stack.emulator import EmulatorClient
    from tests.integration.provisioning.world import World


@pytest.fixture
def world(db: None, aws: EmulatorClient) -> World:
    """One transaction around the test."""
    return _world(aws)


@pytest.fixture
def real_world(transactional_db: None, aws: EmulatorClient) -> World:
    """Commits for real: for threads and for processes that die."""
    return _world(aws)


def _world(aws: EmulatorClient) -> World:
    from core.actors import SYSTEM
    from provisioning.services.catalogue import seed_catalogue
    from tests.integration.provisioning.world import World

    seed_catalogue(actor=SYSTEM)
    world = World(aws)
    world.take_looks(1)
    return world
