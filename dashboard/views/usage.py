"""Usage: by day, by tenant and meter, down to the hour and the question that CloudWatch was asked."""

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from core import clock
from core.periods import Period, month_containing
from dashboard.access import OperatorRequest, requires
from dashboard.charts import WIDE
from dashboard.freshness import known_gaps
from dashboard.reading import text_of
from dashboard.rendering import render_page_or_fragment
from dashboard.usage_facts import tokens_by_day, totals
from dashboard.views.tenant_pages import frame_of
from metering import queries
from metering.meters import METERS
from tenants.queries import get_tenant

RANGES = [("month", "This month"), ("last-month", "Last month"), ("14-days", "Last 14 days")]
HOURS = 800


@requires("usage.view")
@require_safe
def overview(request: OperatorRequest) -> HttpResponse:
    """Usage of every tenant that the person may see."""
    context = _usage(request, request.visible_tenants, "UTC")
    return render_page_or_fragment(request, "dashboard/usage/overview.html", "dashboard/usage/_usage.html", context)


@requires("usage.view")
@require_safe
def tenant_usage(request: OperatorRequest, ref: str) -> HttpResponse:
    """One tenant's usage, in days of its billing zone."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    context = frame_of(tenant, "usage") | _usage(request, [tenant.pk], tenant.billing_timezone)
    return render_page_or_fragment(request, "dashboard/usage/tenant.html", "dashboard/usage/_usage.html", context)


@requires("usage.view")
@require_safe
def hours(request: OperatorRequest, ref: str) -> HttpResponse:
    """The buckets of one tenant, meter and line, each with where its value came from."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    meter, line = text_of(request, "meter"), text_of(request, "line")
    _range, period = _period(request, tenant.billing_timezone)
    found = queries.buckets(
        tenant_ids=[tenant.pk],
        start=period.start,
        end=period.end,
        meter=meter if meter in METERS else None,
        line=line or None,
        limit=HOURS,
    )
    context = {
        "tenant": tenant,
        "line": line,
        "meter_title": METERS[meter].title if meter in METERS else "Usage",
        "buckets": found,
        "is_cut": len(found) == HOURS,
        "timezone": tenant.billing_timezone,
        "crumbs": [
            ("Usage", reverse("usage")),
            (tenant.name, reverse("tenant-usage", args=[tenant.slug])),
        ],
    }
    return render_page_or_fragment(request, "dashboard/usage/hours.html", "dashboard/usage/_hours.html", context)


def _usage(request: OperatorRequest, tenant_ids: Any, timezone: str) -> dict[str, Any]:
    chosen, period = _period(request, timezone)
    return {
        "range": chosen,
        "ranges": RANGES,
        "period": period,
        "timezone": timezone,
        "usage": tokens_by_day(tenant_ids, period, timezone, width=WIDE),
        "totals": totals(tenant_ids, period, timezone),
        "gaps": known_gaps(tenant_ids),
    }


def _period(request: OperatorRequest, timezone: str) -> tuple[str, Period]:
    """The period that the address asks for; this month when it asks for none that is known."""
    chosen = text_of(request, "range")
    now: datetime = clock.now()
    month = month_containing(now, timezone)
    match chosen:
        case "last-month":
            return chosen, month_containing(month.start - timedelta(seconds=1), timezone)
        case "14-days":
            return chosen, Period(now - timedelta(days=14), now)
        case _:
            return "month", Period(month.start, now)
