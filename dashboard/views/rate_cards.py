"""Rate cards: drafting, editing, what a draft would have changed, publishing, scheduling; and prepaid credit."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from billing import queries
from billing.queries import wallet
from billing.queries.cards import priceable_version
from billing.queries.impact import impact_of
from billing.services import rate_cards
from billing.services.wallet import grant_credit
from billing.states import RateCardState
from dashboard.access import OperatorRequest, requires
from dashboard.billing_forms import CardForm, GrantForm, RatesForm, ScheduleForm, as_json, examples
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import PlainForm
from dashboard.paging import page_of
from dashboard.reading import posted, text_of
from dashboard.rendering import render_page_or_fragment
from tenants.queries import get_tenant, list_tiers


@requires("rate_cards.view")
@require_safe
def detail(request: OperatorRequest, ref: str) -> HttpResponse:
    """One card with its rates, whom it prices, and what it would have changed in the last three closed periods."""
    card = queries.get_rate_card(ref)
    context = {
        "card": card,
        "cards": [card],
        "is_draft": card.state == RateCardState.DRAFT,
        "impact": impact_of(card),
        "crumbs": [("Billing", reverse("invoice-list")), ("Rate cards", reverse("rate-card-list"))],
    }
    return render_page_or_fragment(
        request, "dashboard/invoices/rate_card.html", "dashboard/invoices/_rate_card.html", context
    )


@requires("rate_cards.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def draft(request: OperatorRequest) -> HttpResponse:
    """Begin the next number of a card, or a new card; `from` in the address fills the form from one that is there."""
    like = text_of(request, "from")
    first: dict[str, Any] = {}
    if like:
        card = queries.get_rate_card(like)
        first = {"name": card.name, "currency": card.currency, "rates": as_json(card)}
    made: list[Any] = []
    question = Question(
        heading="Draft a rate card",
        verb="Draft rate card",
        plan=[
            "A draft prices nobody. Its page shows what it would have changed before it is published.",
            "What parameters look like:",
            *examples(),
        ],
        back_url=reverse("rate-card-list"),
    )

    def act(typed: dict[str, Any]) -> None:
        terms = {name: typed[name] for name in ("name", "currency", "rates")}
        made.append(rate_cards.draft_rate_card(**terms, actor=request.actor))

    return ask_then_do(
        request,
        question,
        CardForm(posted(request), initial=first),
        act,
        message="The rate card is drafted.",
        done_url=lambda: reverse("rate-card-detail", args=[made[0].public_id]),
    )


@requires("rate_cards.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: OperatorRequest, ref: str) -> HttpResponse:
    """Put other rates on a draft."""
    card = queries.get_rate_card(ref)
    question = Question(
        heading=f"Edit {card}",
        verb="Save rates",
        plan=["Replaces all rates of the draft.", "What parameters look like:", *examples()],
        back_url=reverse("rate-card-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        RatesForm(posted(request), initial={"rates": as_json(card), "version": card.version}),
        lambda typed: rate_cards.edit_rate_card(
            card_id=card.pk, rates=typed["rates"], expected_version=typed["version"], actor=request.actor
        ),
        message="The draft is saved.",
    )


@requires("rate_cards.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def publish(request: OperatorRequest, ref: str) -> HttpResponse:
    """Close a draft to change."""
    card = queries.get_rate_card(ref)
    question = Question(
        heading=f"Publish {card}",
        verb="Publish rate card",
        plan=["It never changes again; a new price is a new number.", "It prices nobody until it is scheduled."],
        back_url=reverse("rate-card-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        PlainForm(posted(request)),
        lambda _typed: rate_cards.publish_rate_card(card_id=card.pk, actor=request.actor),
        message=f"{card} is published.",
    )


@requires("rate_cards.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: OperatorRequest, ref: str) -> HttpResponse:
    """Let a published card price a tier from an instant on."""
    card = queries.get_rate_card(ref)
    versions = [(tier, version) for tier in list_tiers() for version in tier.versions.all() if version.published_at]
    choices = [(f"{tier.key} {version.number}", f"{tier.name}, version {version.number}") for tier, version in versions]
    question = Question(
        heading=f"Schedule {card}",
        verb="Schedule",
        plan=["The price that the tier has in this currency ends where this one begins; what was billed stays."],
        back_url=reverse("rate-card-detail", args=[ref]),
    )

    def act(typed: dict[str, Any]) -> None:
        key, _, number = typed["tier"].partition(" ")
        rate_cards.price_tier(
            tier_version_id=priceable_version(key, int(number)).pk,
            card_id=card.pk,
            effective_from=typed["effective_from"],
            actor=request.actor,
        )

    return ask_then_do(
        request,
        question,
        ScheduleForm(posted(request), tiers=choices),
        act,
        message=f"{card} is scheduled.",
    )


@requires("credits.view")
@require_safe
def credits(request: OperatorRequest) -> HttpResponse:
    """Prepaid credit: what was granted to whom, what is left of it and until when."""
    page = page_of(request, wallet.list_grants(tenant_ids=request.visible_tenants))
    context = {"grants": page.rows, "next_cursor": page.next_cursor}
    return render_page_or_fragment(
        request, "dashboard/invoices/credits.html", "dashboard/invoices/_credits.html", context
    )


@requires("credits.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def grant(request: OperatorRequest) -> HttpResponse:
    """Credit a payment in advance."""
    question = Question(
        heading="Grant prepaid credit",
        verb="Grant credit",
        plan=[
            "Invoices draw it when they are finalized, what expires first at first, and never below zero.",
            "The same payment reference is credited once.",
        ],
        back_url=reverse("credit-list"),
    )

    def act(typed: dict[str, Any]) -> None:
        tenant = get_tenant(typed.pop("tenant"), tenant_ids=request.visible_tenants)
        grant_credit(tenant_id=tenant.pk, **typed, actor=request.actor)

    return ask_then_do(request, question, GrantForm(posted(request)), act, message="The credit is granted.")
