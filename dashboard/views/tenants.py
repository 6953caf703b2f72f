"""Tenants: the list, onboarding, and what can be done to one."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core import clock
from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import OnboardForm, OptionalReasonForm, ReasonForm, TypedReasonForm
from dashboard.observing import observed_by_tenant
from dashboard.paging import page_of
from dashboard.reading import posted, text_of
from dashboard.rendering import done, render_page_or_fragment
from dashboard.words import choices
from provisioning.queries import list_lines
from provisioning.services.preflight import refuse_unfit
from tenants.queries import get_tenant, list_tenants, list_tiers, tier_version_of
from tenants.services.lifecycle import resume_tenant, suspend_tenant
from tenants.services.offboarding import begin_offboarding
from tenants.services.onboarding import sign_up_tenant


@requires("tenants.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Tenants by name, tier and state; the address holds the filters."""
    wanted = {name: text_of(request, name) for name in ("q", "tier", "state")}
    found = list_tenants(
        tenant_ids=request.visible_tenants,
        state=wanted["state"] or None,
        tier=wanted["tier"] or None,
        q=wanted["q"] or None,
    )
    page = page_of(request, found)
    observed = observed_by_tenant([tenant.pk for tenant in page.rows])
    context = {
        "rows": [(tenant, observed[tenant.pk]) for tenant in page.rows],
        "next_cursor": page.next_cursor,
        "wanted": wanted,
        "is_filtered": any(wanted.values()),
        "tiers": list_tiers(),
        "states": choices("tenant"),
    }
    return render_page_or_fragment(request, "dashboard/tenants/list.html", "dashboard/tenants/_table.html", context)


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def onboard(request: OperatorRequest) -> HttpResponse:
    """Register a tenant. What its tier will create in AWS is shown beside the choice."""
    offers = _offers()
    form = OnboardForm(posted(request), tiers=[(offer["key"], offer["name"]) for offer in offers])
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                refuse_unfit(
                    tier_key=form.cleaned_data["tier_key"], allowed_regions=form.cleaned_data["allowed_regions"]
                )
                tenant = sign_up_tenant(**form.cleaned_data, actor=request.actor)
            except DomainError as error:
                form.refuse(error)
                status = error.status
            else:
                return done(
                    request, f"{tenant.name} is registered; its resources are being made.", "tenant-detail", tenant.slug
                )
    context = {"form": form, "offers": offers, "crumbs": [("Tenants", reverse("tenant-list"))]}
    return render(request, "dashboard/tenants/onboard.html", context, status=status)


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def suspend(request: OperatorRequest, ref: str) -> HttpResponse:
    """Withdraw a tenant's traffic."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Suspend {tenant.name}",
        verb=f"Suspend {tenant.name}",
        plan=[
            "Its routes are withdrawn from the runtime config: data planes answer its users with a refusal.",
            _kept_or_not(tenant.pk),
            "Nothing else changes for other tenants.",
        ],
        back_url=reverse("tenant-detail", args=[tenant.slug]),
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: suspend_tenant(tenant_id=tenant.pk, reason=typed["reason"], actor=request.actor),
        message=f"{tenant.name} is suspended.",
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def resume(request: OperatorRequest, ref: str) -> HttpResponse:
    """Route a suspended tenant's traffic again."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Resume {tenant.name}",
        verb=f"Resume {tenant.name}",
        plan=["Its routes are published again; data planes pick them up within seconds."],
        back_url=reverse("tenant-detail", args=[tenant.slug]),
    )
    return ask_then_do(
        request,
        question,
        OptionalReasonForm(posted(request)),
        lambda typed: resume_tenant(tenant_id=tenant.pk, reason=typed["reason"], actor=request.actor),
        message=f"{tenant.name} is active again.",
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def offboard(request: OperatorRequest, ref: str) -> HttpResponse:
    """End the relation: cannot be undone, so the slug has to be typed."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Offboard {tenant.name}",
        verb=f"Offboard {tenant.name}",
        plan=[
            "Its API keys are revoked at once.",
            "Its traffic is withdrawn, then its resources in AWS are deleted.",
            "A final invoice is issued once the last usage has been counted.",
            f"Its adapters are erased from storage with every version{_retention(tenant.pk)}. This cannot be undone.",
            "A deletion certificate is issued when a second read of AWS finds nothing.",
            f"The slug {tenant.slug} stays reserved.",
        ],
        back_url=reverse("tenant-detail", args=[tenant.slug]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        TypedReasonForm(posted(request), expected=tenant.slug),
        lambda typed: begin_offboarding(tenant_id=tenant.pk, reason=typed["reason"], actor=request.actor),
        message=f"{tenant.name} is being offboarded.",
    )


def _kept_or_not(tenant_id: int) -> str:
    """What the tenant's tier does with a suspended tenant's resources."""
    if tier_version_of(tenant_id, clock.now()).on_suspend == "remove":
        return "Its own resources in AWS are deleted, as its tier says; resuming makes them again, which takes minutes."
    return "Its resources stay in AWS, so resuming takes seconds, and dedicated capacity goes on costing money."


def _retention(tenant_id: int) -> str:
    days = tier_version_of(tenant_id, clock.now()).retention_days
    return f" {days} days from now, unless a legal hold is in force" if days else ", unless a legal hold is in force"


def _offers() -> list[dict[str, Any]]:
    """What the newest published version of every tier gives, and on which lines."""
    lines: dict[int, list[Any]] = {}
    for line in list_lines().prefetch_related("routes"):
        for route in line.routes.all():
            lines.setdefault(route.tier_version_id, []).append(line)
    offers = []
    for tier in list_tiers():
        published = [version for version in tier.versions.all() if version.published_at]
        if published:
            version = max(published, key=lambda each: each.number)
            offers.append({"key": tier.key, "name": tier.name, "version": version, "lines": lines.get(version.pk, [])})
    return offers
