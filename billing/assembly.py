"""From segments with their usage to the rows of an invoice. Nothing is saved here, so a preview is the same code."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from billing.content import content_of, digest, money_text, plain
from billing.models import Invoice, InvoiceLine, Issuer
from billing.rating.lines import RatedLine, Segment, rate_segment, uncharged
from billing.rating.totals import TaxTerms, Totals, total_up
from billing.states import InvoiceKind
from core import clock
from core.periods import Period
from tenants.models import Tenant

# Late points and the last re-read of usage arrive within three days of the end of a period.
GRACE = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Assembled:
    """An invoice and its lines, not saved."""

    invoice: Invoice
    lines: list[InvoiceLine]


def assemble(
    *, tenant: Tenant, issuer: Issuer, period: Period, segments: Sequence[Segment], tax: TaxTerms | None
) -> Assembled:
    """The draft of one tenant for one period; the lines stand in the order of time, then of their card."""
    rated = [line for segment in segments for line in rate_segment(segment)]
    totals = total_up((line.amount for line in rated), tax, tenant.currency)
    missing: dict[str, int] = {}
    for segment in segments:
        for meter, quantity in uncharged(segment).items():
            missing[meter] = missing.get(meter, 0) + quantity
    invoice = Invoice(
        tenant=tenant,
        issuer=issuer,
        kind=InvoiceKind.INVOICE,
        currency=tenant.currency,
        period_start=period.start,
        period_end=period.end,
        timezone=tenant.billing_timezone,
        language=tenant.invoice_language,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        taxes=taxes_printed(totals, tax, tenant.currency),
        seller=seller_of(issuer),
        buyer=buyer_of(tenant),
        uncharged={meter: str(quantity) for meter, quantity in sorted(missing.items())},
        refreshed_at=clock.now(),
        grace_until=period.end + GRACE,
    )
    rate = tax.rate if tax else Decimal(0)
    lines = [line_row(invoice, position, line, rate) for position, line in enumerate(rated, start=1)]
    invoice.content_sha256 = digest(content_of(invoice, lines, corrects=""))
    return Assembled(invoice, lines)


def line_row(invoice: Invoice, position: int, line: RatedLine, tax_rate: Decimal) -> InvoiceLine:
    """A rated line as a row of `invoice`, which need not be saved yet."""
    return InvoiceLine(
        invoice=invoice,
        position=position,
        rate_id=line.rate.id,
        description=line.rate.description,
        description_ja=line.rate.description_ja,
        meter=line.rate.meter,
        span_start=line.span.start,
        span_end=line.span.end,
        quantity=line.quantity,
        unit=line.unit,
        unit_price=line.unit_price,
        per=line.per,
        amount=line.amount,
        tax_rate=tax_rate,
        explanation=line.explanation,
    )


def taxes_printed(totals: Totals, tax: TaxTerms | None, currency: str) -> list[dict[str, Any]]:
    """The tax per rate, as a qualified invoice states it; empty without tax."""
    if tax is None:
        return []
    return [
        {
            "name": tax.name,
            "name_ja": tax.name_ja,
            "rate": plain(tax.rate),
            "rounding": tax.rounding,
            "taxable": money_text(totals.subtotal, currency),
            "amount": money_text(totals.tax, currency),
        }
    ]


def tax_printed_as_terms(taxes: Sequence[dict[str, Any]]) -> TaxTerms | None:
    """The tax that an invoice carries, for a note that corrects it under the same rule."""
    if not taxes:
        return None
    [tax] = taxes
    return TaxTerms(tax["name"], tax["name_ja"], Decimal(tax["rate"]), tax["rounding"])


def seller_of(issuer: Issuer) -> dict[str, str]:
    """The issuer as printed."""
    return {
        "name": issuer.name,
        "address": issuer.address,
        "email": issuer.email,
        "registration_number": issuer.registration_number,
        "payment_details": issuer.payment_details,
    }


def buyer_of(tenant: Tenant) -> dict[str, str]:
    """The tenant as printed."""
    return {
        "id": tenant.public_id,
        "name": tenant.name,
        "external_id": tenant.external_id or "",
        "email": tenant.contact_email,
    }
