"""The planner: inputs, verdict, cost chart, capacity; scenarios kept, shared by address, compared and exported."""

from collections.abc import Collection
from typing import Any

from django.http import HttpResponse, JsonResponse, QueryDict
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from core import clock
from core.errors import DomainError, NotFound
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.cost_chart import cost_chart
from dashboard.forms import PlainForm
from dashboard.paging import page_of
from dashboard.planner_facts import assumptions, capacity_of, compared_rows, effects_of, option_rows
from dashboard.planner_forms import NameForm
from dashboard.planner_inputs import (
    LOAD,
    MEMORY,
    Start,
    as_query,
    choices,
    fields,
    hosted_rows,
    preset_inputs,
    read_inputs,
    start_from_usage,
    text_in,
)
from dashboard.reading import posted, text_of
from dashboard.rendering import render_page_or_fragment
from provisioning import queries
from provisioning.planner.answer import describe, options_csv
from provisioning.planner.catalogue import Catalogue
from provisioning.planner.evaluate import Evaluation, evaluate
from provisioning.planner.presets import PUBLISHED_EXAMPLE, load_presets
from provisioning.planner.scenario import read_scenario
from provisioning.planner.verdict import sentences
from provisioning.services.scenarios import delete_scenario, save_scenario
from tenants.queries import get_tenant, list_tenants, list_tiers
from tenants.states import TenantState

MOST_TENANTS = 200
FILES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


class UnknownFormat(NotFound):
    """Scenarios are exported as JSON and CSV."""

    code = "unknown_format"


@requires("scenarios.view")
@require_safe
def planner(request: OperatorRequest) -> HttpResponse:
    """The page; its right half is answered alone while somebody moves a slider."""
    catalogue = queries.planner_catalogue()
    context: dict[str, Any] = {"tab": "planner"}
    data: dict[str, Any] = {}
    result: Evaluation | None = None
    status = 200
    try:
        start = _start(request.GET, request.visible_tenants, catalogue)
        data, context["told"] = start.inputs, start.told
        result = _evaluate(data, catalogue)
        context |= _result_context(request, result, catalogue)
    except DomainError as error:
        context["refusal"] = error
        status = error.status
        data = data or preset_inputs(PUBLISHED_EXAMPLE)
    scenario = result.scenario if result else None
    rows, extra = hosted_rows(data)
    region = str(data.get("region") or "us-west-2")
    context |= choices(catalogue, region) | {
        "load_fields": fields(LOAD, data, scenario),
        "memory_fields": fields(MEMORY, data, scenario),
        "hosted_rows": rows,
        "hosted_extra": extra,
        "region": region,
        "name": data.get("name", ""),
        "about_tenant": text_of(request, "tenant"),
        "api_prices": catalogue.token_prices(clock.now().date()),
        "chosen_apis": data.get("apis") or [],
        "presets": load_presets().values(),
        "tenants": list_tenants(tenant_ids=request.visible_tenants, state=TenantState.ACTIVE)[:MOST_TENANTS],
        "tiers": list_tiers(),
    }
    return render_page_or_fragment(
        request, "dashboard/planner/planner.html", "dashboard/planner/_result.html", context, status=status
    )


@requires("scenarios.view")
@require_safe
def export(request: OperatorRequest) -> HttpResponse:
    """The answer to the scenario in the address, as a file of the `format` that it names."""
    format = text_of(request, "format") or "json"
    if format not in FILES:
        raise UnknownFormat(f"There is no export as {format[:20]!r}.", hint="Take json or csv.")
    catalogue = queries.planner_catalogue()
    shown = describe(_evaluate(_start(request.GET, request.visible_tenants, catalogue).inputs, catalogue), catalogue)
    if format == "json":
        response: HttpResponse = JsonResponse(shown, json_dumps_params={"indent": 2, "ensure_ascii": False})
    else:
        response = HttpResponse(options_csv(shown), content_type=FILES[format])
    response["Content-Disposition"] = f'attachment; filename="scenario.{format}"'
    return response


