"""Every AWS object that we made, shared ones too: where platform operators look when AWS is in the way."""

from django.db.models import Q
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from dashboard.access import OperatorRequest, requires
from dashboard.paging import page_of
from dashboard.reading import text_of
from dashboard.rendering import render_page_or_fragment
from provisioning.queries import resources_of, stuck_resources


@requires("operations.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Resources by name, tenant and whether they are stuck."""
    is_stuck, q = text_of(request, "stuck") == "yes", text_of(request, "q")
    seen = request.visible_tenants
    found = stuck_resources(seen) if is_stuck else resources_of(seen)
    if q:
        found = found.filter(Q(name__icontains=q) | Q(public_id=q) | Q(tenant__slug=q))
    page = page_of(request, found)
    context = {"resources": page.rows, "next_cursor": page.next_cursor, "is_stuck": is_stuck, "q": q}
    return render_page_or_fragment(
        request, "dashboard/operations/resources.html", "dashboard/operations/_resources.html", context
    )
