"""Adjustments: an amount that a person puts on a draft, or takes off it, and why. Only while it is a draft."""

from collections.abc import Sequence
from decimal import Decimal

from django.db import transaction

from billing.assembly import adjustment_row, seal_content, taxes_as_terms, taxes_printed
from billing.content import Line, LineRow
from billing.models import Adjustment, Invoice
from billing.queries.issuers import the_issuer
from billing.queries.terms import customer_terms
from billing.rating.totals import terms_for, total_up
from billing.services.drafts import copy_lines, rewrite
from billing.services.records import record_invoice_events
from billing.states import InvoiceKind, InvoiceState, LineKind
from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid, NotFound
from core.money import round_money
from core.periods import Period


class NotADraft(Conflict):
    """What is final is corrected by a note."""

    code = "invoice_not_a_draft"
    title = "Not a draft"


class InvalidAdjustment(Invalid):
    """The amount cannot be put on this draft."""

    code = "invalid_adjustment"
    title = "Invalid adjustment"


def adjust_draft(
    *, invoice_id: int, description: str, amount: Decimal, reason: str, actor: Actor, description_ja: str = ""
) -> Adjustment:
    """Put an amount without tax on a draft, or take one off it (negative), with its own line.

    It stays when the draft is refreshed. Raises NotADraft and InvalidAdjustment, also for a total below zero.
    """
    with transaction.atomic(durable=True):
        invoice = _lock_draft(invoice_id)
        if not amount.is_finite() or not amount or amount != round_money(amount, invoice.currency):
            _refuse(f"not an amount in {invoice.currency}")
        if invoice.subtotal + amount < 0:
            _refuse(f"the draft comes to {invoice.subtotal} {invoice.currency}; a draft asks for nothing at least")
        adjustment = Adjustment.objects.create(
            invoice=invoice,
            description=description,
            description_ja=description_ja,
            reason=reason,
            amount=amount,
            actor_name=actor.name,
        )
        lines = list(invoice.lines.order_by("position"))
        row = adjustment_row(adjustment, Period(invoice.period_start, invoice.period_end), clock.now())
        row.invoice_id = invoice.pk
        row.position = max((line.position for line in lines), default=0) + 1
        _retotal(invoice, lines, row)
        copy_lines([row])
        record_invoice_events("invoice.adjusted", [invoice], actor=actor, reason=reason)
    return adjustment


def remove_adjustment(*, invoice_id: int, ref: str, reason: str, actor: Actor) -> Invoice:
    """Take an adjustment, by its public id, off its draft again. Raises NotADraft, NotFound and InvalidAdjustment."""
    with transaction.atomic(durable=True):
        invoice = _lock_draft(invoice_id)
        adjustment = Adjustment.objects.filter(invoice=invoice, public_id=ref).first()
        if adjustment is None:
            raise NotFound(f"{invoice} has no adjustment {ref}.")
        if invoice.subtotal - adjustment.amount < 0:
            _refuse(f"without it the draft would come to {invoice.subtotal - adjustment.amount} {invoice.currency}")
        adjustment.delete()
        invoice.lines.filter(kind=LineKind.ADJUSTMENT, explanation__adjustment__id=ref).delete()
        _retotal(invoice, list(invoice.lines.order_by("position")), None)
        record_invoice_events("invoice.adjusted", [invoice], actor=actor, reason=reason)
    return invoice


def _lock_draft(invoice_id: int) -> Invoice:
    rows = Invoice.objects.select_for_update(of=("self",), no_key=True).select_related("tenant", "issuer")
    invoice = rows.get(pk=invoice_id)
    if invoice.state != InvoiceState.DRAFT or invoice.kind != InvoiceKind.INVOICE:
        raise NotADraft(f"{invoice} is {invoice.state}.", hint="Correct it by a credit note, or void and redraft it.")
    return invoice


def _retotal(invoice: Invoice, before: Sequence[Line], added: LineRow | None) -> None:
    """Figures and hash of a draft for its lines and one more; the taxes are those it has, or would have."""
    period = Period(invoice.period_start, invoice.period_end)
    taxes = customer_terms(the_issuer(), [invoice.tenant], period)[invoice.tenant_id].taxes
    terms = taxes_as_terms(invoice.taxes)
    lines = list(before)
    if added is not None:
        tax = terms_for("standard", taxes)
        added.tax_rate = tax.rate if tax else Decimal(0)
        if tax is not None:
            terms.setdefault(tax.rate, tax)
        lines.append(added)
    totals = total_up(((line.amount, terms.get(line.tax_rate)) for line in lines), invoice.currency)
    invoice.subtotal, invoice.tax, invoice.total = totals.subtotal, totals.tax, totals.total
    invoice.taxes = taxes_printed(totals, invoice.currency)
    invoice.version += 1  # and no new refreshed_at: neither usage nor what was agreed on was looked at again
    seal_content(invoice, lines)
    rewrite([invoice])


def _refuse(detail: str) -> None:
    raise InvalidAdjustment(f"/amount: {detail}.", errors=[FieldError("/amount", "invalid", detail)])
