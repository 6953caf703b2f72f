"""record_event(): called inside the caller's transaction, so what happened and its record commit together."""

from typing import Any, Protocol

from django.db import connection, models, transaction

from core.actors import Actor
from events.catalog import CATALOG
from events.dispatch import ring_bell
from events.models import Event, Outbox


class HasIds(Protocol):
    """What an event needs to know of a tenant; `events` lies below `tenants` and cannot name the model."""

    pk: Any
    public_id: Any


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
    """Write the event and its outbox row, and ring the dispatcher once the surrounding transaction commits.

    Raises KeyError for a name outside the catalogue and RuntimeError outside a transaction: an event without the
    change it tells about, or the other way round, would be a lie.
    """
    if name not in CATALOG:
        raise KeyError(f"{name} is not in events/catalog.py")
    if not connection.in_atomic_block:
        raise RuntimeError("record_event needs the transaction of the change it tells about")
    event = Event.objects.create(
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
        reason=reason,
        before=before,
        after=after,
        data=data,
    )
    Outbox.objects.create(event=event)
    transaction.on_commit(_ring_dispatcher)
    return event


def _ring_dispatcher() -> None:
    ring_bell("events.tasks.dispatch_events", {})
