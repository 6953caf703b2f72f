"""Home: what needs a person, what is being done, this month, and what changed."""

from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.access import can
from core import clock
from core.periods import Period, month_containing
from dashboard.access import OperatorRequest, requires
from dashboard.attention import needs_attention
from dashboard.rendering import render_page_or_fragment
from dashboard.stories import with_tenant_names
from dashboard.usage_facts import tokens_by_day
from dashboard.views.operations import progress_of
from events.queries import search_events
from provisioning.queries import operations
from provisioning.states import OperationState
from tenants.queries import list_tenants
from tenants.states import TenantState

RUNNING = 5
RECENT = 8
# Who came in is in the audit log; here it would push out what was changed.
COMINGS = ("login_link.created", "login_link.used")


@requires("tenants.view")
@require_safe
def home(request: OperatorRequest) -> HttpResponse:
    """One screen that answers: is anything broken, what is going on, how is the month."""
    seen = request.visible_tenants
    running = [progress_of(each) for each in operations(seen, state=OperationState.RUNNING)[:RUNNING]]
    delays = [each.poll for each in running if each.poll]
    tenants = list_tenants(tenant_ids=seen)
    month = month_containing(clock.now(), "UTC")
    context: dict[str, Any] = {
        "items": needs_attention(request.principal),
        "running": running,
        "poll": max(min(delays), 3000) if delays else None,
        "active_tenants": tenants.filter(state=TenantState.ACTIVE).count(),
        "moving_tenants": tenants.filter(state__in=(TenantState.SIGNED_UP, TenantState.PROVISIONING)).count(),
        "month": month,
        "usage": tokens_by_day(seen, Period(month.start, clock.now()), "UTC"),
        "events": with_tenant_names(search_events(tenant_ids=seen).exclude(name__in=COMINGS)[:RECENT])
        if can(request.principal, "audit.view")
        else None,
        "has_tenants": tenants.exists(),
    }
    return render_page_or_fragment(request, "dashboard/home/home.html", "dashboard/home/_home.html", context)
