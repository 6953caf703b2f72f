"""Credit notes: a new document that takes back part or all of a finalized invoice, never an edit of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Sum

from billing.assembly import buyer_of, seller_of, taxes_as_terms, taxes_printed
from billing.content import Line, content_of, digest_of_lines, money_text
from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.queries.issuers import tax_profiles
from billing.rating.totals import TaxTotal, Totals, total_up
from billing.services.drawing import draw_credit
from billing.services.finalizing import close
from billing.services.records import record_invoice_events
from billing.states import IN_FORCE, InvoiceKind, LineKind
from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.money import round_money
from core.rehearsal import rehearsable
from metering.models import Seal


class NotCorrectable(Conflict):
    """Only a finalized or paid invoice is corrected by a note: a draft is refreshed, a void one counts for nothing."""

    code = "invoice_not_correctable"
    title = "Cannot be corrected by a note"


class CreditExceeds(Conflict):
    """The note would give back more than was asked for."""

    code = "credit_exceeds_invoice"
    title = "Credit exceeds the invoice"


class InvalidCredit(Invalid):
    """The amounts to credit cannot be used."""

    code = "invalid_credit"
    title = "Invalid credit"


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A line of a note: which line it corrects and by how much, positive in the note's own direction."""

    line: Line
    amount: Decimal
    quantity: Decimal
    unit: str
    explanation: dict[str, object]


def issue_credit_note(*, invoice_id: int, amounts: Mapping[str, Decimal] | None, reason: str, actor: Actor) -> Invoice:
    """Credit `amounts` by public id of the line, without tax, or all that is left when None; finalized at once.

    The tax follows from the lines' own rates, and crediting the rest clears it to the last unit; discounts come back
    with the rest only. Raises
    NotCorrectable, InvalidCredit for unknown lines or impossible amounts, and CreditExceeds.
    """
    with rehearsable():
        invoice = lock_correctable(invoice_id)
        lines = list(invoice.lines.exclude(kind=LineKind.CREDIT).order_by("position"))
        left = _left_to_credit(invoice, lines)
        wanted = {line.public_id: left[line.pk] for line in lines} if amounts is None else dict(amounts)
        _refuse_impossible(invoice, lines, left, wanted)
        chosen = [(line, wanted[line.public_id]) for line in lines if wanted.get(line.public_id)]
        if not chosen:
            raise CreditExceeds(f"{invoice} is credited in full already.")
        is_rest = all(wanted.get(line.public_id, Decimal(0)) == left[line.pk] for line in lines)
        totals = _totals(invoice, chosen, is_rest=is_rest)
        note = write_note(
            invoice,
            kind=InvoiceKind.CREDIT_NOTE,
            lines=[_credit_line(invoice, line, amount) for line, amount in chosen],
            totals=totals,
            reason=reason,
            actor=actor,
        )
        record_invoice_events("credit_note.issued", [note], actor=actor, reason=reason)
    return note


def lock_correctable(invoice_id: int) -> Invoice:
    """The invoice, locked. Raises NotCorrectable for drafts, void ones and notes; inside the caller's transaction."""
    rows = Invoice.objects.select_for_update(of=("self",), no_key=True).select_related("tenant", "issuer")
    invoice = rows.get(pk=invoice_id)
    if invoice.kind != InvoiceKind.INVOICE or invoice.state not in IN_FORCE:
        kind = invoice.get_kind_display().lower()
        raise NotCorrectable(
            f"{invoice} is a {invoice.state} {kind}.", hint="Notes correct finalized or paid invoices."
        )
    return invoice


def left_to_give_back(invoice: Invoice) -> Decimal:
    """What credit notes may still give back of a locked invoice, with tax: its total and debit notes, less credit."""
    notes = invoice.notes.filter(state__in=IN_FORCE).order_by()
    sums: dict[str, Decimal] = dict(notes.values_list("kind").annotate(Sum("total")))
    asked, given = (Decimal(sums.get(kind, 0)) for kind in (InvoiceKind.DEBIT_NOTE, InvoiceKind.CREDIT_NOTE))
    left: Decimal = invoice.total + asked - given
    return left


def write_note(
    invoice: Invoice,
    *,
    kind: str,
    lines: Sequence[NoteLine],
    totals: Totals,
    reason: str,
    actor: Actor,
    seals: Sequence[Seal] = (),
) -> Invoice:
    """Write a note for `invoice`, which bills `seals`, and close it under the next number of its series.

    A debit note draws what its tenant has of prepaid credit. Inside the caller's transaction.
    """
    profiles = tax_profiles([invoice.tenant_id])
    note = Invoice.objects.create(
        tenant=invoice.tenant,
        issuer=invoice.issuer,
        kind=kind,
        currency=invoice.currency,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        timezone=invoice.timezone,
        language=invoice.tenant.invoice_language,
        subtotal=totals.subtotal,
        tax=totals.tax,
        total=totals.total,
        taxes=taxes_printed(totals, invoice.currency),
        seller=seller_of(invoice.issuer),
        buyer=buyer_of(invoice.tenant, profiles.get(invoice.tenant_id)),
        corrects=invoice,
        reason=reason,
        refreshed_at=clock.now(),
    )
    rows = [_row(note, position, line) for position, line in enumerate(lines, start=1)]
    InvoiceLine.objects.bulk_create(rows)
    UsageClaim.objects.bulk_create(UsageClaim(invoice=note, tenant_id=note.tenant_id, seal=seal) for seal in seals)
    note.lines_sha256 = digest_of_lines(content_of(note, rows, corrects=str(invoice)))
    drawn = draw_credit([note], at=clock.now(), actor=actor)
    close([note], drawn, corrects={note.pk: str(invoice)})
    return note


