"""One tenant: what is desired and observed, its adapters, resources, runtime config and history."""

import difflib
import json
from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.access import can
from billing.queries import list_invoices, preview
from core import clock
from core.errors import DomainError, NotFound
from core.periods import Period
from dashboard.access import OperatorRequest, requires
from dashboard.limit_facts import limit_bars, limit_notices
from dashboard.observing import observed_word
from dashboard.paging import page_of
from dashboard.polling import poll_ms
from dashboard.reading import text_of
from dashboard.rendering import render_page_or_fragment
from dashboard.steps import Step, step
from dashboard.usage_facts import tokens_by_day
from dashboard.views.operations import progress_of
from events.queries import search_events
from models_registry.queries import adapters_being_checked, list_adapters
from provisioning import outcomes
from provisioning import queries as provisioning
from provisioning.limit_queries import running_limit_alerts
from provisioning.line_queries import config_refusal
from provisioning.services.accounts import obstacle
from provisioning.states import OperationState
from tenants.queries import erasure_waits_for, get_tenant, legal_hold_of, offboarding_steps, tier_version_of
from tenants.states import LEAVING, TenantState

MOVING = (TenantState.SIGNED_UP, TenantState.PROVISIONING, TenantState.OFFBOARDING)
RECENT = 8
CONFIGS = 50
CHART_DAYS = 14


@requires("tenants.view")
@require_safe
def overview(request: OperatorRequest, ref: str) -> HttpResponse:
    """Health, what serves, what is being done and what happened; polls while something is on its way."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    running = [
        progress_of(each) for each in provisioning.operations(tenant_ids=[tenant.pk], state=OperationState.RUNNING)
    ]
    adapters = list(list_adapters(tenant_ids=[tenant.pk]))
    delays = [each.poll for each in running if each.poll]
    if tenant.state in MOVING and not delays:
        delays = [poll_ms(since=tenant.signed_up_at, is_settled=False) or 0]
    money = {} if tenant.state in MOVING else _money(request, tenant)
    context = (
        frame_of(tenant, "overview")
        | money
        | {
            "running": running,
            "adapters": adapters,
            "checking": adapters_being_checked(adapter.pk for adapter in adapters),
            "leaving": _departure(tenant),
            "legal_hold": legal_hold_of(tenant.pk),
            "erasure_waits_for": erasure_waits_for(tenant, clock.now()),
            "refusal": config_refusal(tenant.pk),
            "certificates": outcomes.deletion_certificates(tenant.pk, tenant_ids=request.visible_tenants),
            "events": search_events(tenant_ids=request.visible_tenants, tenant_ref=tenant.public_id)[:RECENT],
            "poll": min(delays) if delays else None,
        }
    )
    return render_page_or_fragment(
        request, "dashboard/tenants/detail.html", "dashboard/tenants/_overview.html", context
    )


@requires("tenants.view")
@require_safe
def resources(request: OperatorRequest, ref: str) -> HttpResponse:
    """Every AWS object made for this tenant: phase, AWS's own status, and why it is stuck."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    is_all = text_of(request, "gone") == "yes"
    rows = list(provisioning.resources_of(tenant_ids=[tenant.pk], include_gone=is_all))
    is_moving = any(row.phase not in ("ready", "gone") for row in rows)
    context = frame_of(tenant, "resources") | {
        "resources": rows,
        "is_all": is_all,
        "lines": provisioning.lines_of(tenant.pk),
        "poll": poll_ms(since=max(row.phase_since for row in rows), is_settled=False) if is_moving else None,
    }
    return render_page_or_fragment(
        request, "dashboard/tenants/resources.html", "dashboard/tenants/_resources.html", context
    )


@requires("tenants.view")
@require_safe
def config(request: OperatorRequest, ref: str) -> HttpResponse:
    """The runtime config's versions, the chosen one, and what it changed."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    versions = list(provisioning.published_configs(tenant.pk)[:CONFIGS])
    chosen = _chosen(versions, text_of(request, "version"))
    before = next((each for each in versions if chosen and each.version == chosen.version - 1), None)
    context = frame_of(tenant, "config") | {
        "versions": versions,
        "chosen": chosen,
        "refusal": config_refusal(tenant.pk),
        "document": _pretty(chosen.document) if chosen else "",
        "diff": _diff(before, chosen) if chosen else [],
    }
    return render_page_or_fragment(request, "dashboard/tenants/config.html", "dashboard/tenants/_config.html", context)


@requires("tenants.view")
@require_safe
def activity(request: OperatorRequest, ref: str) -> HttpResponse:
    """Everything that happened to this tenant, newest first."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    page = page_of(request, search_events(tenant_ids=request.visible_tenants, tenant_ref=tenant.public_id))
    context = frame_of(tenant, "activity") | {"events": page.rows, "next_cursor": page.next_cursor}
    return render_page_or_fragment(
        request, "dashboard/tenants/activity.html", "dashboard/tenants/_activity.html", context
    )


