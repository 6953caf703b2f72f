"""Reading invoices. `tenant_ids` has no default: None means that the caller may see all of them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Case, Count, F, Prefetch, Q, QuerySet, Sum, When

from billing.content import content_of, digest
from billing.models import Invoice, InvoiceLine
from billing.states import IN_FORCE, INVOICE_MOVES, InvoiceKind, InvoiceState
from core.errors import NotFound
from core.periods import Period
from tenants.models import Tenant


def get_invoice(ref: str, *, tenant_ids: Collection[int] | None) -> Invoice:
    """By public id or number, with `lines` in order. Raises NotFound when absent or invisible."""
    lines = Prefetch("lines", InvoiceLine.objects.order_by("position"))
    found = (
        list_invoices(tenant_ids=tenant_ids).filter(Q(public_id=ref) | Q(number=ref)).prefetch_related(lines).first()
    )
    if found is None:
        raise NotFound(f"There is no invoice {ref}.")
    return found


def list_invoices(
    *,
    tenant_ids: Collection[int] | None,
    state: str | None = None,
    kind: str | None = None,
    tenant: str | None = None,
    period_from: datetime | None = None,
    period_until: datetime | None = None,
    q: str | None = None,
) -> QuerySet[Invoice]:
    """Invoices and notes, the newest first. `tenant` is a public id; `q` searches numbers, names and external ids.

    `period_from` and `period_until` keep those whose period begins at or after, and before, the instant.
    """
    invoices = Invoice.objects.visible_to(tenant_ids).select_related("tenant", "issuer", "corrects").order_by("-id")
    if state:
        invoices = invoices.filter(state=state)
    if kind:
        invoices = invoices.filter(kind=kind)
    if tenant:
        invoices = invoices.filter(tenant__public_id=tenant)
    if period_from:
        invoices = invoices.filter(period_start__gte=period_from)
    if period_until:
        invoices = invoices.filter(period_start__lt=period_until)
    if q:
        invoices = invoices.filter(
            Q(number__icontains=q) | Q(tenant__name__icontains=q) | Q(tenant__external_id=q) | Q(public_id=q)
        )
    return invoices


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """What the documents of one currency come to; credit notes count against it, drafts and void ones do not."""

    currency: str
    documents: int
    total: Decimal
    open: Decimal


def totals_of(invoices: QuerySet[Invoice]) -> list[CurrencyTotal]:
    """What a list of documents comes to, per currency; `open` is the part of it that nobody has paid."""
    signed = Case(When(kind=InvoiceKind.CREDIT_NOTE, then=-F("total")), default=F("total"))
    counted = invoices.filter(state__in=IN_FORCE).order_by()
    rows = counted.values("currency").annotate(
        how_many=Count("pk"),
        sum=Sum(signed),
        unpaid=Sum(signed, filter=Q(state=InvoiceState.FINALIZED), default=Decimal(0)),
    )
    return [
        CurrencyTotal(row["currency"], row["how_many"], row["sum"], row["unpaid"]) for row in rows.order_by("currency")
    ]


def period_to_draft(tenant: Tenant, month: Period) -> Period:
    """What drafting a tenant's month covers: the month, or the part of it that a void invoice of it covered.

    Who left in mid-month is invoiced to its last hour, and its usage is sealed for that period and no other: what
    replaces the invoice covers the same.
    """
    void = Invoice.objects.filter(
        tenant=tenant, kind=InvoiceKind.INVOICE, state=InvoiceState.VOID,
        period_start__gte=month.start, period_end__lte=month.end,
    ).order_by("-pk").first()  # fmt: skip
    return month if void is None else Period(void.period_start, void.period_end)


def get_line(ref: str, *, tenant_ids: Collection[int] | None) -> InvoiceLine:
    """A line by public id, with its invoice. Raises NotFound when absent or invisible."""
    lines = InvoiceLine.objects.select_related("invoice__tenant", "rate__card")
    if tenant_ids is not None:
        lines = lines.filter(invoice__tenant_id__in=tenant_ids)
    found = lines.filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no invoice line {ref}.")
    return found


def notes_on(invoice: Invoice) -> QuerySet[Invoice]:
    """The credit and debit notes that correct an invoice, void ones among them."""
    return invoice.notes.select_related("tenant").order_by("pk")


def available_actions(invoice: Invoice) -> list[str]:
    """What the life cycle allows next, in the words of the API."""
    moves = INVOICE_MOVES[invoice.state]
    actions = []
    if invoice.state == InvoiceState.DRAFT:
        actions.append("refresh")
    if InvoiceState.FINALIZED in moves:
        actions.append("finalize")
    if InvoiceState.PAID in moves:
        actions.append("mark_paid")
    if InvoiceState.VOID in moves:
        actions.append("void")
    if invoice.kind == InvoiceKind.INVOICE and invoice.state in IN_FORCE:
        actions.append("create_credit_note")
    return actions


def content_is_unchanged(invoice: Invoice) -> bool:
    """Whether the rows still say what was hashed when the invoice was finalized."""
    lines = list(invoice.lines.order_by("position"))
    corrects = str(invoice.corrects) if invoice.corrects else ""
    return digest(content_of(invoice, lines, corrects=corrects)) == invoice.content_sha256
