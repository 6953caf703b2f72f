"""Invoices: the list, one invoice with its lines, why a line costs what it costs, and closing or correcting them."""

import re
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import queries
from billing.services import credits, documents, invoicing
from billing.states import IN_FORCE, InvoiceKind, InvoiceState, LineKind
from core import clock
from core.errors import DomainError, NotFound
from core.periods import billing_month, month_containing
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import CreditForm, DraftForm, PaymentForm, PlainForm, TypedReasonForm
from dashboard.paging import page_of
from dashboard.reading import posted, text_of
from dashboard.rehearsals import outcome, told_of_closing, told_of_crediting, told_of_voiding
from dashboard.rendering import done, render_page_or_fragment
from dashboard.templatetags.formatting import day, last_day, money_of
from dashboard.words import choices
from events.queries import search_events
from tenants.queries import get_tenant

DRAFTABLE_MONTHS = 6
STORY = 30


@requires("invoices.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Invoices and notes, newest first, with the drafts that wait for a look, and what they come to."""
    wanted = {name: text_of(request, name) for name in ("state", "kind", "month", "q")}
    month = _month_of(wanted["month"])
    found = queries.list_invoices(
        tenant_ids=request.visible_tenants,
        state=wanted["state"] or None,
        kind=wanted["kind"] or None,
        period_from=month[0] if month else None,
        period_until=month[1] if month else None,
        q=wanted["q"] or None,
    )
    page = page_of(request, found)
    context = {
        "invoices": page.rows,
        "next_cursor": page.next_cursor,
        "wanted": wanted,
        "is_filtered": any(wanted.values()),
        "totals": queries.totals_of(found),
        "states": [choice for choice in choices("invoice") if choice[0] in InvoiceState.values],
        "kinds": InvoiceKind.choices,
        "months": _past_months(),
    }
    return render_page_or_fragment(request, "dashboard/invoices/list.html", "dashboard/invoices/_table.html", context)


@requires("invoices.view")
@require_safe
def detail(request: OperatorRequest, ref: str) -> HttpResponse:
    """One invoice: what it asks for, line by line, whether it agrees with its usage, and what may be done with it."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    is_demand = invoice.kind == InvoiceKind.INVOICE
    lines = list(invoice.lines.all())
    context = {
        "invoice": invoice,
        "lines": [line for line in lines if line.kind != LineKind.CREDIT],
        "drawn": [line for line in lines if line.kind == LineKind.CREDIT],
        "chain": _chain(invoice),
        "files": _files(invoice),
        "agreed": queries.reconcile(invoice),
        "since_previous": queries.compare_with_previous(invoice),
        "events": search_events(tenant_ids=request.visible_tenants, subject_ref=invoice.public_id)[:STORY],
        "is_draft": invoice.state == InvoiceState.DRAFT,
        "is_demand": is_demand,
        "can_pay": invoice.state == InvoiceState.FINALIZED and is_demand,
        "can_void": invoice.state == InvoiceState.FINALIZED,
        "can_credit": is_demand and invoice.state in IN_FORCE,
        "crumbs": [
            ("Billing", reverse("invoice-list")),
            (invoice.tenant.name, reverse("tenant-invoices", args=[invoice.tenant.slug])),
        ],
    }
    return render_page_or_fragment(
        request, "dashboard/invoices/detail.html", "dashboard/invoices/_invoice.html", context
    )


@requires("invoices.view")
@require_safe
def comparison(request: OperatorRequest, ref: str) -> HttpResponse:
    """An invoice beside the period before it, or beside what the engine says now."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    basis = "now" if text_of(request, "with") == "now" else "previous"
    refusal = None
    try:
        compare = queries.compare_with_now if basis == "now" else queries.compare_with_previous
        seen = compare(invoice)
    except DomainError as error:
        seen, refusal = None, error
    context = {
        "invoice": invoice,
        "seen": seen,
        "basis": basis,
        "refusal": refusal,
        "crumbs": [
            ("Billing", reverse("invoice-list")),
            (str(invoice), reverse("invoice-detail", args=[invoice.public_id])),
        ],
    }
    return render_page_or_fragment(
        request, "dashboard/invoices/comparison.html", "dashboard/invoices/_comparison.html", context
    )


@requires("invoices.view")
@require_safe
def line(request: OperatorRequest, ref: str) -> HttpResponse:
    """Why a line costs what it costs: the price, the arithmetic, and the hours of usage that it bills."""
    explained = queries.explain_line(ref, tenant_ids=request.visible_tenants)
    invoice = explained.invoice
    context = {
        "explained": explained,
        "arithmetic": explained.arithmetic,
        "invoice": invoice,
        "crumbs": [
            ("Billing", reverse("invoice-list")),
            (str(invoice), reverse("invoice-detail", args=[invoice.public_id])),
        ],
    }
    return render_page_or_fragment(request, "dashboard/invoices/line.html", "dashboard/invoices/_line.html", context)


@requires("invoices.view")
@require_safe
def document(request: OperatorRequest, ref: str, format: str) -> HttpResponse:
    """The invoice as a file; a finalized one has the same bytes for ever."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    file = documents.render(invoice_id=invoice.pk, format=format, language=text_of(request, "language") or None)
    response = HttpResponse(file.body, content_type=file.media_type)
    response["Content-Disposition"] = f'attachment; filename="{file.filename}"'
    response["Cache-Control"] = "no-store"
    return response


@requires("invoices.draft")
@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: OperatorRequest) -> HttpResponse:
    """Seal a tenant's month and write its draft; `tenant` in the address fills the form."""
    months = _past_months()
    first = {"month": months[0][0], "tenant": text_of(request, "tenant")}
    form = DraftForm(posted(request), initial=first, months=months)
    made: list[Any] = []

    def act(typed: dict[str, Any]) -> None:
        tenant = get_tenant(typed["tenant"], tenant_ids=request.visible_tenants)
        month = billing_month(*form.year_and_month(), tenant.billing_timezone)
        period = queries.period_to_draft(tenant, month)
        made.extend(invoicing.draft_invoices(tenant_ids=[tenant.pk], period=period, actor=request.actor))
        if not made:
            raise NotFound(
                f"{tenant.name} owes nothing for {form.cleaned_data['month']}.",
                hint="It was on no tier with prices then.",
            )

    question = Question(
        heading="Draft a month",
        verb="Draft invoice",
        plan=[
            "The usage of the month is sealed: what arrives later becomes a note, never a silent change.",
            "A draft that is there already is written again; one that is final stays as it is.",
            "Months are drafted by themselves when they are over and their usage is settled.",
        ],
        back_url=reverse("invoice-list"),
    )
    return ask_then_do(
        request,
        question,
        form,
        act,
        message="The draft is written.",
        done_url=lambda: reverse("invoice-detail", args=[made[0].public_id]),
    )


@requires("invoices.draft")
@require_POST
def refresh(request: OperatorRequest, ref: str) -> HttpResponse:
    """Write a draft again from what is known now."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    invoicing.refresh_drafts(invoice_ids=[invoice.pk], actor=request.actor)
    return done(request, "The draft is up to date.", "invoice-detail", ref)


@requires("invoices.finalize")
@require_http_methods(["GET", "HEAD", "POST"])
def finalize(request: OperatorRequest, ref: str) -> HttpResponse:
    """Give a draft its number and close it."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)

    def close() -> list[Any]:
        return invoicing.finalize_invoices(invoice_ids=[invoice.pk], actor=request.actor)

    question = Question(
        heading=f"Finalize the invoice of {invoice.tenant.name}",
        verb="Finalize invoice",
        plan=[
            f"It asks for {money_of(invoice.total, invoice.currency)} for {_months(invoice)}.",
            *outcome(close, told_of_closing),
            "It gets the next number and cannot be edited after that: only a void or a credit note corrects it.",
            "Billing systems are told by invoice.finalized, and the PDF is kept byte for byte.",
        ],
        back_url=reverse("invoice-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        PlainForm(posted(request)),
        lambda _typed: close(),
        message="The invoice is final.",
    )


@requires("invoices.finalize")
@require_http_methods(["GET", "HEAD", "POST"])
def pay(request: OperatorRequest, ref: str) -> HttpResponse:
    """Record that the money came."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Mark {invoice} as paid",
        verb="Mark as paid",
        plan=[f"Records that {money_of(invoice.total, invoice.currency)} has arrived. No money is taken."],
        back_url=reverse("invoice-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        PaymentForm(posted(request)),
        lambda typed: invoicing.mark_paid(invoice_id=invoice.pk, reference=typed["reference"], actor=request.actor),
        message=f"{invoice} is paid.",
    )


@requires("invoices.void")
@require_http_methods(["GET", "HEAD", "POST"])
def void(request: OperatorRequest, ref: str) -> HttpResponse:
    """Declare a finalized invoice void: the number has to be typed."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)

    def void_for(reason: str) -> Any:
        return invoicing.void_invoice(invoice_id=invoice.pk, reason=reason, actor=request.actor)

    question = Question(
        heading=f"Void {invoice}",
        verb=f"Void {invoice}",
        plan=[
            f"{invoice} keeps its number and its content, and asks for nothing any more.",
            "Its usage is free again: drafting the period makes a new invoice under a new number.",
            *outcome(lambda: void_for("shown only"), told_of_voiding),
            "This cannot be undone.",
        ],
        back_url=reverse("invoice-detail", args=[ref]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        TypedReasonForm(posted(request), expected=str(invoice)),
        lambda typed: void_for(typed["reason"]),
        message=f"{invoice} is void.",
    )


@requires("invoices.credit")
@require_http_methods(["GET", "HEAD", "POST"])
def credit(request: OperatorRequest, ref: str) -> HttpResponse:
    """Give back part or all of an invoice by a credit note."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    made: list[Any] = []

    def credit_for(amounts: Any, reason: str) -> Any:
        return credits.issue_credit_note(invoice_id=invoice.pk, amounts=amounts, reason=reason, actor=request.actor)

    question = Question(
        heading=f"Credit {invoice}",
        verb="Issue credit note",
        plan=[
            "A credit note is a document of its own with its own number, final at once; the invoice is not edited.",
            "Leave every amount empty to credit all that is left. The tax follows from the invoice's own rate.",
            *outcome(lambda: credit_for(None, "shown only"), told_of_crediting),
        ],
        back_url=reverse("invoice-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        CreditForm(posted(request), lines=list(invoice.lines.all())),
        lambda typed: made.append(credit_for(CreditForm.amounts(typed), typed["reason"])),
        message="The credit note is issued.",
        done_url=lambda: reverse("invoice-detail", args=[made[0].public_id]),
    )


@requires("rate_cards.view")
@require_safe
def rate_cards(request: OperatorRequest) -> HttpResponse:
    """Prices: cards with their rates and the tiers they price. A published card never changes."""
    page = page_of(request, queries.list_rate_cards())
    context = {"cards": page.rows, "next_cursor": page.next_cursor}
    return render_page_or_fragment(
        request, "dashboard/invoices/rate_cards.html", "dashboard/invoices/_rate_cards.html", context
    )


def _chain(invoice: Any) -> list[Any]:
    """The invoice with every note on it, in their order; just itself when nothing corrects anything."""
    root = invoice.corrects or invoice
    return [root, *queries.notes_on(root)]


def _files(invoice: Any) -> list[dict[str, str]]:
    """Every file of the document in both languages, with the hash of those that are kept already."""
    kept = documents.kept_hashes(invoice.pk)
    other = "en" if invoice.language == "ja" else "ja"
    wanted = [
        ("pdf", invoice.language),
        ("pdf", other),
        *((f, invoice.language) for f in ("xlsx", "csv", "json", "focus")),
    ]
    return [
        {
            "format": format,
            "name": {"pdf": "PDF", "focus": "FOCUS 1.2"}.get(format, format.upper()),
            "language": language,
            "sha256": kept.get((format, language), ""),
        }
        for format, language in wanted
    ]


def _month_of(text: str) -> tuple[datetime, datetime] | None:
    """The month that the address names, with a day on either side: months begin at other hours elsewhere."""
    match = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", text, re.ASCII)
    if match is None:
        return None
    period = billing_month(int(match[1]), int(match[2]), "UTC")
    return period.start - timedelta(days=1), period.end - timedelta(days=1)


def _past_months() -> list[tuple[str, str]]:
    """The last months that are over in UTC, the newest first."""
    at = month_containing(clock.now(), "UTC").start
    found = []
    for _ in range(DRAFTABLE_MONTHS):
        at = month_containing(at - timedelta(days=1), "UTC").start
        found.append((f"{at:%Y-%m}", f"{at:%B %Y}"))
    return found


def _months(invoice: Any) -> str:
    return f"{day(invoice.period_start, invoice.timezone)} to {last_day(invoice.period_end, invoice.timezone)}"
