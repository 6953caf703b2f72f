"""At-least-once fan-out: events in the outbox ring the tasks that react to them, and become webhook deliveries.

A message is only a bell. When the broker is away nothing fails: the outbox row stays and the sweep rings again.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

from events.models import Event, Outbox
from events.webhooks.fan_out import make_deliveries

log = logging.getLogger(__name__)

BATCH = 500


@dataclass(frozen=True, slots=True)
class Reaction:
    """Ring `task`, passing the pk of the event's tenant or subject under the argument names given."""

    task: str
    arguments: Mapping[str, str]

    def arguments_for(self, event: Event) -> dict[str, Any]:
        """The keyword arguments of the task for one event."""
        values = {"tenant": event.tenant_pk, "subject": event.subject_pk}
        return {name: values[source] for name, source in self.arguments.items()}


def ring(task: str, **arguments: str) -> Reaction:
    """`ring("provisioning.tasks.converge_tenant", tenant_id="tenant")` for the table of reactions."""
    unknown = set(arguments.values()) - {"tenant", "subject"}
    if unknown:
        raise ValueError(f"a reaction passes 'tenant' or 'subject', not {sorted(unknown)}")
    return Reaction(task, arguments)


_reactions: Mapping[str, tuple[Reaction, ...]] = {}


def set_reactions(reactions: Mapping[str, tuple[Reaction, ...]]) -> None:
    """Called once at start-up by the shell, which alone knows the rooms above."""
    global _reactions
    _reactions = reactions


def dispatch_events() -> int:
    """Tell up to `BATCH` waiting events, oldest first, to their reactions and webhooks; answers how many were told.

    Two dispatchers at once ring twice, which is harmless, and write each delivery once.
    An event whose bells could not be rung stays waiting.
    """
    waiting = list(Event.objects.filter(outbox__isnull=False).order_by("pk")[:BATCH])
    bells = {
        (reaction.task, tuple(sorted(reaction.arguments_for(event).items())))
        for event in waiting
        for reaction in _reactions.get(event.name, ())
    }
    # One bell per task and arguments: fifty events of one tenant need one look at it.
    if not all(ring_bell(task, dict(arguments)) for task, arguments in sorted(bells, key=repr)):
        return 0
    if make_deliveries(waiting):
        ring_bell("events.tasks.deliver_webhooks", {})  # unheard, the sweep sends them
    Outbox.objects.filter(pk__in=[event.pk for event in waiting]).delete()
    return len(waiting)


def ring_bell(task: str, arguments: dict[str, Any]) -> bool:
    """Send one message; False, and a line in the log, when the broker does not take it."""
    try:
        current_app.send_task(task, kwargs=arguments)
    except (OperationalError, OSError) as error:
        log.warning("the broker did not take %s: %s; the sweep will ring again", task, error)
        return False
    return True
