"""Doorbells of billing, rung by beat: what is due stands in the database, so a lost ring costs one sweep."""

from celery import shared_task

from billing.services import closing, departures


@shared_task(acks_late=True)
def close_due_periods(**_: object) -> None:
    """Draft the months that are over, finalize the drafts whose grace has passed."""
    closing.close_due_periods()


@shared_task(acks_late=True)
def issue_final_invoices(**_: object) -> None:
    """Invoice the rest of every tenant that leaves, as soon as its usage is known."""
    departures.issue_final_invoices()
