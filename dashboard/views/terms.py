"""What people do to prices beside rate cards: ask what if, adjust a draft, pay credit back."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from billing import queries
from billing.queries.comparing import compare_otherwise
from billing.queries.wallet import get_grant
from billing.queries.what_if import Otherwise
from billing.services.adjustments import adjust_draft
from billing.services.wallet import refund_credit
from billing.states import RateCardState
from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.billing_forms import AdjustmentForm, RefundForm
from dashboard.confirming import Question, ask_then_do
from dashboard.reading import posted, text_of
from dashboard.rendering import render_page_or_fragment
from dashboard.templatetags.formatting import money_of
from provisioning.queries import list_lines
from tenants.queries import list_tiers


@requires("rate_cards.view")
@require_safe
def what_if(request: OperatorRequest, ref: str) -> HttpResponse:
    """A closed period under another card, tier or serving line, line by line; it only reads."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    wanted = {name: text_of(request, name) for name in ("card", "tier", "serving_line")}
    seen, refusal = None, None
    if any(wanted.values()):
        try:
            seen = compare_otherwise(invoice, _otherwise(wanted))
        except DomainError as error:
            refusal = error
    context: dict[str, Any] = {
        "invoice": invoice,
        "wanted": wanted,
        "rerated": seen[0] if seen else None,
        "changes": seen[1] if seen else (),
        "refusal": refusal,
        "cards": queries.list_rate_cards(currency=invoice.currency, state=RateCardState.PUBLISHED),
        "tiers": list_tiers(),
        "serving_lines": list_lines(),
        "crumbs": [
            ("Billing", reverse("invoice-list")),
            (str(invoice), reverse("invoice-detail", args=[invoice.public_id])),
        ],
    }
    return render_page_or_fragment(
        request, "dashboard/invoices/what_if.html", "dashboard/invoices/_what_if.html", context
    )


def _otherwise(wanted: dict[str, str]) -> Otherwise:
    """Raises NotFound for a card that is not there."""
    return Otherwise(
        card_id=queries.get_rate_card(wanted["card"]).pk if wanted["card"] else None,
        tier=wanted["tier"] or None,
        serving_line=wanted["serving_line"] or None,
    )


@requires("invoices.draft")
@require_http_methods(["GET", "HEAD", "POST"])
def adjust(request: OperatorRequest, ref: str) -> HttpResponse:
    """Put an amount on a draft, or take one off it."""
    invoice = queries.get_invoice(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading="Adjust the draft",
        verb="Add adjustment",
        plan=[
            f"The draft of {invoice.tenant.name} comes to {money_of(invoice.subtotal, invoice.currency)} without tax.",
            "The adjustment is a line of its own with your reason, and stays when the draft is refreshed.",
        ],
        back_url=reverse("invoice-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        AdjustmentForm(posted(request)),
        lambda typed: adjust_draft(invoice_id=invoice.pk, **typed, actor=request.actor),
        message="The draft is adjusted.",
    )


@requires("credits.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def refund(request: OperatorRequest, ref: str) -> HttpResponse:
    """Record that prepaid credit was paid back."""
    grant = get_grant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Refund credit {grant.reference}",
        verb="Record refund",
        plan=[
            f"{money_of(grant.remaining, grant.currency)} of {grant.tenant.name} are left.",
            "This records that you paid it back; no money is moved by it.",
        ],
        back_url=reverse("credit-list"),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        RefundForm(posted(request)),
        lambda typed: refund_credit(grant_id=grant.pk, **typed, actor=request.actor),
        message="The refund is recorded.",
    )
