"""What is agreed with one tenant beside its rate card: discounts, and where it is taxed."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from billing.queries.issuers import list_tax_rules, tax_profiles
from billing.queries.terms import get_discount, list_discounts
from billing.services.discounts import DiscountDetails, agree_discount, end_discount
from billing.services.taxes import set_tax_profile
from core import clock
from dashboard.access import OperatorRequest, requires
from dashboard.billing_forms import DiscountEndForm, DiscountForm, TaxProfileForm
from dashboard.confirming import Question, ask_then_do
from dashboard.paging import page_of
from dashboard.reading import posted, text_of
from dashboard.rendering import render_page_or_fragment
from tenants.queries import get_tenant


@requires("rate_cards.view")
@require_safe
def discounts(request: OperatorRequest) -> HttpResponse:
    """Discounts, newest first: who is let off what, from when until when."""
    page = page_of(request, list_discounts(tenant_ids=request.visible_tenants))
    context = {"discounts": page.rows, "next_cursor": page.next_cursor, "now": clock.now()}
    return render_page_or_fragment(
        request, "dashboard/invoices/discounts.html", "dashboard/invoices/_discounts.html", context
    )


@requires("rate_cards.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def agree(request: OperatorRequest) -> HttpResponse:
    """Give a tenant a discount; `tenant` in the address fills the form."""
    question = Question(
        heading="Agree a discount",
        verb="Agree discount",
        plan=[
            "Discounts are taken off in the order in which they were agreed, each from what the ones before left.",
            "It holds for invoices that are drafted or refreshed from now on; what is final stays.",
            "It never changes after this, but for an earlier end.",
        ],
        back_url=reverse("discount-list"),
    )

    def act(typed: dict[str, Any]) -> None:
        tenant = get_tenant(typed.pop("tenant"), tenant_ids=request.visible_tenants)
        reason = typed.pop("reason")
        agree_discount(tenant_id=tenant.pk, details=DiscountDetails(**typed), reason=reason, actor=request.actor)

    form = DiscountForm(posted(request), initial={"tenant": text_of(request, "tenant"), "starts_at": clock.now()})
    return ask_then_do(request, question, form, act, message="The discount is agreed.")


@requires("rate_cards.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def end(request: OperatorRequest, ref: str) -> HttpResponse:
    """Let a discount end."""
    discount = get_discount(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"End {discount.name}",
        verb="End discount",
        plan=[f"{discount.tenant.name} has it until then. What was billed under it stays."],
        back_url=reverse("discount-list"),
    )
    return ask_then_do(
        request,
        question,
        DiscountEndForm(posted(request)),
        lambda typed: end_discount(discount_id=discount.pk, **typed, actor=request.actor),
        message="The discount ends.",
    )


@requires("rate_cards.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def tax_profile(request: OperatorRequest, ref: str) -> HttpResponse:
    """State where a tenant is taxed and as what."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    profile = tax_profiles([tenant.pk]).get(tenant.pk)
    first = {name: getattr(profile, name, "") for name in ("country", "tax_number", "exempt_reason")}
    rules = [
        f"{rule.country or rule.currency}: {rule.name} {100 * rule.rate.normalize():f} %"
        + (", owed by the customer when it has a tax number" if rule.reverse_charge else "")
        for rule in list_tax_rules()
        if rule.effective.upper is None
    ]
    question = Question(
        heading=f"Where {tenant.name} is taxed",
        verb="Save tax profile",
        plan=[
            "The rules of this country alone hold then; without a profile the tenant is taxed by its currency.",
            "Drafts follow when they are refreshed, and are not finalized before; what is final stays.",
            *rules,
        ],
        back_url=reverse("tenant-invoices", args=[tenant.slug]),
    )
    return ask_then_do(
        request,
        question,
        TaxProfileForm(posted(request), initial={**first, "version": profile.version if profile else None}),
        lambda typed: set_tax_profile(
            tenant_id=tenant.pk, expected_version=typed.pop("version"), **typed, actor=request.actor
        ),
        message="The tax profile is saved.",
    )
