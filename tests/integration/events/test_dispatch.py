"""Events ring whoever reacts; a broker that is away loses nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app

from controlplane.reactions import REACTIONS
from events import dispatch
from events.dispatch import ring
from events.models import Outbox
from tests.factories import make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def reactions() -> Iterator[None]:
    dispatch.set_reactions({"tenant.signed_up": (ring("a.room.task", tenant_id="tenant"),)})
    yield
    dispatch.set_reactions(REACTIONS)


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What would go to the broker."""
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: sent.append((name, kwargs)))
    return sent


def test_an_event_rings_its_reactions_once_per_tenant(reactions: None, messages: list[Any]) -> None:
    tenant = make_tenant()
    assert dispatch.dispatch_events() == 1
    assert messages == [("a.room.task", {"tenant_id": tenant.pk})]
    assert not Outbox.objects.exists()
    assert dispatch.dispatch_events() == 0


def test_a_broker_that_is_away_leaves_the_event_waiting(reactions: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("no broker")

    make_tenant()
    monkeypatch.setattr(current_app, "send_task", refuse)
    assert dispatch.dispatch_events() == 0
    assert Outbox.objects.count() == 1


def test_a_reaction_passes_only_what_an_event_has() -> None:
    with pytest.raises(ValueError, match="invoice"):
        ring("a.room.task", invoice_id="invoice")