def frame_of(tenant: Any, tab: str) -> dict[str, Any]:
    """What the head of every page about a tenant shows."""
    own = list(provisioning.resources_of(tenant_ids=[tenant.pk]))
    try:
        tier_version = tier_version_of(tenant.pk, clock.now())
    except NotFound:
        tier_version = None
    return {
        "tenant": tenant,
        "tab": tab,
        "observed": observed_word(own),
        "own_count": len(own),
        "stuck": [each for each in own if each.stuck_reason],
        "tier_version": tier_version,
        "account_trouble": obstacle(tenant),
        "is_leaving": tenant.state in LEAVING,
        "can_suspend": tenant.state == TenantState.ACTIVE,
        "can_resume": tenant.state == TenantState.SUSPENDED,
        "crumbs": [("Tenants", reverse("tenant-list"))],
    }


@requires("invoices.view")
@require_safe
def invoices(request: OperatorRequest, ref: str) -> HttpResponse:
    """This month so far by the same engine as the final invoice, and every invoice and note before."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    found = list_invoices(tenant_ids=request.visible_tenants, tenant=tenant.public_id)
    page = page_of(request, found)
    context = frame_of(tenant, "invoices") | {"invoices": page.rows, "next_cursor": page.next_cursor}
    if tenant.state not in LEAVING:
        context |= _preview(tenant)
    return render_page_or_fragment(
        request, "dashboard/tenants/invoices.html", "dashboard/tenants/_invoices.html", context
    )


def _money(request: OperatorRequest, tenant: Any) -> dict[str, Any]:
    """Tokens of the last days, how full the limits are, and the bill so far, for those who may see them."""
    shown: dict[str, Any] = {}
    if can(request.principal, "usage.view"):
        period = Period(clock.now() - timedelta(days=CHART_DAYS), clock.now())
        shown["usage"] = tokens_by_day([tenant.pk], period, tenant.billing_timezone)
        bars = limit_bars(tenant.pk)
        alerts = running_limit_alerts([tenant.pk])
        shown |= {"limits": bars, "limits_are_unknown": bars is None, "limit_alerts": limit_notices(alerts)}
    if can(request.principal, "invoices.view") and tenant.state not in LEAVING:
        shown |= _preview(tenant)
    return shown


def _preview(tenant: Any) -> dict[str, Any]:
    """The preview, or why there is none: a tenant without prices is something to see, not a failed page."""
    try:
        return {"preview": preview(tenant.pk)}
    except DomainError as error:
        return {"no_preview": error}


def _departure(tenant: Any) -> list[Step]:
    if tenant.state not in LEAVING:
        return []
    return [
        step(row.get_key_display(), "done" if row.done_at else "running", detail=_told(row.detail))
        for row in offboarding_steps(tenant.pk)
    ]


def _told(detail: Any) -> str:
    if isinstance(detail, dict):
        return ", ".join(f"{str(name).replace('_', ' ')} {value}" for name, value in detail.items())
    return str(detail or "")


def _chosen(versions: list[Any], wanted: str) -> Any | None:
    if wanted:
        return next((each for each in versions if str(each.version) == wanted), None)
    return next((each for each in versions if each.is_current), versions[0] if versions else None)


def _pretty(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True)


def _diff(before: Any | None, after: Any) -> list[tuple[str, str]]:
    """Lines of the difference, each with the kind add, cut or same; the stamps that always differ are left out."""
    old = _comparable(before.document) if before else []
    lines = []
    for line in difflib.unified_diff(old, _comparable(after.document), lineterm="", n=3):
        if not line.startswith(("---", "+++", "@@")):
            kind = {"+": "add", "-": "cut"}.get(line[0], "same")
            lines.append((kind, line))
    return lines


def _comparable(document: Any) -> list[str]:
    return _pretty({name: value for name, value in document.items() if name not in ("version", "published_at")}).split(
        "\n"
    )
