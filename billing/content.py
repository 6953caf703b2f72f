"""What an invoice says, as one canonical document: printed by `documents`, hashed when the invoice is closed.

The same rows always give the same bytes: keys sorted, no spaces, amounts with exactly the digits of their currency.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Any

from billing.models import Invoice, InvoiceLine
from billing.rating.proration import DIGITS
from core.money import round_money

SCHEMA = "invoice/1"


def content_of(invoice: Invoice, lines: Sequence[InvoiceLine], *, corrects: str) -> dict[str, Any]:
    """Everything that `invoice` says. `corrects` is the number of the invoice that a note corrects, else empty."""
    currency = invoice.currency
    return {
        "schema": SCHEMA,
        "id": invoice.public_id,
        "kind": invoice.kind,
        "number": invoice.number,
        "currency": currency,
        "period": {"start": instant(invoice.period_start), "end": instant(invoice.period_end)},
        "timezone": invoice.timezone,
        "issued_at": instant(invoice.finalized_at) if invoice.finalized_at else None,
        "issued_on": invoice.issued_on.isoformat() if invoice.issued_on else None,
        "due_on": invoice.due_on.isoformat() if invoice.due_on else None,
        "corrects": corrects,
        "reason": invoice.reason,
        "seller": invoice.seller,
        "buyer": invoice.buyer,
        "lines": [_line(line, currency) for line in lines],
        "taxes": invoice.taxes,
        "subtotal": money_text(invoice.subtotal, currency),
        "tax": money_text(invoice.tax, currency),
        "total": money_text(invoice.total, currency),
    }


def digest(content: dict[str, Any]) -> str:
    """The sha256 of the canonical form, in hex."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def money_text(amount: Decimal, currency: str) -> str:
    """An amount with the digits of its currency, whatever digits the column carries."""
    with localcontext(prec=DIGITS):
        return str(round_money(amount, currency))


def plain(number: Decimal) -> str:
    """A number without an exponent and without idle zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def instant(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _line(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "position": line.position,
        "description": line.description,
        "description_ja": line.description_ja,
        "meter": line.meter,
        "span": {"start": instant(line.span_start), "end": instant(line.span_end)},
        "quantity": plain(line.quantity),
        "unit": line.unit,
        "unit_price": None if line.unit_price is None else plain(line.unit_price),
        "per": line.per,
        "amount": money_text(line.amount, currency),
        "tax_rate": plain(line.tax_rate),
        "explanation": line.explanation,
    }
