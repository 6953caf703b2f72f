"""Doorbells of billing, rung by beat: what is due stands in the database, so a lost ring costs one sweep."""

from celery import shared_task

from billing.services import closing, departures, exports, late_usage, wallet

# A long export outlives the lease that its rows are taken with: it renews the lease after every page, and what it
# writes names its fence, so a second worker that took it over makes the file and the first makes none.
LONGEST_EXPORT_SECONDS = 3600


@shared_task(acks_late=True)
def close_due_periods(**_: object) -> None:
    """Draft the months that are over, finalize the drafts whose grace has passed."""
    closing.close_due_periods()


@shared_task(acks_late=True)
def issue_final_invoices(**_: object) -> None:
    """Invoice the rest of every tenant that leaves, as soon as its usage is known."""
    departures.issue_final_invoices()


@shared_task(acks_late=True, time_limit=LONGEST_EXPORT_SECONDS)
def make_exports(**_: object) -> None:
    """Make the files that were asked for, and those whose worker died; throw away those whose time is over."""
    exports.make_due_exports()
    exports.expire_exports()


@shared_task(acks_late=True)
def issue_late_notes(**_: object) -> None:
    """Credit or debit what became known after an invoice was closed."""
    late_usage.correct_due_invoices()


@shared_task(acks_late=True)
def expire_credits(**_: object) -> None:
    """Write off prepaid credit whose time is over."""
    wallet.expire_credits()