def _row(note: Invoice, position: int, line: NoteLine) -> InvoiceLine:
    original = line.line
    return InvoiceLine(
        invoice=note,
        position=position,
        kind=original.kind,
        rate_id=original.rate_id,
        corrects_line_id=original.pk,
        description=original.description,
        description_ja=original.description_ja,
        meter=original.meter,
        span_start=original.span_start,
        span_end=original.span_end,
        quantity=line.quantity,
        unit=line.unit,
        unit_price=None,
        per=1,
        amount=line.amount,
        tax_rate=original.tax_rate,
        explanation=line.explanation,
    )


def _credit_line(invoice: Invoice, line: InvoiceLine, amount: Decimal) -> NoteLine:
    is_whole = amount == line.amount
    explanation: dict[str, object] = {
        "credits": {
            "invoice": invoice.number,
            "line": line.public_id,
            "charged": money_text(line.amount, invoice.currency),
            "credited": money_text(amount, invoice.currency),
        }
    }
    quantity, unit = (line.quantity, line.unit) if is_whole else (Decimal(1), "unit")
    return NoteLine(line, amount, quantity, unit, explanation)


def _left_to_credit(invoice: Invoice, lines: Sequence[InvoiceLine]) -> dict[int, Decimal]:
    rows = InvoiceLine.objects.filter(
        corrects_line__in=lines, invoice__kind=InvoiceKind.CREDIT_NOTE, invoice__state__in=IN_FORCE
    )
    credited = dict(rows.values_list("corrects_line").annotate(Sum("amount")).order_by())
    return {line.pk: line.amount - credited.get(line.pk, Decimal(0)) for line in lines}


def _refuse_impossible(
    invoice: Invoice, lines: Sequence[InvoiceLine], left: Mapping[int, Decimal], wanted: Mapping[str, Decimal]
) -> None:
    by_ref = {line.public_id: line for line in lines}
    is_rest = all(wanted.get(line.public_id) == left[line.pk] for line in lines)
    errors = []
    for ref, amount in wanted.items():
        if ref not in by_ref:
            errors.append(FieldError(f"/amounts/{ref}", "unknown", f"{invoice} has no line {ref}"))
        elif not amount.is_finite() or amount != round_money(amount, invoice.currency) or (amount < 0 and not is_rest):
            errors.append(FieldError(f"/amounts/{ref}", "invalid", f"not an amount in {invoice.currency}"))
    if errors:
        raise InvalidCredit(f"{errors[0].pointer}: {errors[0].detail}.", errors=errors)
    for ref, amount in wanted.items():
        rest = left[by_ref[ref].pk]
        if amount > 0 and amount > rest:
            raise CreditExceeds(
                f"Line {ref} of {invoice} has {money_text(rest, invoice.currency)} {invoice.currency} left to credit.",
                hint="Lower the amount; what other notes credited counts.",
            )
    whole = sum(left.values(), Decimal(0))
    if sum(wanted.values(), Decimal(0)) > whole:
        raise CreditExceeds(
            f"{invoice} has {money_text(whole, invoice.currency)} {invoice.currency} left to credit, net of discounts.",
            hint="Lower the amounts, or credit all that is left.",
        )


def _totals(invoice: Invoice, chosen: Sequence[tuple[InvoiceLine, Decimal]], *, is_rest: bool) -> Totals:
    """Tax by the lines' rates; never more than is left of a rate's tax, and all of that when the rest is credited."""
    terms = taxes_as_terms(invoice.taxes)
    totals = total_up(((amount, terms.get(line.tax_rate)) for line, amount in chosen), invoice.currency)
    left = {Decimal(tax["rate"]): Decimal(tax["amount"]) for tax in invoice.taxes}
    for note in invoice.notes.filter(kind=InvoiceKind.CREDIT_NOTE, state__in=IN_FORCE):
        for tax in note.taxes:
            left[Decimal(tax["rate"])] -= Decimal(tax["amount"])
    taxes = tuple(
        TaxTotal(tax.terms, tax.taxable, left[tax.terms.rate] if is_rest else min(tax.amount, left[tax.terms.rate]))
        for tax in totals.taxes
    )
    amount = sum((tax.amount for tax in taxes), Decimal(0))
    return Totals(totals.subtotal, amount, totals.subtotal + amount, taxes)
