"""Settings: webhook endpoints, how they fare, what was sent to them, and sending it again."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from core import clock
from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import OptionalReasonForm, PlainForm, ReplayForm, WebhookChangeForm, WebhookForm
from dashboard.paging import page_of
from dashboard.polling import poll_ms
from dashboard.reading import posted
from dashboard.rendering import done, render_page_or_fragment
from events.catalog import SUBSCRIBABLE
from events.webhooks import endpoints, queries, replay
from events.webhooks.endpoints import OLD_SECRET_COUNTS_FOR
from events.webhooks.states import DeliveryState, EndpointState
from tenants.queries import get_tenant, list_tenants

PERMISSION = "webhooks.manage"
DELIVERIES = 20
# A delivery that is tried again later than this is not worth watching.
SOON = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery with its last tries, newest first."""

    delivery: Any
    attempts: list[Any]


@requires(PERMISSION)
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Endpoints, with whose events they hear and how they fare."""
    page = page_of(request, queries.list_endpoints(tenant_ids=request.visible_tenants))
    tenants = _tenants_of(page.rows)
    context = {
        "endpoints": [(endpoint, tenants.get(endpoint.tenant_pk)) for endpoint in page.rows],
        "next_cursor": page.next_cursor,
    }
    return render_page_or_fragment(
        request, "dashboard/settings/webhooks.html", "dashboard/settings/_webhooks_table.html", context
    )


@requires(PERMISSION)
@require_safe
def detail(request: OperatorRequest, ref: str) -> HttpResponse:
    """One endpoint with its last deliveries and what receivers answered; polls while one is on its way."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    page = page_of(request, queries.list_deliveries(endpoint), rows=DELIVERIES)
    attempts = queries.attempts_by_delivery([delivery.pk for delivery in page.rows])
    moving = [delivery for delivery in page.rows if _is_moving(delivery)]
    context = {
        "endpoint": endpoint,
        "tenant": _tenants_of([endpoint]).get(endpoint.tenant_pk),
        "is_active": endpoint.state == EndpointState.ACTIVE,
        "old_secret_counts": endpoint.previous_secret_until and endpoint.previous_secret_until > clock.now(),
        "rows": [Sent(delivery, attempts.get(delivery.pk, [])) for delivery in page.rows],
        "next_cursor": page.next_cursor,
        "poll": poll_ms(since=max(delivery.due_at for delivery in moving), is_settled=False) if moving else None,
        "crumbs": _crumbs(),
    }
    return render_page_or_fragment(
        request, "dashboard/settings/webhook.html", "dashboard/settings/_webhook.html", context
    )


@sensitive_variables("secret")
@requires(PERMISSION)
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: OperatorRequest) -> HttpResponse:
    """Add an endpoint and show its secret once."""
    form = WebhookForm(posted(request), names=sorted(SUBSCRIBABLE))
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            typed = form.cleaned_data
            try:
                tenant = get_tenant(typed["tenant"], tenant_ids=request.visible_tenants) if typed["tenant"] else None
                endpoint, secret = endpoints.create_endpoint(
                    url=typed["url"],
                    event_names=typed["events"],
                    description=typed["description"],
                    tenant=tenant,
                    actor=request.actor,
                )
            except DomainError as error:
                form.refuse(error)
                status = error.status
            else:
                return _show_secret(request, endpoint, secret, "is added", status=201)
    context = {"form": form, "heading": "Add a webhook", "verb": "Add webhook", "back_url": reverse("webhook-list")}
    return render(request, "dashboard/settings/webhook_form.html", {**context, "crumbs": _crumbs()}, status=status)


@requires(PERMISSION)
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: OperatorRequest, ref: str) -> HttpResponse:
    """Change address, events and description."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    initial = {
        "url": endpoint.url,
        "events": endpoint.event_names,
        "description": endpoint.description,
        "version": endpoint.version,
    }
    form = WebhookChangeForm(posted(request), names=sorted(SUBSCRIBABLE), initial=initial)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            typed = dict(form.cleaned_data)
            version, names = typed.pop("version"), typed.pop("events")
            try:
                endpoints.change_endpoint(
                    endpoint_id=endpoint.pk,
                    changes={**typed, "event_names": names},
                    expected_version=version,
                    actor=request.actor,
                )
            except DomainError as error:
                form.refuse(error)
                status = error.status
            else:
                return done(request, "The webhook is changed.", "webhook-detail", ref)
    back_url = reverse("webhook-detail", args=[ref])
    context = {"form": form, "heading": "Change the webhook", "verb": "Save", "back_url": back_url}
    return render(request, "dashboard/settings/webhook_form.html", {**context, "crumbs": _crumbs()}, status=status)


@sensitive_variables("secret")
@requires(PERMISSION)
@require_http_methods(["GET", "HEAD", "POST"])
def rotate(request: OperatorRequest, ref: str) -> HttpResponse:
    """Ask, then make a new secret and show it once."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    if request.method == "POST":
        endpoint, secret = endpoints.rotate_secret(endpoint_id=endpoint.pk, actor=request.actor)
        return _show_secret(request, endpoint, secret, "has a new secret", status=200)
    hours = OLD_SECRET_COUNTS_FOR // timedelta(hours=1)
    context = {"endpoint": endpoint, "hours": hours, "crumbs": _crumbs()}
    return render(request, "dashboard/settings/webhook_rotate.html", context)


