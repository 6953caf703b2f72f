"""Settings: API keys and the audit log."""

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from accounts import access, services
from accounts.queries import get_api_key, list_api_keys
from core import clock
from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import KeyForm, ReasonForm
from dashboard.paging import page_of
from dashboard.reading import posted, text_of
from dashboard.rendering import render_page_or_fragment
from events.catalog import CATALOG
from events.queries import search_events
from tenants.queries import get_tenant


@requires("tenants.view")
@require_safe
def entry(request: OperatorRequest) -> HttpResponse:
    """The first page of Settings that the person may open."""
    pages = {"keys.manage": "key-list", "webhooks.manage": "webhook-list"}
    may = (page for permission, page in pages.items() if access.can(request.principal, permission))
    return redirect(next(may, "audit"))


@requires("keys.manage")
@require_safe
def key_list(request: OperatorRequest) -> HttpResponse:
    """Keys, with who may use them for what and until when."""
    listing = page_of(request, list_api_keys(tenant_ids=request.visible_tenants))
    now = clock.now()
    keys = [(key, _key_state(key.revoked_at is not None, key.expires_at <= now)) for key in listing.rows]
    context = {"keys": keys, "next_cursor": listing.next_cursor}
    return render_page_or_fragment(
        request, "dashboard/settings/keys.html", "dashboard/settings/_keys_table.html", context
    )


@sensitive_variables("plaintext")
@requires("keys.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def key_issue(request: OperatorRequest) -> HttpResponse:
    """Issue a key and show it once."""
    offered = access.grantable_scopes(request.principal, for_tenant=False)
    form = KeyForm(posted(request), scopes=offered)
    context: dict[str, object] = {"form": form, "crumbs": _crumbs("Settings", "API keys")}
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                typed = form.cleaned_data
                tenant = get_tenant(typed["tenant"], tenant_ids=request.visible_tenants) if typed["tenant"] else None
                tenant_id = tenant.pk if tenant else None
                access.require_grantable(request.principal, scopes=typed["scopes"], tenant_id=tenant_id)
                key, plaintext = services.issue_api_key(
                    name=typed["name"],
                    scopes=typed["scopes"],
                    tenant_id=tenant_id,
                    expires_at=clock.now() + timedelta(days=typed["days"]),
                    actor=request.actor,
                )
            except DomainError as error:
                form.refuse(error)
                status = error.status
            else:
                shown = {"key": key, "plaintext": plaintext, "crumbs": _crumbs("Settings", "API keys")}
                return render(request, "dashboard/settings/key_shown.html", shown, status=201)
    return render(request, "dashboard/settings/key_issue.html", context, status=status)


@requires("keys.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def key_revoke(request: OperatorRequest, ref: str) -> HttpResponse:
    """Put a key out of use."""
    key = get_api_key(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Revoke the key “{key.name}”",
        verb="Revoke key",
        plan=[
            f"Requests with {key.hint} are refused from the next one on.",
            "This cannot be undone; issue a new key instead.",
        ],
        back_url=reverse("key-list"),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: services.revoke_api_key(key_id=key.pk, reason=typed["reason"], actor=request.actor),
        message=f"The key “{key.name}” is revoked.",
    )


@requires("audit.view")
@require_safe
def audit(request: OperatorRequest) -> HttpResponse:
    """Every change: who, what, when, why, with before and after. Filters by event name, object, and request id."""
    wanted = {name: text_of(request, name) for name in ("name", "subject", "request_id", "tenant")}
    events = search_events(
        tenant_ids=request.visible_tenants,
        name=wanted["name"] or None,
        subject_ref=wanted["subject"] or None,
        request_id=wanted["request_id"] or None,
        tenant_ref=wanted["tenant"] or None,
    )
    listing = page_of(request, events)
    context = {
        "events": listing.rows,
        "next_cursor": listing.next_cursor,
        "wanted": wanted,
        "is_filtered": any(wanted.values()),
        "names": sorted(CATALOG),
    }
    return render_page_or_fragment(
        request, "dashboard/settings/audit.html", "dashboard/settings/_audit_table.html", context
    )


def _key_state(is_revoked: bool, is_expired: bool) -> str:
    if is_revoked:
        return "revoked"
    return "expired" if is_expired else "active"


def _crumbs(*labels: str) -> list[tuple[str, str]]:
    return [(label, reverse("key-list")) for label in labels]
