"""Usage that arrived after its invoice was closed: the difference of two seals becomes a credit or debit note."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from billing.assembly import CustomerTerms, discount_row, discounts_on, line_row, taxes_as_terms
from billing.content import Line, LineRow
from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.queries.issuers import the_issuer
from billing.queries.segments import SegmentPlan, plan_segments
from billing.queries.terms import customer_terms
from billing.rating.discounts import DiscountLine
from billing.rating.lines import RatedLine, Usage, rate_segment
from billing.rating.totals import terms_for, total_up
from billing.services.closing import Waiting
from billing.services.credits import (
    CreditExceeds,
    NoteLine,
    left_to_give_back,
    lock_correctable,
    write_note,
)
from billing.services.records import record_invoice_events
from billing.services.usage import billable_seals, seal_spans, usage_of
from billing.states import IN_FORCE, InvoiceKind
from core import clock
from core.actors import SYSTEM, Actor
from core.errors import Conflict, DomainError
from core.periods import Period
from metering.models import Seal
from metering.queries import corrections

# A seal that made no difference in money is claimed by nobody; it is looked at for as long as a note can be missing.
LOOK_BACK = timedelta(days=7)
NOTE_EVENTS = {InvoiceKind.CREDIT_NOTE: "credit_note.issued", InvoiceKind.DEBIT_NOTE: "debit_note.issued"}
# Printed on the note, in the language of its invoice.
REASONS = {"en": "Usage that became known after the invoice was closed", "ja": "請求書の確定後に判明した利用量の精算"}


class PricesMoved(Conflict):
    """The invoice was priced over other spans than its tier and prices give today; a person must look."""

    code = "invoice_spans_changed"
    title = "The invoice's spans changed"


def correct_late_usage(*, invoice_id: int, actor: Actor) -> Invoice | None:
    """Seal an invoiced period again and write a note over what changed; None when no amount did.

    The same cards and discounts price the usage that was billed and the usage that is known now, so the note holds
    nothing but the difference. The note claims the new seals, so each difference is billed once. Raises NotCorrectable,
    UsageIncomplete, PricesMoved, and CreditExceeds when people have given back too much already.
    """
    with transaction.atomic(durable=True):
        invoice = lock_correctable(invoice_id)
    period = Period(invoice.period_start, invoice.period_end)
    plans = {invoice.tenant_id: plan_segments([invoice.tenant], period)[invoice.tenant_id]}
    seal_spans(plans, actor=actor)
    with transaction.atomic(durable=True):
        invoice = lock_correctable(invoice_id)
        billed, late = _billed_seals(invoice), billable_seals(plans)
        if not billed.keys() <= late.keys():
            raise PricesMoved(
                f"{invoice} was priced over other spans than its tier and prices give today.",
                hint="Compare the invoice with the tenant's tiers and prices, and correct it by a credit note.",
            )
        known = {span: [*billed.get(span, []), *seals] for span, seals in late.items()}
        # What was agreed on after the invoice was closed changes nothing of it.
        agreed = customer_terms(the_issuer(), [invoice.tenant], period, agreed_by=invoice.finalized_at)
        lines = _differences(
            invoice, plans[invoice.tenant_id], usage_of(billed), usage_of(known), agreed[invoice.tenant_id]
        )
        if not lines:
            return None
        net = sum((line.amount for line in lines), Decimal(0))
        kind = InvoiceKind.DEBIT_NOTE if net > 0 else InvoiceKind.CREDIT_NOTE
        if kind == InvoiceKind.CREDIT_NOTE:
            lines = [replace(line, amount=-line.amount) for line in lines]
        terms = taxes_as_terms(invoice.taxes)
        totals = total_up(((line.amount, terms.get(line.line.tax_rate)) for line in lines), invoice.currency)
        if kind == InvoiceKind.CREDIT_NOTE and totals.total > left_to_give_back(invoice):
            raise CreditExceeds(
                f"{invoice} is credited already by more than its usage is worth now.",
                hint="Void the credit note that was issued by hand; the usage is credited then.",
            )
        seals = [seal for found in late.values() for seal in found]
        reason = REASONS[invoice.tenant.invoice_language]
        note = write_note(invoice, kind=kind, lines=lines, totals=totals, reason=reason, actor=actor, seals=seals)
        record_invoice_events(NOTE_EVENTS[kind], [note], actor=actor, reason=reason)
    return note


def correct_due_invoices(
    *, as_of: datetime | None = None, actor: Actor = SYSTEM
) -> tuple[list[Invoice], list[Waiting]]:
    """Write a note for every final invoice whose usage changed after it was closed; answers notes, and who waits.

    What is due follows from the database: usage that differs from its seals, and seals of the last days that a run
    made and died before it wrote their note. So a lost run costs one sweep, and a doubled one finds nothing. A note
    that was voided is not written again until usage changes again, or somebody runs `manage.py invoice late`.
    """
    notes, waiting = [], []
    for invoice in _due(as_of or clock.now()):
        try:
            note = correct_late_usage(invoice_id=invoice.pk, actor=actor)
        except DomainError as refusal:
            period = Period(invoice.period_start, invoice.period_end)
            waiting.append(Waiting(invoice.tenant.public_id, period, refusal.code, refusal.detail))
            continue
        if note is not None:
            notes.append(note)
    return notes, waiting


def _due(at: datetime) -> list[Invoice]:
    spans = {(found.tenant_id, found.period_start) for found in corrections(tenant_ids=None)}
    # A claim that was released was a person's doing, who voided the note; what takes its place is a person's too.
    claimed = UsageClaim.objects.filter(seal=OuterRef("pk"))
    left = Seal.objects.filter(~Exists(claimed), revision__gt=1, sealed_at__gte=at - LOOK_BACK)
    spans |= set(left.values_list("tenant_id", "period_start"))
    final = Invoice.objects.filter(kind=InvoiceKind.INVOICE, state__in=IN_FORCE).select_related("tenant")
    rows = final.filter(tenant_id__in={tenant_id for tenant_id, _ in spans}).order_by("pk")
    return [
        invoice
        for invoice in rows.filter(period_end__gt=min((start for _, start in spans), default=at))
        if any(
            tenant_id == invoice.tenant_id and invoice.period_start <= start < invoice.period_end
            for tenant_id, start in spans
        )
    ]


def _billed_seals(invoice: Invoice) -> dict[tuple[int, Period], list[Seal]]:
    """What the invoice and its notes have claimed, per span."""
    claims = UsageClaim.objects.filter(Q(invoice=invoice) | Q(invoice__corrects=invoice), released_at=None)
    found: dict[tuple[int, Period], list[Seal]] = defaultdict(list)
    for claim in claims.select_related("seal").order_by("seal__revision"):
        found[claim.tenant_id, Period(claim.seal.period_start, claim.seal.period_end)].append(claim.seal)
    return found


def _differences(
    invoice: Invoice,
    plans: Sequence[SegmentPlan],
    billed: Mapping[tuple[int, Period], tuple[Usage, ...]],
    known: Mapping[tuple[int, Period], tuple[Usage, ...]],
    terms: CustomerTerms,
) -> list[NoteLine]:
    """One line per rate and span, and per discount, whose amount changed, signed: positive is owed to us."""
    before = [plan.used(billed.get((plan.tenant_id, plan.span), ())) for plan in plans]
    after = [plan.used(known[plan.tenant_id, plan.span]) for plan in plans]
    had = [line for segment in before for line in rate_segment(segment)]
    has = [line for segment in after for line in rate_segment(segment)]
    originals = {(line.rate_id, line.span_start): line for line in invoice.lines.filter(rate__isnull=False)}
    found = []
    was, now = ({(line.span.start, line.rate.id): line for line in lines} for lines in (had, has))
    for key in sorted(was.keys() | now.keys()):
        start, rate_id = key
        line = _difference(invoice, terms, was.get(key), now.get(key), originals.get((rate_id, start)))
        if line is not None:
            found.append(line)
    period = Period(invoice.period_start, invoice.period_end)
    off_before = discounts_on(had, terms, period, before, invoice.currency)
    off_after = discounts_on(has, terms, period, after, invoice.currency)
    return found + _discount_differences(invoice, terms, off_before, off_after)


def _difference(
    invoice: Invoice,
    terms: CustomerTerms,
    before: RatedLine | None,
    after: RatedLine | None,
    original: InvoiceLine | None,
) -> NoteLine | None:
    shown = after or before
    assert shown is not None  # the rate is in one of the two
    was, now = (Decimal(0) if line is None else line.amount for line in (before, after))
    if was == now:
        return None
    had, has = (Decimal(0) if line is None else line.quantity for line in (before, after))
    row: Line = original or _untold(line_row(shown, invoice.refreshed_at), invoice, terms, shown.rate.tax_category)
    explanation: dict[str, object] = {
        "difference": {"billed": str(was), "now": str(now)},
        "before": None if before is None else before.explanation,
        "after": None if after is None else after.explanation,
    }
    return NoteLine(row, now - was, abs(has - had), shown.unit, explanation)


def _discount_differences(
    invoice: Invoice, terms: CustomerTerms, before: Sequence[DiscountLine], after: Sequence[DiscountLine]
) -> list[NoteLine]:
    was, now = ({(line.terms.public_id, line.tax_category): line for line in lines} for lines in (before, after))
    period = Period(invoice.period_start, invoice.period_end)
    found = []
    for key in sorted(was.keys() | now.keys()):
        had, has = was.get(key), now.get(key)
        amounts = [Decimal(0) if line is None else line.amount for line in (had, has)]
        if amounts[0] == amounts[1]:
            continue
        shown = has or had
        assert shown is not None  # the key is in one of the two
        row = _untold(discount_row(shown, period, invoice.refreshed_at), invoice, terms, shown.tax_category)
        explanation: dict[str, object] = {
            "difference": {"billed": str(amounts[0]), "now": str(amounts[1])},
            "before": None if had is None else had.explanation,
            "after": None if has is None else has.explanation,
        }
        found.append(NoteLine(row, amounts[1] - amounts[0], Decimal(1), "unit", explanation))
    return found


def _untold(row: LineRow, invoice: Invoice, terms: CustomerTerms, category: str) -> LineRow:
    """A line that the invoice does not have, at the tax that it would have had there."""
    tax = terms_for(category, terms.taxes)
    printed = taxes_as_terms(invoice.taxes)
    if len(printed) == 1:
        [row.tax_rate] = printed
    else:
        row.tax_rate = tax.rate if tax is not None and tax.rate in printed else Decimal(0)
    return row
