"""The life of an invoice: drafted from sealed usage, refreshed, finalized under a number, paid or voided."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from django.db import transaction
from django.db.models import QuerySet

from billing.assembly import buyer_of, seller_of
from billing.content import NEWEST_SCHEMA, content_of, digest_of_lines
from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.queries.issuers import tax_profiles, the_issuer
from billing.queries.segments import plan_segments, tenants_to_plan
from billing.services.credits import left_to_give_back, lock_correctable
from billing.services.drafting import printed_tenants, standing, write_drafts
from billing.services.drawing import draw_credit, give_back
from billing.services.finalizing import close
from billing.services.outdated import refuse_outdated
from billing.services.records import record_invoice_events
from billing.services.usage import seal_spans
from billing.states import IN_FORCE, INVOICE_MOVES, InvoiceKind, InvoiceState
from core import clock
from core.actors import Actor
from core.crashpoints import crashpoint
from core.errors import Conflict
from core.memory import without_cycle_search
from core.periods import Period
from core.rehearsal import rehearsable
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
    tenants = list(tenants_to_plan(tenant_ids))
    issuer = the_issuer()
    plans = plan_segments(tenants, period)
    settled = {tenant_id for tenant_id, found in standing(tenants, period).items() if found.state != InvoiceState.DRAFT}
    open_plans = {tenant.pk: plans[tenant.pk] for tenant in tenants if tenant.pk not in settled and plans[tenant.pk]}
    seal_spans(open_plans, actor=actor)
    write_drafts(plans=open_plans, issuer=issuer, period=period, actor=actor)
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
    changes nothing, when a draft has no lines or asks for less than nothing, and DraftOutdated when something was
    agreed on since it was written.
    """
    with rehearsable(), without_cycle_search():
        # Like drafting the tenants first: until the end nothing is agreed on with them.
        mine = Tenant.objects.filter(pk__in=Invoice.objects.filter(pk__any_of=invoice_ids).values("tenant_id"))
        tenants = {tenant.pk: tenant for tenant in printed_tenants(mine).select_for_update(no_key=True)}
        # The issuer is one for all of them; who sells and buys is written anew.
        rows = Invoice.objects.filter(pk__any_of=invoice_ids).prefetch_related("issuer")
        rows = rows.defer("seller", "buyer", "uncharged", "created_at", "grace_until")
        invoices = list(rows.select_for_update(of=("self",), no_key=True).order_by("pk"))
        for invoice in invoices:
            invoice.tenant = tenants[invoice.tenant_id]
        drafts = [invoice for invoice in invoices if invoice.state == InvoiceState.DRAFT]
        if drafts:
            _refuse_empty(drafts)
            _digest_older(drafts)
            profiles = tax_profiles([draft.tenant_id for draft in drafts])
            refuse_outdated(drafts, profiles)
            for draft in drafts:
                draft.seller = seller_of(draft.issuer)
                draft.buyer = buyer_of(draft.tenant, profiles.get(draft.tenant_id))
            drawn = draw_credit(drafts, at=clock.now(), actor=actor)
            crashpoint("finalize: before numbers")
            close(drafts, drawn, corrects={})
            crashpoint("finalize: numbered, before events")
            record_invoice_events("invoice.finalized", drafts, actor=actor)
            crashpoint("finalize: before commit")
    crashpoint("finalize: after commit")
    return invoices


def _refuse_empty(drafts: Sequence[Invoice]) -> None:
    """Raises NothingToInvoice for a draft without lines, and NegativeTotal."""
    lines = InvoiceLine.objects.filter(invoice__any_of=[draft.pk for draft in drafts]).order_by()
    filled = set(lines.values_list("invoice_id", flat=True).distinct())
    for draft in drafts:
        if draft.total < 0:
            raise NegativeTotal(
                f"The draft {draft.public_id} of {draft.tenant.name} comes to {draft.total} {draft.currency}.",
                hint="Take adjustments off it, and give the rest back by a credit note on an earlier invoice.",
            )
        if draft.pk not in filled:
            raise NothingToInvoice(
                f"The draft {draft.public_id} of {draft.tenant.name} has no lines.",
                hint="Check the tenant's tier, its rate card and its usage, then draft the period again.",
            )


def _digest_older(drafts: Sequence[Invoice]) -> None:
    """Drafts from before lines had a digest of their own get one."""
    for draft in drafts:
        if not draft.lines_sha256:
            draft.content_schema = NEWEST_SCHEMA
            draft.lines_sha256 = digest_of_lines(content_of(draft, list(draft.lines.order_by("position")), corrects=""))


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
    new invoice from the same seals, under a new number. Quiet when it is void already. Raises HasNotes, also for a
    debit note without which credit notes would give back more than was asked for, and IllegalMove for a draft or a
    paid invoice.
    """
    with rehearsable():
        invoice = (
            Invoice.objects.select_for_update(of=("self",), no_key=True).select_related("tenant").get(pk=invoice_id)
        )
        if invoice.state != InvoiceState.VOID:
            notes = [str(note) for note in invoice.notes.exclude(state=InvoiceState.VOID).order_by("pk")]
            if notes:
                raise HasNotes(
                    f"{invoice} is corrected by {', '.join(notes)}.", hint="Void the notes first, or credit the rest."
                )
            _refuse_needed(invoice)
            now = clock.now()
            move(invoice, to=InvoiceState.VOID, table=INVOICE_MOVES, voided_at=now, void_reason=reason)
            UsageClaim.objects.filter(invoice=invoice, released_at=None).update(released_at=now)
            give_back(invoice, at=now, actor=actor)
            record_invoice_events("invoice.voided", [invoice], actor=actor, reason=reason)
    return invoice


def _refuse_needed(note: Invoice) -> None:
    """Raises HasNotes for a debit note of which credit notes have given something back."""
    if note.kind == InvoiceKind.DEBIT_NOTE and note.state in IN_FORCE and note.corrects_id is not None:
        corrected = lock_correctable(note.corrects_id)
        if left_to_give_back(corrected) < note.total:
            raise HasNotes(
                f"Credit notes for {corrected} have given back some of what {note} asks for.",
                hint="Void those credit notes first.",
            )


def _exactly(tenant_ids: Collection[int], period: Period) -> QuerySet[Invoice]:
    return Invoice.objects.standing().filter(
        tenant_id__in=tenant_ids, kind=InvoiceKind.INVOICE, period_start=period.start, period_end=period.end
    )
