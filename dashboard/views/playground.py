"""The playground: a prompt down a tenant's real route, its answer as it comes, or whole where no script runs."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods

from accounts.access import can
from aws.errors import AwsError
from dashboard.access import OperatorRequest, requires
from dashboard.playground import MOST_SECONDS, Answered, Asking, PromptForm, cost_of, hint_for, routes_of
from dashboard.reading import posted
from dashboard.views.tenant_pages import frame_of
from dataplane import DataPlaneError
from tenants.queries import get_tenant

CostOf = Callable[[Answered], dict[str, Any]]
NDJSON = "application/x-ndjson"
PAGE = "dashboard/tenants/playground.html"
FACTS = "dashboard/tenants/_playground_facts.html"


@dataclass(frozen=True)
class Lines:
    """The body of a streamed answer; the server closes it, also when the reader went away before the first line."""

    asking: Asking
    result: dict[str, Any]
    cost_of: CostOf

    def __iter__(self) -> Iterator[str]:
        for piece in self.asking:
            yield json.dumps({"text": piece}, ensure_ascii=False) + "\n"
        answered = self.asking.answered
        yield _end({**self.result, "answered": answered, **self.cost_of(answered)})

    def close(self) -> None:
        """Count what was read."""
        self.asking.close()


@requires("playground.use")
@require_http_methods(["GET", "HEAD", "POST"])
def playground(request: OperatorRequest, ref: str) -> HttpResponseBase:
    """The page; a sent prompt is answered by the page again, or as a stream of lines for the script that asks so."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    routes = routes_of(tenant.pk)
    result: dict[str, Any] = {
        "form": PromptForm(posted(request), routes=routes),
        "most_seconds": int(MOST_SECONDS),
    }
    asking, status = _ask(request, tenant.public_id, result) if request.method == "POST" else (None, 200)
    cost_of = _cost_of(request, tenant.pk)
    if request.method == "POST" and request.headers.get("Accept") == NDJSON:
        return _streamed(asking, result, status, cost_of)
    if asking is not None:
        with closing(asking):
            result |= {"text": "".join(asking), "answered": asking.answered}
            result |= cost_of(asking.answered)
    return render(request, PAGE, frame_of(tenant, "playground") | {"routes": routes} | result, status=status)


def _ask(request: OperatorRequest, tenant: str, result: dict[str, Any]) -> tuple[Asking | None, int]:
    """The answer under way, or none with the status that says why; `result` then holds the failure in words."""
    form = result["form"]
    if not form.is_valid():
        return None, 422
    try:
        return Asking(tenant, **form.cleaned_data), 200
    except (DataPlaneError, AwsError) as error:
        result["failure"] = _failure(request, error)
        return None, 502 if isinstance(error, DataPlaneError) and not error.retryable else 503


def _cost_of(request: OperatorRequest, tenant_id: int) -> CostOf:
    """What the template is told of an answer's cost: nothing to those who may not see prices."""
    if not can(request.principal, "rate_cards.view"):
        return lambda answered: {}
    return lambda answered: {"shows_cost": True, "cost": cost_of(tenant_id, answered)}


def _streamed(asking: Asking | None, result: dict[str, Any], status: int, cost_of: CostOf) -> HttpResponseBase:
    """JSON, one object per line: `text` for every piece, at last `end` with the facts, or why there are none."""
    content = [_end(result)] if asking is None else Lines(asking, result, cost_of)
    response = StreamingHttpResponse(content, content_type=NDJSON, status=status)
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"  # a proxy that gathers the answer first would spoil it
    return response


def _end(result: dict[str, Any]) -> str:
    return json.dumps({"end": render_to_string(FACTS, result)}, ensure_ascii=False) + "\n"


def _failure(request: OperatorRequest, error: DataPlaneError | AwsError) -> dict[str, str]:
    hint = hint_for(error) if isinstance(error, DataPlaneError) else "Try again in a moment."
    detail = error.detail if isinstance(error, DataPlaneError) else f"{error.operation}: {error.message}"
    return {
        "title": "The route did not answer",
        "detail": detail,
        "hint": hint,
        "code": error.code,
        "request_id": getattr(request, "request_id", ""),
    }
