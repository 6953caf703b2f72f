"""The life of an invoice: drafted from sealed usage, refreshed, finalized under a number, paid or voided."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from django.db import transaction
from django.db.models import QuerySet

from billing.assembly import assemble, buyer_of, seller_of
from billing.models import Adjustment, Invoice, InvoiceLine, UsageClaim
from billing.queries.issuers import tax_profiles, the_issuer
from billing.queries.segments import SegmentPlan, plan_segments
from billing.queries.terms import customer_terms
from billing.rating.lines import Segment, Usage
from billing.services.drafts import Draft, save_drafts, take_over
from billing.services.drawing import draw_credit, give_back
from billing.services.finalizing import close, lines_of
from billing.services.records import record_invoice_events
from billing.services.usage import billable_seals, seal_spans, usage_of
from billing.states import INVOICE_MOVES, InvoiceKind, InvoiceState
from core import clock
from core.actors import Actor
from core.crashpoints import crashpoint
from core.errors import Conflict
from core.periods import Period
from core.states import move
from tenants.models import Tenant


class NothingToInvoice(Conflict):
    """A draft without lines cannot become an invoice."""

    code = "nothing_to_invoice"
    title = "Nothing to invoice"


class NegativeTotal(Conflict):
    """What a draft asks for is less than nothing."""

    code = "negative_total"
    title = "Negative total"


class PeriodOverlaps(Conflict):
    """Part of the period is on another invoice that stands."""

    code = "period_overlaps"
    title = "Period invoiced already"


class HasNotes(Conflict):
    """An invoice with notes that stand is not voided: the notes would correct nothing."""

    code = "invoice_has_notes"
    title = "Invoice has notes"


def draft_invoices(*, tenant_ids: Collection[int], period: Period, actor: Actor) -> list[Invoice]:
    """Seal the usage of a period and write, or refresh, one draft per tenant that owes something.

    What is finalized for exactly this period is answered as it is, so a repeated call is harmless. Sealing has its own
    transaction: a crash in between is repaired by the next call. Raises UsageIncomplete, NoRateCard, PeriodOverlaps,
    PeriodSpansMonths and NoIssuer.
    """
    tenants = list(Tenant.objects.filter(pk__in=tenant_ids).order_by("pk"))
    issuer = the_issuer()
    plans = plan_segments(tenants, period)
    settled = {
        tenant_id for tenant_id, found in _standing(tenants, period).items() if found.state != InvoiceState.DRAFT
    }
    open_plans = {tenant.pk: plans[tenant.pk] for tenant in tenants if tenant.pk not in settled and plans[tenant.pk]}
    seal_spans(open_plans, actor=actor)
    with transaction.atomic(durable=True):
        locked = list(Tenant.objects.select_for_update(no_key=True).filter(pk__in=list(open_plans)).order_by("pk"))
        existing = _standing(locked, period, lock=True)
        by_hand = _once_voided(locked, period)
        terms = customer_terms(issuer, locked, period)
        adjustments, claimed = _adjustments(existing), _claimed(existing)
        seals = billable_seals(open_plans)
        usage = usage_of(seals)
        now = clock.now()
        new: list[Draft] = []
        rewritten: list[Draft] = []
        for tenant in locked:
            spans, before = open_plans[tenant.pk], existing.get(tenant.pk)
            made = assemble(
                tenant=tenant,
                issuer=issuer,
                period=period,
                segments=[_segment(plan, usage[tenant.pk, plan.span]) for plan in spans],
                terms=terms[tenant.pk],
                adjustments=adjustments[before.pk] if before else (),
                at=now,
            )
            draft = Draft(made.invoice, made.lines, [seal for plan in spans for seal in seals[tenant.pk, plan.span]])
            if tenant.pk in by_hand:
                draft.invoice.grace_until = None
            if before is None and draft.lines:
                new.append(draft)
            elif before is not None and take_over(draft, before, claimed[before.pk]):
                rewritten.append(draft)
        save_drafts(new, rewritten)
        record_invoice_events("invoice.drafted", [draft.invoice for draft in new], actor=actor)
    crashpoint("draft: after commit")
    ids = [tenant.pk for tenant in tenants]
    return list(_exactly(ids, period).select_related("tenant", "issuer").order_by("pk"))


def refresh_drafts(*, invoice_ids: Collection[int], actor: Actor) -> list[Invoice]:
    """Seal again and rewrite the drafts among `invoice_ids` from what is known now; one transaction per period."""
    drafts = Invoice.objects.filter(pk__in=invoice_ids, state=InvoiceState.DRAFT, kind=InvoiceKind.INVOICE)
    groups: dict[Period, list[int]] = defaultdict(list)
    for tenant_id, start, end in drafts.values_list("tenant_id", "period_start", "period_end"):
        groups[Period(start, end)].append(tenant_id)
    for period, tenant_ids in sorted(groups.items()):
        draft_invoices(tenant_ids=tenant_ids, period=period, actor=actor)
    return list(Invoice.objects.filter(pk__in=invoice_ids).select_related("tenant", "issuer").order_by("pk"))


def finalize_invoices(*, invoice_ids: Collection[int], actor: Actor) -> list[Invoice]:
    """Give drafts their numbers and close them to change; what is final already stays as it is.

    What the tenants have of prepaid credit is drawn. All or none: raises NothingToInvoice and NegativeTotal, and
    changes nothing, when a draft has no lines or asks for less than nothing.
    """
    with transaction.atomic(durable=True):
        rows = Invoice.objects.filter(pk__in=invoice_ids).select_related("tenant", "issuer")
        invoices = list(rows.select_for_update(of=("self",), no_key=True).order_by("pk"))
        drafts = [invoice for invoice in invoices if invoice.state == InvoiceState.DRAFT]
        if drafts:
            lines = lines_of(drafts)
            refuse_empty(drafts, lines)
            profiles = tax_profiles([draft.tenant_id for draft in drafts])
            for draft in drafts:
                draft.seller = seller_of(draft.issuer)
                draft.buyer = buyer_of(draft.tenant, profiles.get(draft.tenant_id))
            draw_credit(drafts, lines, at=clock.now(), actor=actor)
            crashpoint("finalize: before numbers")
            close(drafts, lines, corrects={})
            crashpoint("finalize: numbered, before events")
            record_invoice_events("invoice.finalized", drafts, actor=actor)
            crashpoint("finalize: before commit")
    crashpoint("finalize: after commit")
    return invoices


def refuse_empty(drafts: Sequence[Invoice], lines: dict[int, list[InvoiceLine]]) -> None:
    """Raises NothingToInvoice for a draft without lines, and NegativeTotal."""
    for draft in drafts:
        if draft.total < 0:
            raise NegativeTotal(
                f"The draft {draft.public_id} of {draft.tenant.name} comes to {draft.total} {draft.currency}.",
                hint="Take adjustments off it, and give the rest back by a credit note on an earlier invoice.",
            )
        if not lines.get(draft.pk):
            raise NothingToInvoice(
                f"The draft {draft.public_id} of {draft.tenant.name} has no lines.",
                hint="Check the tenant's tier, its rate card and its usage, then draft the period again.",
            )


def mark_paid(*, invoice_id: int, reference: str, actor: Actor) -> Invoice:
    """Record that the money came, under the payer's or bank's reference; quiet when it is recorded already."""
    with transaction.atomic(durable=True):
        invoice = (
            Invoice.objects.select_for_update(of=("self",), no_key=True).select_related("tenant").get(pk=invoice_id)
        )
        if invoice.state != InvoiceState.PAID:
            stamps = {"paid_at": clock.now(), "payment_reference": reference}
            move(invoice, to=InvoiceState.PAID, table=INVOICE_MOVES, **stamps)
            record_invoice_events("invoice.paid", [invoice], actor=actor, reason=reference)
    return invoice


def void_invoice(*, invoice_id: int, reason: str, actor: Actor) -> Invoice:
    """Declare a finalized invoice or note void; it keeps its number and its content.

    Its prepaid credit is given back, and its claims on usage are released, so drafting the same period again makes a
    new invoice from the same seals, under a new number. Quiet when it is void already. Raises HasNotes, and
    IllegalMove for a draft or a paid invoice.
    """
    with transaction.atomic(durable=True):
        invoice = (
            Invoice.objects.select_for_update(of=("self",), no_key=True).select_related("tenant").get(pk=invoice_id)
        )
        if invoice.state != InvoiceState.VOID:
            notes = [str(note) for note in invoice.notes.exclude(state=InvoiceState.VOID).order_by("pk")]
            if notes:
                raise HasNotes(
                    f"{invoice} is corrected by {', '.join(notes)}.", hint="Void the notes first, or credit the rest."
                )
            now = clock.now()
            move(invoice, to=InvoiceState.VOID, table=INVOICE_MOVES, voided_at=now, void_reason=reason)
            UsageClaim.objects.filter(invoice=invoice, released_at=None).update(released_at=now)
            give_back(invoice, at=now, actor=actor)
            record_invoice_events("invoice.voided", [invoice], actor=actor, reason=reason)
    return invoice


def _exactly(tenant_ids: Collection[int], period: Period) -> QuerySet[Invoice]:
    return Invoice.objects.standing().filter(
        tenant_id__in=tenant_ids, kind=InvoiceKind.INVOICE, period_start=period.start, period_end=period.end
    )


def _once_voided(tenants: Sequence[Tenant], period: Period) -> set[int]:
    """Tenants with a void invoice for this period: a person finalizes what replaces it, not the clock."""
    void = Invoice.objects.filter(tenant__in=tenants, kind=InvoiceKind.INVOICE, state=InvoiceState.VOID)
    return set(
        void.filter(period_start=period.start, period_end=period.end).values_list("tenant_id", flat=True).distinct()
    )


def _standing(tenants: Sequence[Tenant], period: Period, *, lock: bool = False) -> dict[int, Invoice]:
    """The standing invoice of each tenant for this period. Raises PeriodOverlaps for one of another period.

    Asked before sealing, so that nothing is sealed for a refusal, and again under the locks of the tenants.
    """
    rows = Invoice.objects.standing().filter(tenant__in=tenants, kind=InvoiceKind.INVOICE)
    if lock:
        rows = rows.select_for_update(no_key=True)
    found: dict[int, Invoice] = {}
    for invoice in rows.filter(period_start__lt=period.end, period_end__gt=period.start):
        if (invoice.period_start, invoice.period_end) != (period.start, period.end):
            raise PeriodOverlaps(
                f"{invoice} covers {invoice.period_start.isoformat()} to {invoice.period_end.isoformat()}.",
                hint="Invoice the rest of the period, or void that invoice first.",
            )
        found[invoice.tenant_id] = invoice
    return found


def _adjustments(existing: Mapping[int, Invoice]) -> dict[int, list[Adjustment]]:
    found: dict[int, list[Adjustment]] = defaultdict(list)
    if existing:
        for row in Adjustment.objects.filter(invoice__in=list(existing.values())).order_by("pk"):
            found[row.invoice_id].append(row)
    return found


def _claimed(existing: Mapping[int, Invoice]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    if existing:
        claims = UsageClaim.objects.filter(invoice__in=list(existing.values()))
        for invoice_id, seal_id in claims.values_list("invoice_id", "seal_id"):
            found[invoice_id].add(seal_id)
    return found


def _segment(plan: SegmentPlan, usage: tuple[Usage, ...]) -> Segment:
    return Segment(plan.span, plan.fee_span, plan.month, plan.card, usage)
