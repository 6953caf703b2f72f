"""record_event(): called inside the caller's transaction, so what happened and its record commit together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db import connection, models, transaction

from core import clock
from core.actors import Actor
from events.catalog import CATALOG
from events.dispatch import ring_bell
from events.models import Event, Outbox


class HasIds(Protocol):
    """What an event needs to know of a tenant; `events` lies below `tenants` and cannot name the model."""

    pk: Any
    public_id: Any


@dataclass(frozen=True, slots=True)
class Happening:
    """What one event tells, beside its name and who did it. `data` is what a webhook will carry."""

    tenant: HasIds | None
    subject: models.Model
    reason: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    data: dict[str, Any] | None = None


def record_event(
    name: str,
    *,
    tenant: HasIds | None,
    subject: models.Model,
    actor: Actor,
    reason: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> Event:
    """Record one event; see `record_events`."""
    [event] = record_events(name, [Happening(tenant, subject, reason, before, after, data)], actor=actor)
    return event


def record_events(name: str, happenings: Sequence[Happening], *, actor: Actor) -> list[Event]:
    """Write events of one name with their outbox rows, and ring the dispatcher once the transaction commits.

    Two statements, however many there are. Raises KeyError for a name outside the catalogue and RuntimeError outside a
    transaction: an event without the change it tells about, or the other way round, would be a lie.
    """
    if name not in CATALOG:
        raise KeyError(f"{name} is not in events/catalog.py")
    if not connection.in_atomic_block:
        raise RuntimeError("an event needs the transaction of the change it tells about")
    if not happenings:
        return []
    now = clock.now()
    events = Event.objects.bulk_create(_row(name, happening, actor, now) for happening in happenings)
    Outbox.objects.bulk_create(Outbox(event=event) for event in events)
    transaction.on_commit(_ring_dispatcher)
    return events


def _row(name: str, happening: Happening, actor: Actor, now: datetime) -> Event:
    tenant, subject = happening.tenant, happening.subject
    return Event(
        created_at=now,
        name=name,
        tenant_pk=tenant.pk if tenant else None,
        tenant_ref=tenant.public_id if tenant else "",
        subject_type=subject._meta.label,
        subject_pk=subject.pk,
        subject_ref=getattr(subject, "public_id", str(subject.pk)),
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        actor_name=actor.name,
        request_id=actor.request_id,
        reason=happening.reason,
        before=happening.before,
        after=happening.after,
        data=happening.data,
    )


def _ring_dispatcher() -> None:
    ring_bell("events.tasks.dispatch_events", {})
