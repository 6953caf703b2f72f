"""Doorbells of this room."""

from celery import shared_task

from events import dispatch
from events.webhooks import delivery, tidying


@shared_task(acks_late=True)
def dispatch_events(**_: object) -> None:
    """Tell waiting events to whoever reacts to them, until none waits."""
    while dispatch.dispatch_events() == dispatch.BATCH:
        pass


# One pass takes deliveries on for half a minute and waits for the last one; no lease of ours is bound to the task's.
@shared_task(acks_late=True, time_limit=60)
def deliver_webhooks(**_: object) -> None:
    """Send the webhooks that are due."""
    delivery.deliver_due()


@shared_task(acks_late=True)
def tidy_webhooks(**_: object) -> None:
    """Delete deliveries that are old, and switch off the endpoints of tenants that have left."""
    tidying.disable_departed()
    tidying.prune_deliveries()
