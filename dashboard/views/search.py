"""Search over tenants, adapters, invoices, operations and request ids; exact ids go straight to their page."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.access import can
from billing.queries import list_invoices
from core.errors import NotFound
from dashboard.access import OperatorRequest, requires
from dashboard.reading import text_of
from events.queries import search_events
from models_registry.queries import get_adapter, get_version, list_adapters
from provisioning.queries import get_resource, operation
from tenants.queries import get_tenant, list_tenants

MOST = 10


@dataclass(frozen=True, slots=True)
class Hit:
    """Something found: what it is, its name, a second line, and its address."""

    kind: str
    name: str
    note: str
    url: str


@requires("tenants.view")
@require_safe
def search(request: OperatorRequest) -> HttpResponse:
    """What the person may see of what they asked for."""
    text = text_of(request, "q")
    exact = _page_of_id(request, text)
    if exact:
        return redirect(exact)
    hits = _find(request, text) if text else []
    return render(request, "dashboard/search.html", {"search_text": text, "hits": hits})


def _page_of_id(request: OperatorRequest, text: str) -> str | None:
    """The page of an object by its public id, or None when the text is no id that the person may see."""
    seen = request.visible_tenants
    prefix = text.partition("_")[0]
    pages: dict[str, tuple[str, Any]] = {
        "ten": ("tenant-detail", lambda: get_tenant(text, tenant_ids=seen).slug),
        "adp": ("adapter-detail", lambda: get_adapter(text, tenant_ids=seen).public_id),
        "adv": ("version-detail", lambda: get_version(text, tenant_ids=seen).public_id),
        "op": ("operation-detail", lambda: operation(text, tenant_ids=seen).public_id),
    }
    if "_" not in text or prefix not in pages:
        return None
    name, find = pages[prefix]
    try:
        return reverse(name, args=[find()])
    except NotFound:
        return None


def _find(request: OperatorRequest, text: str) -> list[Hit]:
    seen, who = request.visible_tenants, request.principal
    hits = [
        Hit("Tenant", tenant.name, tenant.slug, reverse("tenant-detail", args=[tenant.slug]))
        for tenant in list_tenants(tenant_ids=seen, q=text)[:MOST]
    ]
    if can(who, "adapters.view"):
        hits += [
            Hit("Adapter", adapter.name, adapter.tenant.name, reverse("adapter-detail", args=[adapter.public_id]))
            for adapter in list_adapters(tenant_ids=seen, q=text)[:MOST]
        ]
    if can(who, "invoices.view"):
        hits += [
            Hit("Invoice", str(invoice), invoice.tenant.name, reverse("invoice-detail", args=[invoice.public_id]))
            for invoice in list_invoices(tenant_ids=seen).filter(number__istartswith=text)[:MOST]
        ]
    hits += _resources(request, text)
    if can(who, "audit.view") and search_events(tenant_ids=seen, request_id=text).exists():
        hits.append(Hit("Request", text, "what it changed", f"{reverse('audit')}?request_id={text}"))
    return hits


def _resources(request: OperatorRequest, text: str) -> list[Hit]:
    try:
        resource = get_resource(text, tenant_ids=request.visible_tenants)
    except NotFound:
        return []
    url = f"{reverse('resource-list')}?q={resource.name}"
    return [Hit("AWS resource", resource.name, resource.get_phase_display(), url)]
