"""The planner's catalogue: what there is, where it is from, how old, and importing better rows."""

from typing import Any

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core import clock
from core.errors import DomainError, NotFound
from dashboard.access import OperatorRequest, requires
from dashboard.planner_forms import TABLE_WORDS, TableForm
from dashboard.reading import posted, text_of
from dashboard.rendering import done, render_page_or_fragment
from provisioning import queries
from provisioning.planner.catalogue import STALE_AFTER, TABLES, as_texts, columns_of, write_table
from provisioning.services.scenarios import import_catalogue, preview_catalogue


class UnknownTable(NotFound):
    """The catalogue has three tables."""

    code = "unknown_table"


@requires("scenarios.view")
@require_safe
def catalogue(request: OperatorRequest) -> HttpResponse:
    """All tables; old rows are marked."""
    known, today = queries.planner_catalogue(), clock.now().date()
    tables = [
        {
            "key": table,
            "title": TABLE_WORDS[table],
            "columns": [name.replace("_", " ") for name in columns_of(table)],
            "rows": [(list(as_texts(row).values()), row.is_stale(today)) for row in known.rows[table].values()],
        }
        for table in TABLES
    ]
    context = {
        "tables": tables,
        "models": known.base_models.values(),
        "stale_days": STALE_AFTER.days,
        "tab": "catalogue",
    }
    return render_page_or_fragment(
        request, "dashboard/planner/catalogue.html", "dashboard/planner/_catalogue.html", context
    )


@requires("scenarios.view")
@require_safe
def download(request: OperatorRequest) -> HttpResponse:
    """The table that the address names, as the CSV that can be imported again."""
    table = text_of(request, "table") or next(iter(TABLES))
    if table not in TABLES:
        raise UnknownTable(f"There is no table {table[:40]}.", hint=f"Tables are: {', '.join(TABLES)}.")
    text = write_table(table, queries.planner_catalogue().rows[table].values())
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{table}.csv"'
    return response


@requires("scenarios.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def take_in(request: OperatorRequest) -> HttpResponse:
    """Import a CSV: first show what it would change, then, when asked again, do it."""
    form = TableForm(posted(request), initial={"table": text_of(request, "table")})
    context: dict[str, Any] = {
        "form": form,
        "tab": "catalogue",
        "crumbs": [("Planner", reverse("planner")), ("Catalogue", reverse("planner-catalogue"))],
    }
    status = 200
    if request.method == "POST" and form.is_valid():
        table, text = form.cleaned_data["table"], form.cleaned_data["text"]
        try:
            if request.POST.get("step") == "import":
                found = import_catalogue(table=table, text=text, actor=request.actor)
                return done(request, f"{len(found)} rows were imported.", "planner-catalogue")
            context["changes"] = preview_catalogue(table=table, text=text)
        except DomainError as error:
            form.refuse(error)
            status = error.status
    elif request.method == "POST":
        status = 422
    return render_page_or_fragment(
        request, "dashboard/planner/import.html", "dashboard/planner/_import.html", context, status=status
    )
