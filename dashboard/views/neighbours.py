"""Noisy neighbours: who uses the lines that tenants share, and who is turned away there."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from dashboard.access import OperatorRequest, requires
from dashboard.paging import page_of
from dashboard.reading import text_of
from dashboard.rendering import render_page_or_fragment
from metering.services.neighbours import shared_lines
from provisioning.limit_queries import list_shared_lines

HOURS = {"6": "6 hours", "24": "24 hours", "168": "7 days"}
LINES = 20


@requires("usage.view")
@require_safe
def overview(request: OperatorRequest) -> HttpResponse:
    """Each shared line with its tenants; the address holds how far back."""
    asked = text_of(request, "hours")
    hours = asked if asked in HOURS else "24"
    page = page_of(request, list_shared_lines(request.visible_tenants), rows=LINES)
    context = {
        "shared": shared_lines(page.rows, hours=int(hours)),
        "next_cursor": page.next_cursor,
        "hours": hours,
        "choices": HOURS,
    }
    return render_page_or_fragment(
        request, "dashboard/usage/neighbours.html", "dashboard/usage/_neighbours.html", context
    )
