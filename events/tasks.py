"""Doorbells of this room."""

from celery import shared_task

from events import dispatch


@shared_task(acks_late=True)
def dispatch_events(**_: object) -> None:
    """Tell waiting events to whoever reacts to them, until none waits."""
    while dispatch.dispatch_events() == dispatch.BATCH:
        pass
