"""What an event about an invoice carries: enough for a billing system to decide whether to read more."""

from collections.abc import Iterable
from typing import Any

from billing.content import instant, money_text
from billing.models import Invoice
from core.actors import Actor
from events.record import Happening, record_events


def record_invoice_events(name: str, invoices: Iterable[Invoice], *, actor: Actor, reason: str = "") -> None:
    """Record `name` about invoices or notes; inside the caller's transaction."""
    happenings = [
        Happening(tenant=invoice.tenant, subject=invoice, reason=reason, data=invoice_data(invoice))
        for invoice in invoices
    ]
    record_events(name, happenings, actor=actor)


def invoice_data(invoice: Invoice) -> dict[str, Any]:
    """The payload: ids, number, total and period, as frozen at the moment of the event."""
    return {
        "id": invoice.public_id,
        "kind": invoice.kind,
        "number": invoice.number,
        "tenant": invoice.tenant.public_id,
        "external_id": invoice.tenant.external_id,
        "total": {"amount": money_text(invoice.total, invoice.currency), "currency": invoice.currency},
        "period": {"start": instant(invoice.period_start), "end": instant(invoice.period_end)},
        "url": f"/api/v1/invoices/{invoice.public_id}",
    }
