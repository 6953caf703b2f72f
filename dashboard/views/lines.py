"""Serving lines and what sits on which endpoint: where platform operators look before capacity runs out."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from dashboard.access import OperatorRequest, requires
from dashboard.paging import page_of
from dashboard.rendering import render_page_or_fragment
from provisioning import line_queries
from provisioning.queries import planner_catalogue
from provisioning.services.packing import pack

LINES = 100


@requires("operations.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Every line with its kind, price, capacity and tiers; and a page of endpoints with what is on them."""
    seen = request.visible_tenants
    lines = list(line_queries.serving_lines(seen)[:LINES])
    accounts = line_queries.accounts_of_lines(lines)
    prices = {each.key: each.usd_per_hour for each in planner_catalogue().instances()}
    page = page_of(request, line_queries.endpoints(seen))
    context = {
        "lines": [
            (line, accounts.get(line.pk, []), prices.get(f"{line.region}/{line.instance_type}")) for line in lines
        ],
        "packed": pack(page.rows),
        "next_cursor": page.next_cursor,
    }
    return render_page_or_fragment(
        request, "dashboard/operations/lines.html", "dashboard/operations/_lines.html", context
    )
