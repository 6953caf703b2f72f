"""Which line answers a tenant: its lines and licences, circuit breakers, degrades; and going back to a config."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core.errors import NotFound
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import PlainForm, ReasonForm
from dashboard.reading import posted
from dashboard.rendering import render_page_or_fragment
from dashboard.views.tenant_pages import frame_of
from provisioning import line_queries
from provisioning import queries as provisioning
from provisioning.services import config_history, line_decisions
from provisioning.services.route_states import line_options, route_states
from tenants.queries import get_tenant

ACCEPTANCES = 20


class LinesForm(ReasonForm):
    """Lines in the order in which they are to answer."""

    lines = forms.CharField(max_length=400, help_text="Names of lines in their order, separated by spaces.")
    field_order = ("lines", "reason")

    def clean_lines(self) -> list[str]:
        return str(self.cleaned_data["lines"]).replace(",", " ").split()


class AcceptanceForm(PlainForm):
    """Who accepted a licence."""

    accepted_by = forms.CharField(
        label="Accepted by", max_length=200, help_text="Who said so at the tenant. Your own name is kept beside it."
    )


@requires("operations.view")
@require_safe
def routes(request: OperatorRequest, ref: str) -> HttpResponse:
    """The lines that answer, the breakers of every route, and what degraded."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    context = frame_of(tenant, "routes") | {
        "states": route_states(tenant_id=tenant.pk),
        "acceptances": line_queries.eula_acceptances(tenant.pk)[:ACCEPTANCES],
    }
    return render_page_or_fragment(request, "dashboard/tenants/routes.html", "dashboard/tenants/_routes.html", context)


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def choose(request: OperatorRequest, ref: str) -> HttpResponse:
    """Choose the lines that answer without adapter."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    options = line_options(tenant.pk)
    question = Question(
        heading=f"Choose the lines of {tenant.name}",
        verb="Choose them",
        plan=[
            f"The tier has {', '.join(each.line.name for each in options) or 'no line'}.",
            "Requests without an adapter go to the first of the chosen ones that can answer. Adapters stay where "
            "they are.",
            "All lines of the tier stay ready, so this is a publish: nothing is made or deleted, nothing is down.",
        ],
        back_url=reverse("tenant-routes", args=[tenant.slug]),
    )
    now = " ".join(each.line.name for each in options if each.position)
    return ask_then_do(
        request,
        question,
        LinesForm(posted(request), initial={"lines": now}),
        lambda typed: line_decisions.choose_lines(
            tenant_id=tenant.pk, line_names=typed["lines"], reason=typed["reason"], actor=request.actor
        ),
        message="The lines are chosen. Data planes follow with the next published config.",
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: OperatorRequest, ref: str, line: str) -> HttpResponse:
    """Record that the tenant accepts the licence of a gated model."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    found = next((each.line for each in line_options(tenant.pk) if each.line.name == line), None)
    if found is None:
        raise NotFound(f"{tenant.name}'s tier has no line {line}.")
    question = Question(
        heading=f"Accept the licence of {found.model_name} for {tenant.name}",
        verb="Record the acceptance",
        plan=[
            f"The licence: {found.eula_url or 'this model needs none.'}",
            "It stays on record for ever, with who said so, who recorded it and when.",
            f"Line {found.name} may answer the tenant from the next published config on.",
        ],
        back_url=reverse("tenant-routes", args=[tenant.slug]),
    )
    return ask_then_do(
        request,
        question,
        AcceptanceForm(posted(request)),
        lambda typed: line_decisions.accept_eula(
            tenant_id=tenant.pk, line_name=line, accepted_by=typed["accepted_by"], actor=request.actor
        ),
        message="The acceptance is on record.",
    )


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def trip(request: OperatorRequest, ref: str, route: str, line: str) -> HttpResponse:
    """Keep a route off a line."""
    plan = [
        f"No data plane sends requests of {route} to {line} until somebody resets the breaker.",
        "They go to the next line of the route; without one they are refused with Retry-After.",
    ]
    act, verb = line_decisions.trip_breaker, "Trip the breaker"
    return _order(request, ref, route, line, verb=verb, plan=plan, act=act, is_risk=True)


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: OperatorRequest, ref: str, route: str, line: str) -> HttpResponse:
    """Let requests try a line again."""
    plan = [
        f"Every data plane closes the breaker of {line} for {route}, whoever opened it.",
        "When the line fails again as often as the tier says, it opens again by itself.",
    ]
    return _order(request, ref, route, line, verb="Reset the breaker", plan=plan, act=line_decisions.reset_breaker)


def _order(
    request: OperatorRequest,
    ref: str,
    route: str,
    line: str,
    *,
    verb: str,
    plan: list[str],
    act: Any,
    is_risk: bool = False,
) -> HttpResponse:
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"{verb} of {line} for {route}",
        verb=verb,
        plan=plan,
        back_url=reverse("tenant-routes", args=[tenant.slug]),
        is_risk=is_risk,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: act(
            tenant_id=tenant.pk, route=route, line_name=line, reason=typed["reason"], actor=request.actor
        ),
        message="Data planes follow with the next published config.",
    )


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def roll_back(request: OperatorRequest, ref: str, version: int) -> HttpResponse:
    """Go back to the routes of an earlier config."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    older = provisioning.published_configs(tenant.pk).filter(version=version).first()
    if older is None:
        raise NotFound(f"{tenant.name} has no runtime config {version}.")
    question = Question(
        heading=f"Roll back to the routes of version {version}",
        verb="Roll back",
        plan=[
            f"A new version with the routes of version {version} is published; data planes follow at once.",
            "It stays until something else is wished for: a release, another choice of lines, another tier.",
            "Token limits and circuit breakers stay as they are now.",
        ],
        back_url=reverse("tenant-config", args=[tenant.slug]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: config_history.roll_back_config(
            tenant_id=tenant.pk, to_version=version, reason=typed["reason"], actor=request.actor
        ),
        message=f"The routes of version {version} are published again.",
    )
