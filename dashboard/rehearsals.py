"""What an action would come to, for the page that asks: it is done and taken back, so it says what the deed would."""

from collections.abc import Callable
from typing import Any

from core.errors import DomainError
from core.rehearsal import rehearse
from dashboard.templatetags.formatting import money_of


def outcome(act: Callable[[], Any], tell: Callable[[Any], list[str]]) -> list[str]:
    """What `tell` says of what `act` would answer; the reason when it would be refused."""
    try:
        return rehearse(lambda: tell(act()))
    except DomainError as refusal:
        return [f"As things stand it would be refused: {refusal.detail} {refusal.hint}".strip()]


def told_of_closing(invoices: list[Any]) -> list[str]:
    """The amounts and the date of an invoice that was closed just now."""
    [invoice] = invoices
    due = f"{money_of(invoice.amount_due, invoice.currency)} is due by {invoice.due_on:%-d %b %Y}."
    if not invoice.prepaid:
        return [due]
    return [f"{money_of(invoice.prepaid, invoice.currency)} is paid from the tenant's prepaid credit.", due]


def told_of_crediting(note: Any) -> list[str]:
    """What a note over all that is left gives back."""
    total, tax = money_of(note.total, note.currency), money_of(note.tax, note.currency)
    return [f"All that is left to credit comes to {total}, {tax} of it tax."]


def told_of_voiding(invoice: Any) -> list[str]:
    """What goes back to the tenant's credit."""
    if not invoice.prepaid:
        return []
    return [f"{money_of(invoice.prepaid, invoice.currency)} goes back to the tenant's prepaid credit."]
