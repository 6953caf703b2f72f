"""Doorbells: read what is due."""

from celery import shared_task
from django.conf import settings

from metering.services import collection


@shared_task(acks_late=True)
def collect_usage(**_: object) -> None:
    """Read the hours that are due, for half a lease at most; the next ring goes on."""
    collection.collect_usage(budget_seconds=settings.LEASE_SECONDS / 2)
