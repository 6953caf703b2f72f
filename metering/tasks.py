"""Doorbells: read what is due, fold what was reported, keep sums and months in order."""

from celery import shared_task
from django.conf import settings

from metering.services import alarms, collection, events, gaps, retention, rollups


@shared_task(acks_late=True)
def collect_usage(**_: object) -> None:
    """Read the hours that are due, for half a lease at most; the next ring goes on."""
    collection.collect_usage(budget_seconds=settings.LEASE_SECONDS / 2)


@shared_task(acks_late=True)
def fold_events(**_: object) -> None:
    """Add reported events to their buckets."""
    events.fold_events()


@shared_task(acks_late=True)
def keep_rollups(**_: object) -> None:
    """Make the months ahead, and bring sums in line with changed hours and billing zones."""
    rollups.make_months_ahead()
    rollups.follow_zones()
    rollups.roll_up_hours()


@shared_task(acks_late=True)
def drop_old_months(**_: object) -> None:
    """Drop hours whose time is over and that nothing holds."""
    retention.drop_old_months()


@shared_task(acks_late=True)
def watch(**_: object) -> None:
    """Note gaps, raise alarms and close them; put tenants in their order."""
    rollups.rank_tenants()
    gaps.note_gaps()
    alarms.watch()
