"""What an event about an invoice carries: enough for a billing system to decide whether to read more."""

from typing import Any

from billing.content import instant, money_text
from billing.models import Invoice
from core.actors import Actor
from events.record import record_event


def record_invoice_event(name: str, invoice: Invoice, *, actor: Actor, reason: str = "") -> None:
    """Record `name` about an invoice or note; inside the caller's transaction."""
    record_event(name, tenant=invoice.tenant, subject=invoice, actor=actor, reason=reason, data=invoice_data(invoice))


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
