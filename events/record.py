"""record_event(): called inside the caller's transaction, so what happened and its record commit together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from django.db import connection, models, transaction

from core import clock
from core.actors import Actor
from core.ids import new_ids
from core.prepared import insert
from events.bell import Bell
from events.catalog import CATALOG
from events.models import Event

# An invoice run records thousands at a time: one statement and one document of JSON, which costs a fraction of as many
# model instances.
WRITE = """
    WITH told AS (
        INSERT INTO events_event (public_id, created_at, name, tenant_pk, tenant_ref, subject_type, subject_pk,
            subject_ref, actor_kind, actor_ref, actor_name, request_id, reason, before, after, data)
        SELECT public_id, %(at)s, %(name)s, tenant_pk, tenant_ref, subject_type, subject_pk, subject_ref,
            %(actor_kind)s, %(actor_ref)s, %(actor_name)s, %(request_id)s, reason, before, after, data
        FROM json_to_recordset(%(happenings)s::json) AS happening (
            public_id text, tenant_pk bigint, tenant_ref text, subject_type text, subject_pk bigint, subject_ref text,
            reason text, before jsonb, after jsonb, data jsonb
        )
        RETURNING id
    )
    INSERT INTO events_outbox (event_id) SELECT id FROM told
"""
_WITH_OUTBOX = "WITH told AS ({insert}) INSERT INTO events_outbox (event_id) SELECT id FROM told RETURNING event_id"
_DISPATCHER = Bell("events.tasks.dispatch_events")


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
    """Record one event with its outbox row; see `record_events`."""
    _refuse_misuse(name)
    event = Event(
        created_at=clock.now(),
        name=name,
        tenant_pk=tenant.pk if tenant else None,
        tenant_ref=tenant.public_id if tenant else "",
        subject_type=subject._meta.label,
        subject_pk=subject.pk,
        subject_ref=_ref(subject),
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        actor_name=actor.name,
        request_id=actor.request_id,
        reason=reason,
        before=before,
        after=after,
        data=data,
    )
    insert(event, within=_WITH_OUTBOX)
    transaction.on_commit(_DISPATCHER.ring)
    return event


def record_events(name: str, happenings: Sequence[Happening], *, actor: Actor) -> None:
    """Write events of one name with their outbox rows, and ring the dispatcher once the transaction commits.

    One statement, however many there are. Raises KeyError for a name outside the catalogue and RuntimeError outside a
    transaction: an event without the change it tells about, or the other way round, would be a lie.
    """
    _refuse_misuse(name)
    if not happenings:
        return
    refs = new_ids(Event.PREFIX, len(happenings))
    told: dict[str, Any] = {
        "at": clock.now(),
        "name": name,
        "actor_kind": actor.kind,
        "actor_ref": actor.ref,
        "actor_name": actor.name,
        "request_id": actor.request_id,
        "happenings": msgspec.json.encode([_row(*each) for each in zip(happenings, refs, strict=True)]).decode(),
    }
    with connection.cursor() as cursor:
        cursor.execute(WRITE, told)
    transaction.on_commit(_DISPATCHER.ring)


def _refuse_misuse(name: str) -> None:
    if name not in CATALOG:
        raise KeyError(f"{name} is not in events/catalog.py")
    if not connection.in_atomic_block:
        raise RuntimeError("an event needs the transaction of the change it tells about")


def _row(happening: Happening, public_id: str) -> dict[str, Any]:
    tenant, subject = happening.tenant, happening.subject
    return {
        "public_id": public_id,
        "tenant_pk": tenant.pk if tenant else None,
        "tenant_ref": tenant.public_id if tenant else "",
        "subject_type": subject._meta.label,
        "subject_pk": subject.pk,
        "subject_ref": _ref(subject),
        "reason": happening.reason,
        "before": happening.before,
        "after": happening.after,
        "data": happening.data,
    }


def _ref(subject: models.Model) -> str:
    ref: str = getattr(subject, "public_id", "") or str(subject.pk)
    return ref
