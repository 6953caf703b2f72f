"""Exports: what was asked for, how far it is, and the file."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from billing import queries
from billing.exports.writers import MEDIA_TYPES
from billing.queries.exports import hidden_from
from billing.services import exports
from billing.states import ExportState
from core import clock
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.export_forms import DATASET_NAMES, ExportForm, months_until
from dashboard.paging import page_of
from dashboard.polling import poll_ms
from dashboard.reading import posted
from dashboard.rendering import render_page_or_fragment
from tenants.queries import get_tenant

MONTHS = 24
OPEN = (ExportState.QUEUED, ExportState.RUNNING)


@requires("exports.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Exports, newest first; the page looks again while one of them is being made."""
    found = queries.list_exports(tenant_ids=request.visible_tenants, without=hidden_from(request.principal))
    page = page_of(request, found)
    waiting = [row.created_at for row in page.rows if row.state in OPEN]
    context = {
        "rows": [{"export": row, "what": DATASET_NAMES[row.dataset]} for row in page.rows],
        "next_cursor": page.next_cursor,
        "poll": poll_ms(since=max(waiting, default=clock.now()), is_settled=not waiting),
    }
    return render_page_or_fragment(request, "dashboard/exports/list.html", "dashboard/exports/_table.html", context)


@requires("exports.create")
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: OperatorRequest) -> HttpResponse:
    """Ask for a file."""
    months = months_until(clock.now(), MONTHS)
    before = months[1][0]
    form = ExportForm(
        posted(request),
        initial={"dataset": "invoice-lines", "first_month": before, "last_month": before},
        months=months,
        may_audit=not hidden_from(request.principal),
    )

    def act(typed: dict[str, Any]) -> None:
        start, end = form.period()
        ref, seen = typed["tenant"], request.visible_tenants
        exports.request_export(
            dataset=typed["dataset"],
            format=typed["format"],
            tenant_id=get_tenant(ref, tenant_ids=seen).pk if ref else exports.only_tenant(seen),
            start=start,
            end=end,
            actor=request.actor,
        )

    question = Question(
        heading="Export",
        verb="Make the file",
        plan=[
            "The file is made in the background; this page shows how far it is.",
            "Its rows are counted and added up, and its SHA-256 is kept.",
            f"It can be downloaded for {exports.KEPT.days} days, then it is erased.",
        ],
        back_url=reverse("export-list"),
    )
    return ask_then_do(request, question, form, act, message="The export is on its way.")


@requires("exports.view")
@require_safe
def download(request: OperatorRequest, ref: str) -> HttpResponseBase:
    """The file."""
    export = queries.get_export(ref, tenant_ids=request.visible_tenants, without=hidden_from(request.principal))
    exports.refuse_unready(export)
    response = StreamingHttpResponse(exports.pieces(export), content_type=MEDIA_TYPES[export.format])
    response["Content-Length"] = str(export.size_bytes)
    response["Content-Disposition"] = f'attachment; filename="{export.filename}"'
    response["Cache-Control"] = "no-store"
    return response
