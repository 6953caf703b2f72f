"""What the frame around every page shows: navigation with counts, environment, freshness of usage, permissions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from dashboard.access import permissions_by_noun, principal_for
from dashboard.attention import Counts, counts_for
from dashboard.freshness import fresh


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the navigation; `sections` are the address beginnings that belong to it."""

    label: str
    icon: str
    url: str
    permission: str
    sections: tuple[str, ...]
    count: Callable[[Counts], tuple[int, str, str]]


def _nothing(_counts: Counts) -> tuple[int, str, str]:
    return 0, "", ""


def _tenants(counts: Counts) -> tuple[int, str, str]:
    return counts.failed_tenants, "bad", "need attention"


def _operations(counts: Counts) -> tuple[int, str, str]:
    if counts.stuck_operations:
        return counts.stuck_operations, "bad", "need attention"
    return counts.running_operations, "run", "running"


def _drafts(counts: Counts) -> tuple[int, str, str]:
    return counts.drafts, "idle", "drafts to review"


def _entries() -> list[Entry]:
    return [
        Entry("Home", "house", reverse("home"), "", ("/search/",), _nothing),
        Entry("Tenants", "building-2", reverse("tenant-list"), "tenants.view", ("/tenants/", "/onboard/"), _tenants),
        Entry("Adapters", "layers", reverse("adapter-list"), "adapters.view", ("/adapters/", "/versions/"), _nothing),
        Entry("Operations", "activity", reverse("operation-list"), "operations.view", ("/operations/",), _operations),
        Entry("Usage", "chart-column", reverse("usage"), "usage.view", ("/usage/",), _nothing),
        Entry("Billing", "receipt", reverse("invoice-list"), "invoices.view", ("/billing/",), _drafts),
        Entry("Planner", "gauge", reverse("planner"), "scenarios.view", ("/planner/",), _nothing),
        Entry("Settings", "settings", reverse("settings"), "", ("/settings/",), _nothing),
    ]


def frame(request: HttpRequest) -> dict[str, Any]:
    """The context processor. Nothing is asked of the database until a template draws it."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"environment": settings.ENVIRONMENT}
    principal = principal_for(request)
    may = permissions_by_noun(principal)
    counts = SimpleLazyObject(lambda: counts_for(principal))
    return {
        "environment": settings.ENVIRONMENT,
        "region": settings.AWS_REGION,
        "may": may,
        "navigation": SimpleLazyObject(lambda: _navigation(request, may, counts)),
        "freshness": SimpleLazyObject(fresh) if may["usage"]["view"] else None,
    }


def _navigation(request: HttpRequest, may: dict[str, dict[str, bool]], counts: Any) -> list[dict[str, Any]]:
    shown = []
    for entry in _entries():
        noun, _, verb = entry.permission.partition(".")
        if noun and not may[noun][verb]:
            continue
        if entry.label == "Settings" and not any(
            may[noun][verb] for noun, verb in (("keys", "manage"), ("webhooks", "manage"), ("audit", "view"))
        ):
            continue
        count, tone, counted = entry.count(counts)
        is_current = request.path == entry.url or request.path.startswith(entry.sections)
        shown.append(
            {
                "label": entry.label,
                "icon": entry.icon,
                "url": entry.url,
                "count": count,
                "tone": tone,
                "counted": counted,
                "is_current": is_current,
            }
        )
    return shown
