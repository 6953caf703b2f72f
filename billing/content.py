"""What an invoice says, as one canonical document: printed by `documents`, hashed when the invoice is closed.

The same rows always give the same bytes: keys sorted, no spaces, amounts with exactly the digits of their currency.
The lines have a digest of their own within the whole one, so that closing an invoice, which changes its head only, need
not read them again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from billing.models import Invoice, InvoiceLine
from billing.states import LineKind
from core.money import round_money

# Kinds of lines and prepaid credit came with the second form; what was hashed before keeps saying what it said.
SCHEMAS = {1: "invoice/1", 2: "invoice/2"}
NEWEST_SCHEMA = max(SCHEMAS)
_CANONICAL = msgspec.json.Encoder(order="sorted")


@dataclass(slots=True)
class LineRow:
    """A line that is not in the database yet: the columns of `InvoiceLine`, without what a model costs to make."""

    kind: str
    description: str
    description_ja: str
    span_start: datetime
    span_end: datetime
    quantity: Decimal
    unit: str
    amount: Decimal
    explanation: dict[str, object]
    created_at: datetime
    rate_id: int | None = None
    meter: str = ""
    unit_price: Decimal | None = None
    per: int = 1
    position: int = 0
    tax_rate: Decimal = Decimal(0)
    invoice_id: int | None = None
    public_id: str = ""  # it gets one when it is written
    pk: None = None
    encoded: bytes = b""

    def explained(self) -> bytes:
        """The explanation in canonical form, made once: for the digest and for the table."""
        if not self.encoded:
            self.encoded = _CANONICAL.encode(self.explanation)
        return self.encoded


Line = InvoiceLine | LineRow


def content_of(invoice: Invoice, lines: Sequence[Line], *, corrects: str) -> dict[str, Any]:
    """Everything that `invoice` says. `corrects` is the number of the invoice that a note corrects, else empty.

    `lines` make the subtotal; `credits` are the prepaid credit that was drawn to pay a part of the total.
    """
    currency, is_first_form = invoice.currency, invoice.content_schema == 1
    charged = [line for line in lines if line.kind != LineKind.CREDIT]
    drawn = [line for line in lines if line.kind == LineKind.CREDIT]
    content = {
        "schema": SCHEMAS[invoice.content_schema],
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
        "lines": [_line(line, currency, is_first_form) for line in charged],
        "taxes": invoice.taxes,
        "subtotal": money_text(invoice.subtotal, currency),
        "tax": money_text(invoice.tax, currency),
        "total": money_text(invoice.total, currency),
    }
    if not is_first_form:
        content["credits"] = [_line(line, currency, is_first_form) for line in drawn]
        content["prepaid"] = money_text(invoice.prepaid, currency)
        content["amount_due"] = money_text(invoice.amount_due, currency)
    return content


def digest(content: Mapping[str, Any]) -> str:
    """The sha256 of the canonical form, in hex; since the second form the lines enter as their own digest."""
    if content["schema"] == SCHEMAS[1]:
        return _sha256(content)
    return digest_of_head(content, lines_sha256=digest_of_lines(content))


def digest_of_lines(content: Mapping[str, Any]) -> str:
    """The sha256 over the lines that make the subtotal."""
    return _sha256(content["lines"])


def digest_of_rows(lines: Sequence[Line], currency: str) -> str:
    """`digest_of_lines` of the content that these lines will make, in the newest form."""
    said = [_line(line, currency, is_first_form=False) for line in lines]
    for document, line in zip(said, lines, strict=True):
        if isinstance(line, LineRow):
            document["explanation"] = msgspec.Raw(line.explained())
    return _sha256(said)


def digest_of_head(content: Mapping[str, Any], *, lines_sha256: str) -> str:
    """`digest` of a content whose lines are known by their digest alone."""
    return _sha256({**content, "lines": lines_sha256})


def _sha256(document: Any) -> str:
    return hashlib.sha256(_CANONICAL.encode(document)).hexdigest()


def money_text(amount: Decimal, currency: str) -> str:
    """An amount with the digits of its currency, whatever digits the column carries."""
    return str(round_money(amount, currency))


def plain(number: Decimal) -> str:
    """A number without an exponent and without idle zeros."""
    text = str(number)
    if "E" in text:  # rare, and writing every number out in full costs three times as much
        text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(maxsize=4096)
def instant(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _line(line: Line, currency: str, is_first_form: bool) -> dict[str, Any]:
    said = {
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
    if not is_first_form:
        said["kind"] = line.kind
    return said