@requires(PERMISSION)
@require_POST
def test(request: OperatorRequest, ref: str) -> HttpResponse:
    """Send a test message now."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    endpoints.send_test(endpoint_id=endpoint.pk, actor=request.actor)
    return done(request, "A test message is on its way.", "webhook-detail", ref)


@requires(PERMISSION)
@require_http_methods(["GET", "HEAD", "POST"])
def disable(request: OperatorRequest, ref: str) -> HttpResponse:
    """Stop sending to an endpoint."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    waiting = queries.list_deliveries(endpoint, state=DeliveryState.WAITING).count()
    question = Question(
        heading="Disable the webhook",
        verb="Disable webhook",
        plan=[
            f"Nothing more is sent to {endpoint.url}.",
            f"{waiting} waiting {'message is' if waiting == 1 else 'messages are'} cancelled.",
            "After enabling it again, a replay sends what it missed.",
        ],
        back_url=reverse("webhook-detail", args=[ref]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        OptionalReasonForm(posted(request)),
        lambda typed: endpoints.disable_endpoint(endpoint_id=endpoint.pk, reason=typed["reason"], actor=request.actor),
        message="The webhook is disabled.",
    )


@requires(PERMISSION)
@require_http_methods(["GET", "HEAD", "POST"])
def enable(request: OperatorRequest, ref: str) -> HttpResponse:
    """Send to an endpoint again."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading="Enable the webhook",
        verb="Enable webhook",
        plan=[f"What happens from now on is sent to {endpoint.url}.", "What it missed is sent when you replay it."],
        back_url=reverse("webhook-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        PlainForm(posted(request)),
        lambda _typed: endpoints.enable_endpoint(endpoint_id=endpoint.pk, actor=request.actor),
        message="The webhook is enabled.",
    )


@requires(PERMISSION)
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: OperatorRequest, ref: str) -> HttpResponse:
    """Delete a disabled endpoint."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading="Delete the webhook",
        verb="Delete webhook",
        plan=[
            f"{endpoint.url} and its secret are forgotten.",
            "The record of what was sent to it is deleted; the events themselves stay in the audit log.",
        ],
        back_url=reverse("webhook-detail", args=[ref]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        OptionalReasonForm(posted(request)),
        lambda typed: endpoints.delete_endpoint(endpoint_id=endpoint.pk, reason=typed["reason"], actor=request.actor),
        message="The webhook is deleted.",
        done_url=lambda: reverse("webhook-list"),
    )


@requires(PERMISSION)
@require_http_methods(["GET", "HEAD", "POST"])
def replay_range(request: OperatorRequest, ref: str) -> HttpResponse:
    """Send a time range again."""
    endpoint = queries.get_endpoint(ref, tenant_ids=request.visible_tenants)
    now = clock.now().replace(second=0, microsecond=0)
    question = Question(
        heading="Replay a time range",
        verb="Replay",
        plan=[
            "Every event of the range that this webhook subscribes to is sent again, also those that were delivered.",
            "Ids and bytes are those of the first time, so a receiver that keeps ids takes each event once.",
        ],
        back_url=reverse("webhook-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        ReplayForm(posted(request), initial={"start": now - timedelta(days=1), "end": now + timedelta(minutes=1)}),
        lambda typed: replay.replay_range(endpoint_id=endpoint.pk, **typed, actor=request.actor),
        message="The range is on its way again.",
    )


@requires(PERMISSION)
@require_POST
def replay_one(request: OperatorRequest, ref: str) -> HttpResponse:
    """Send one delivery again, now."""
    found = queries.find_delivery(ref, tenant_ids=request.visible_tenants)
    replay.replay_delivery(delivery_id=found.pk, actor=request.actor)
    return done(request, "The message is on its way again.", "webhook-detail", found.endpoint.public_id)


def _show_secret(request: OperatorRequest, endpoint: Any, secret: str, what: str, *, status: int) -> HttpResponse:
    context = {"endpoint": endpoint, "secret": secret, "what": what, "crumbs": _crumbs()}
    return render(request, "dashboard/settings/webhook_secret.html", context, status=status)


def _is_moving(delivery: Any) -> bool:
    soon = delivery.state == DeliveryState.WAITING and delivery.due_at < clock.now() + SOON
    return delivery.state == DeliveryState.SENDING or soon


def _tenants_of(rows: Collection[Any]) -> dict[int | None, Any]:
    """The tenants of these endpoints by pk. Whoever sees the endpoint sees whose it is."""
    pks = {row.tenant_pk for row in rows if row.tenant_pk is not None}
    return {tenant.pk: tenant for tenant in list_tenants(tenant_ids=pks)} if pks else {}


def _crumbs() -> list[tuple[str, str]]:
    return [("Settings", reverse("settings")), ("Webhooks", reverse("webhook-list"))]
