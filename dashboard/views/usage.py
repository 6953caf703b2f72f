"""Usage: cut by tenant, meter, line, adapter and time, down to the hour and the question that CloudWatch was asked."""

import csv
import io
from collections.abc import Collection, Iterator
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from dashboard.access import OperatorRequest, requires
from dashboard.freshness import known_gaps
from dashboard.reading import text_of
from dashboard.rendering import render_page_or_fragment
from dashboard.usage_explorer import RANGES, ROWS_SHOWN, asked_for, draw, listed
from dashboard.views.tenant_pages import frame_of
from metering import queries
from metering.meters import METERS
from metering.queries.explorer import Cut, export
from tenants.queries import get_tenant, list_tenants

HOURS = 800
ROWS_EXPORTED = 200_000


@requires("usage.view")
@require_safe
def overview(request: OperatorRequest) -> HttpResponse:
    """Usage of every tenant that the person may see; each in days of its own zone, the chart in UTC."""
    context = _usage(request, request.visible_tenants, "UTC")
    return render_page_or_fragment(request, "dashboard/usage/overview.html", "dashboard/usage/_usage.html", context)


@requires("usage.view")
@require_safe
def tenant_usage(request: OperatorRequest, ref: str) -> HttpResponse:
    """One tenant's usage, in days of its billing zone."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    context = frame_of(tenant, "usage") | _usage(request, [tenant.pk], tenant.billing_timezone, tenant)
    return render_page_or_fragment(request, "dashboard/usage/tenant.html", "dashboard/usage/_usage.html", context)


@requires("usage.view")
@require_safe
def download(request: OperatorRequest) -> StreamingHttpResponse:
    """What the explorer shows, down to the adapter version, as CSV."""
    tenant_ids, timezone = request.visible_tenants, "UTC"
    if ref := text_of(request, "tenant"):
        tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
        tenant_ids, timezone = [tenant.pk], tenant.billing_timezone
    asked = asked_for(request, tenant_ids, timezone)
    response = StreamingHttpResponse(_csv_lines(asked.cut), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="usage-{asked.period.start:%Y-%m-%d}.csv"'
    return response


@requires("usage.view")
@require_safe
def hours(request: OperatorRequest, ref: str) -> HttpResponse:
    """The buckets of one tenant, meter and line, each with where its value came from."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    cut = asked_for(request, [tenant.pk], tenant.billing_timezone).cut
    found = queries.buckets(
        tenant_ids=[tenant.pk],
        start=cut.start,
        end=cut.end,
        meter=cut.meter,
        line=cut.line,
        adapter_version=cut.adapter_version,
        limit=HOURS,
    )
    context = {
        "tenant": tenant,
        "line": cut.line or "",
        "meter_title": METERS[cut.meter].title if cut.meter else "Usage",
        "buckets": found,
        "is_cut": len(found) == HOURS,
        "timezone": tenant.billing_timezone,
        "crumbs": [
            ("Usage", reverse("usage")),
            (tenant.name, reverse("tenant-usage", args=[tenant.slug])),
        ],
    }
    return render_page_or_fragment(request, "dashboard/usage/hours.html", "dashboard/usage/_hours.html", context)


def _usage(
    request: OperatorRequest, tenant_ids: Collection[int] | None, timezone: str, tenant: Any = None
) -> dict[str, Any]:
    asked = asked_for(request, tenant_ids, timezone)
    rows = listed(asked.cut)
    query = request.GET.copy()
    if tenant is not None:
        query["tenant"] = tenant.slug
    return {
        "csv_url": f"{reverse('usage-download')}?{query.urlencode()}",
        "range": asked.range,
        "ranges": RANGES,
        "period": asked.period,
        "first_day": asked.first_day,
        "last_day": asked.last_day,
        "timezone": timezone,
        "cut": asked.cut,
        "meters": METERS.values(),
        "meter_means": METERS[asked.cut.meter].means if asked.cut.meter else "",
        "usage": draw(asked.cut),
        "totals": rows,
        "is_cut": len(rows) == ROWS_SHOWN,
        "gaps": known_gaps(tenant_ids),
    }


def _csv_lines(cut: Cut) -> Iterator[str]:
    """A line per row. Texts come from ids and our own names, and a leading sign of a formula is defused anyway."""
    names: dict[int, tuple[str, str]] = {}
    yield _line(
        ["hour" if cut.by_hour else "day", "tenant", "name", "meter", "line", "adapter_version", "quantity", "unit"]
    )
    for row in export(cut, limit=ROWS_EXPORTED):
        if row.tenant_id not in names:
            [tenant] = list_tenants(tenant_ids={row.tenant_id})
            names[row.tenant_id] = (tenant.public_id, tenant.name)
        at = row.at.isoformat() if row.at else ""
        what = [row.meter, row.line, row.adapter_version, str(row.quantity), METERS[row.meter].unit]
        yield _line([at, *names[row.tenant_id], *what])


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(
        [f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells]
    )
    return out.getvalue()
