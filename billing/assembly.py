"""From segments with their usage to the rows of an invoice. Nothing is saved here, so a preview is the same code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.content import NEWEST_SCHEMA, Line, LineRow, content_of, digest_of_head, digest_of_rows, money_text, plain
from billing.models import Adjustment, Invoice, Issuer, TaxProfile
from billing.rating.discounts import DiscountLine, DiscountTerms, discount_lines
from billing.rating.lines import RatedLine, Segment, rate_segment, uncharged
from billing.rating.parameters import Flat, MinimumCommitment
from billing.rating.totals import Taxes, TaxTerms, Totals, terms_for, total_up
from billing.states import InvoiceKind, LineKind
from core.periods import Period
from tenants.models import Tenant

# Late points and the last re-read of usage arrive within three days of the end of a period.
GRACE = timedelta(hours=72)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class CustomerTerms:
    """What holds for one tenant in one period beside its rate cards."""

    taxes: Taxes = field(default_factory=dict)
    discounts: tuple[DiscountTerms, ...] = ()
    profile: TaxProfile | None = None


@dataclass(frozen=True, slots=True)
class Assembled:
    """An invoice and its lines, not saved."""

    invoice: Invoice
    lines: list[LineRow]


def assemble(
    *,
    tenant: Tenant,
    issuer: Issuer,
    period: Period,
    segments: Sequence[Segment],
    terms: CustomerTerms,
    at: datetime,
    adjustments: Sequence[Adjustment] = (),
) -> Assembled:
    """The draft of one tenant for one period, as known `at` an instant.

    The lines stand in the order of time, then of their card; then come discounts and adjustments.
    """
    currency = tenant.currency
    rated = [line for segment in segments for line in rate_segment(segment)]
    discounts = discounts_on(rated, terms, period, segments, currency)
    missing: dict[str, int] = {}
    for segment in segments:
        for meter, quantity in uncharged(segment).items():
            missing[meter] = missing.get(meter, 0) + quantity
    charges = [(line.amount, terms_for(line.rate.tax_category, terms.taxes)) for line in rated]
    charges += [(line.amount, terms_for(line.tax_category, terms.taxes)) for line in discounts]
    charges += [(made.amount, terms_for(made.tax_category, terms.taxes)) for made in adjustments]
    totals = total_up(charges, currency)
    invoice = Invoice(
        created_at=at,
        tenant=tenant,
        issuer=issuer,
        kind=InvoiceKind.INVOICE,
        currency=currency,
        period_start=period.start,
        period_end=period.end,
        timezone=tenant.billing_timezone,
        language=tenant.invoice_language,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        taxes=taxes_printed(totals, currency),
        seller=seller_of(issuer),
        buyer=buyer_of(tenant, terms.profile),
        uncharged={meter: str(quantity) for meter, quantity in sorted(missing.items())},
        refreshed_at=at,
        grace_until=period.end + GRACE,
    )
    rows = [line_row(line, at) for line in rated]
    rows += [discount_row(line, period, at) for line in discounts]
    rows += [adjustment_row(made, period, at) for made in adjustments]
    for position, (row, (_, tax)) in enumerate(zip(rows, charges, strict=True), start=1):
        row.position, row.tax_rate = position, tax.rate if tax else ZERO
    seal_content(invoice, rows)
    return Assembled(invoice, rows)


def seal_content(invoice: Invoice, lines: Sequence[Line]) -> None:
    """Set the two digests of a draft, in the newest form, from all that it says."""
    invoice.content_schema = NEWEST_SCHEMA
    invoice.lines_sha256 = digest_of_rows(lines, invoice.currency)
    head = content_of(invoice, (), corrects="")
    invoice.content_sha256 = digest_of_head(head, lines_sha256=invoice.lines_sha256)


def discounts_on(
    rated: Sequence[RatedLine], terms: CustomerTerms, period: Period, segments: Sequence[Segment], currency: str
) -> list[DiscountLine]:
    """What the tenant's discounts take off rated lines."""
    if not terms.discounts or not segments:
        return []
    return discount_lines(rated, terms.discounts, period=period, month=segments[0].month, currency=currency)


def line_row(line: RatedLine, at: datetime) -> LineRow:
    """A rated line as a row; the caller gives position and tax rate."""
    return LineRow(
        kind=kind_of(line),
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
        explanation=line.explanation,
        created_at=at,
    )


def kind_of(line: RatedLine) -> LineKind:
    """What a rated line is."""
    match line.rate.parameters:
        case Flat():
            return LineKind.FLAT
        case MinimumCommitment():
            return LineKind.COMMITMENT
        case _:
            return LineKind.USAGE


def discount_row(line: DiscountLine, period: Period, at: datetime) -> LineRow:
    """A discount as a row; the caller gives position and tax rate."""
    terms = line.terms
    return _plain_row(LineKind.DISCOUNT, (terms.name, terms.name_ja), line.amount, line.explanation, period, at)


def adjustment_row(made: Adjustment, period: Period, at: datetime) -> LineRow:
    """An adjustment as a row; the caller gives position and tax rate."""
    explanation: dict[str, object] = {
        "adjustment": {"id": made.public_id, "reason": made.reason, "by": made.actor_name}
    }
    names = (made.description, made.description_ja)
    return _plain_row(LineKind.ADJUSTMENT, names, made.amount, explanation, period, at)


def _plain_row(
    kind: LineKind,
    names: tuple[str, str],
    amount: Decimal,
    explanation: dict[str, object],
    period: Period,
    at: datetime,
) -> LineRow:
    return LineRow(
        kind=kind,
        description=names[0],
        description_ja=names[1],
        span_start=period.start,
        span_end=period.end,
        quantity=Decimal(1),
        unit="unit",
        amount=amount,
        explanation=explanation,
        created_at=at,
    )


def taxes_printed(totals: Totals, currency: str) -> list[dict[str, Any]]:
    """The tax per rate, as a qualified invoice states it; empty without tax."""
    return [
        {
            "name": tax.terms.name,
            "name_ja": tax.terms.name_ja,
            "rate": plain(tax.terms.rate),
            "rounding": tax.terms.rounding,
            "treatment": tax.terms.treatment,
            "note": tax.terms.note,
            "note_ja": tax.terms.note_ja,
            "taxable": money_text(tax.taxable, currency),
            "amount": money_text(tax.amount, currency),
        }
        for tax in totals.taxes
    ]


def taxes_as_terms(taxes: Sequence[dict[str, Any]]) -> dict[Decimal, TaxTerms]:
    """The taxes that an invoice carries, by rate, for a note that corrects it under the same rules."""
    return {
        Decimal(tax["rate"]): TaxTerms(
            name=tax["name"],
            name_ja=tax["name_ja"],
            rate=Decimal(tax["rate"]),
            rounding=tax["rounding"],
            treatment=tax.get("treatment", "standard"),
            note=tax.get("note", ""),
            note_ja=tax.get("note_ja", ""),
        )
        for tax in taxes
    }


def seller_of(issuer: Issuer) -> dict[str, str]:
    """The issuer as printed."""
    return {
        "name": issuer.name,
        "address": issuer.address,
        "email": issuer.email,
        "registration_number": issuer.registration_number,
        "payment_details": issuer.payment_details,
    }


def buyer_of(tenant: Tenant, profile: TaxProfile | None) -> dict[str, str]:
    """The tenant as printed."""
    printed = {
        "id": tenant.public_id,
        "name": tenant.name,
        "external_id": tenant.external_id or "",
        "email": tenant.contact_email,
    }
    if profile is not None:
        printed |= {"country": profile.country, "tax_number": profile.tax_number}
    return printed