@requires("scenarios.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def save(request: OperatorRequest) -> HttpResponse:
    """Keep the scenario in the address under a name; the form carries the address to the answer."""
    catalogue = queries.planner_catalogue()
    address = QueryDict(request.POST.get("address", "") if request.method == "POST" else request.GET.urlencode())
    inputs = _start(address, request.visible_tenants, catalogue).inputs
    scenario = read_scenario(inputs, catalogue)
    ref = text_in(address, "tenant")
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants) if ref else None
    question = Question(
        heading="Save this scenario",
        verb="Save scenario",
        plan=[
            "Its inputs are kept as they are now; the answer is worked out again whenever it is opened.",
            f"It is about {tenant.name}." if tenant else "Everybody who may see the planner can open it.",
        ],
        back_url=f"{reverse('planner')}?{address.urlencode()}",
    )
    return ask_then_do(
        request,
        question,
        NameForm(posted(request), initial={"name": scenario.name, "address": address.urlencode()}),
        lambda typed: save_scenario(
            tenant_id=tenant.pk if tenant else None, name=typed["name"], inputs=inputs, actor=request.actor
        ),
        message="The scenario is saved.",
        done_url=lambda: reverse("scenario-list"),
    )


@requires("scenarios.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Kept scenarios; two of them can be compared."""
    page = page_of(request, queries.list_scenarios(tenant_ids=request.visible_tenants))
    context = {"scenarios": page.rows, "next_cursor": page.next_cursor, "tab": "scenarios"}
    return render_page_or_fragment(
        request, "dashboard/planner/scenarios.html", "dashboard/planner/_scenarios.html", context
    )


@requires("scenarios.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: OperatorRequest, ref: str) -> HttpResponse:
    """Throw a kept scenario away."""
    kept = queries.get_scenario(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Delete {kept.name}",
        verb="Delete scenario",
        plan=["It leaves the list. The audit log keeps its inputs."],
        back_url=reverse("scenario-list"),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        PlainForm(posted(request)),
        lambda _typed: delete_scenario(scenario_id=kept.pk, actor=request.actor),
        message=f"{kept.name} is deleted.",
    )


@requires("scenarios.view")
@require_safe
def compare(request: OperatorRequest) -> HttpResponse:
    """Two kept scenarios side by side at today's prices."""
    catalogue = queries.planner_catalogue()
    refs = request.GET.getlist("scenario")[:2]
    kept = [queries.get_scenario(ref, tenant_ids=request.visible_tenants) for ref in refs]
    results = [_evaluate(each.inputs, catalogue) for each in kept]
    context = {
        "sides": [
            {"kept": each, **_result_context(request, result, catalogue)}
            for each, result in zip(kept, results, strict=True)
        ],
        "rows": compared_rows([(each.name, result) for each, result in zip(kept, results, strict=True)])
        if kept
        else [],
        "tab": "scenarios",
        "crumbs": [("Planner", reverse("planner")), ("Scenarios", reverse("scenario-list"))],
    }
    return render_page_or_fragment(
        request, "dashboard/planner/compare.html", "dashboard/planner/_compare.html", context
    )


def _start(query: QueryDict, seen: Collection[int] | None, catalogue: Catalogue) -> Start:
    """The inputs that an address names: its own, a kept scenario's, a tenant's or tier's usage, or a preset's."""
    if query.get("requests_per_year"):
        return Start(read_inputs(query))
    if ref := text_in(query, "saved"):
        return Start(dict(queries.get_scenario(ref, tenant_ids=seen).inputs))
    if ref := text_in(query, "tenant"):
        tenant = get_tenant(ref, tenant_ids=seen)
        return start_from_usage([tenant], now=clock.now(), name=tenant.name, catalogue=catalogue)
    if key := text_in(query, "tier"):
        tenants = list(list_tenants(tenant_ids=seen, tier=key, state=TenantState.ACTIVE)[:MOST_TENANTS])
        if not tenants:
            raise NotFound(f"No active tenant is on the tier {key}.")
        return start_from_usage(tenants, now=clock.now(), name=f"Tier {key}", catalogue=catalogue)
    return Start(preset_inputs(text_in(query, "preset")))


def _evaluate(data: dict[str, Any], catalogue: Catalogue) -> Evaluation:
    return evaluate(read_scenario(data, catalogue), catalogue, clock.now().date())


def _result_context(request: OperatorRequest, result: Evaluation, catalogue: Catalogue) -> dict[str, Any]:
    query = as_query(result.scenario)
    if tenant := text_of(request, "tenant"):
        query += f"&{urlencode({'tenant': tenant})}"
    shown = describe(result, catalogue)
    return {
        "scenario": result.scenario,
        "verdict": sentences(result),
        "verdict_ja": shown["verdict_ja"],
        "refusals": shown["refusals"],
        "options": option_rows(result),
        "chart": cost_chart(result),
        "capacity": capacity_of(result),
        "adapters": shown["adapters"],
        "price_floors": shown["price_floors"],
        "effects": effects_of(shown["sensitivity"]),
        "assumptions": assumptions(result),
        "query": query,
        "share_url": request.build_absolute_uri(f"{reverse('planner')}?{query}"),
    }
