"""Operations: what is being done, how far it is, why it does not go on, and trying again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.services.tier_changes import switch_operation
from core import clock
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import ReasonForm
from dashboard.paging import page_of
from dashboard.polling import poll_ms
from dashboard.reading import posted, text_of
from dashboard.rendering import done, render_page_or_fragment, toast, wants_fragment
from dashboard.steps import Step, step
from dashboard.words import choices
from provisioning import queries
from provisioning.operation_log import log_of
from provisioning.services.operation_control import (
    cancel_operation,
    continue_operation,
    hold_operation,
    retry_operation,
)
from provisioning.services.switching import Alternative, alternatives, why_not_switchable
from provisioning.states import TRIED_AGAIN, OperationState
from provisioning.typical import Typical, diagnosis, elapsed_seconds, typical_times


class SwitchForm(ReasonForm):
    """Which of the tier versions that are offered."""

    field_order = ("to", "reason")
    to = forms.ChoiceField(label="Go on with", widget=forms.RadioSelect)

    def offer(self, found: Sequence[Alternative]) -> None:
        """What can be chosen, each with its lines."""
        field = cast(forms.ChoiceField, self.fields["to"])
        field.choices = [(each.version.public_id, f"{each.version}: {made_of(each)}") for each in found]


def made_of(alternative: Alternative) -> str:
    """The lines of an alternative as people compare them."""
    told = []
    for line in alternative.lines:
        pool = "pool, " if line.endpoint_scope == "shared" and line.is_hosted else ""
        what = f"{line.instance_count} x {line.instance_type}" if line.is_hosted else line.model_name
        told.append(f"{line.name} ({pool}{what}, {line.region})")
    return ", then ".join(told)


@dataclass(frozen=True, slots=True)
class Progress:
    """An operation with everything its page and its rows show."""

    operation: Any
    state: str
    steps: list[Step]
    done: int
    problems: list[Any]
    held_up: list[str]
    elapsed: timedelta
    poll: int | None

    @property
    def total(self) -> int:
        """How many steps are known so far."""
        return len(self.steps)


def progress_of(operation: Any, typical: Mapping[str, Typical] | None = None) -> Progress:
    """What to show for an operation whose steps and their resources were prefetched.

    Pages that draw steps in full give the `typical` times by kind.
    """
    rows = list(operation.steps.all())
    problems = [row.resource for row in rows if row.state == "stuck"]
    is_settled = operation.state != OperationState.RUNNING
    state = "stuck" if problems and not is_settled else operation.state
    state = "held" if operation.is_held else state
    return Progress(
        operation=operation,
        state=state,
        steps=[_step(row, (typical or {}).get(row.kind), is_settled=is_settled) for row in rows],
        done=sum(row.state == "done" for row in rows),
        problems=problems,
        held_up=[] if is_settled else _held_up(operation, rows),
        elapsed=(operation.finished_at or clock.now()) - operation.started_at,
        poll=poll_ms(since=operation.started_at, is_settled=is_settled),
    )


@requires("operations.view")
@require_safe
def listing(request: OperatorRequest) -> HttpResponse:
    """Operations, newest first; polls while one of those shown is running."""
    state = text_of(request, "state")
    found = queries.operations(tenant_ids=request.visible_tenants, state=state or None)
    page = page_of(request, found)
    rows = [progress_of(operation) for operation in page.rows]
    delays = [row.poll for row in rows if row.poll]
    context = {
        "rows": rows,
        "next_cursor": page.next_cursor,
        "state": state,
        "states": [choice for choice in choices("operation") if choice[0] in OperationState.values],
        # One page asks for all its rows together, so it does not need the pace of a single operation.
        "poll": max(min(delays), 3000) if delays else None,
    }
    return render_page_or_fragment(
        request, "dashboard/operations/list.html", "dashboard/operations/_table.html", context
    )


@requires("operations.view")
@require_safe
def detail(request: OperatorRequest, ref: str) -> HttpResponse:
    """One operation with its steps; as a fragment, its status alone."""
    return _status(request, ref)


@requires("operations.retry")
@require_POST
def retry(request: OperatorRequest, ref: str) -> HttpResponse:
    """Look again now, from the step that did not go on."""
    operation = queries.operation(ref, tenant_ids=request.visible_tenants)
    retry_operation(operation_id=operation.pk, actor=request.actor)
    message = "Trying again from the step that did not go on."
    if wants_fragment(request):
        return toast(_status(request, ref), message)
    return done(request, message, "operation-detail", ref)


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: OperatorRequest, ref: str) -> HttpResponse:
    """Undo it."""
    operation = queries.operation(ref, tenant_ids=request.visible_tenants)
    why_not = operation.why_not_cancellable
    question = Question(
        heading=f"Cancel: {operation.title}",
        verb="Cancel and undo",
        plan=[why_not] if why_not else _UNDONE[operation.kind],
        back_url=reverse("operation-detail", args=[ref]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: cancel_operation(operation_id=operation.pk, reason=typed["reason"], actor=request.actor),
        message="It is being undone.",
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def switch(request: OperatorRequest, ref: str) -> HttpResponse:
    """Go on with another tier version's lines."""
    operation = queries.operation(ref, tenant_ids=request.visible_tenants)
    offered = alternatives(operation)
    question = Question(
        heading=f"Switch and retry: {operation.title}",
        verb="Switch and retry",
        plan=[
            "AWS is asked first whether it would run there; if not, nothing is changed and it says what is missing.",
            "The tenant is on the tier version that you choose from now on, with its promises and its prices.",
            "What was begun on the old lines is deleted.",
            why_not_switchable(operation)
            or f"{len(offered)} tier versions with other lines would run by what we know.",
        ],
        back_url=reverse("operation-detail", args=[ref]),
    )
    followed: list[str] = []

    def act(typed: dict[str, Any]) -> None:
        [wanted] = [each.version.pk for each in offered if each.version.public_id == typed["to"]]
        switched = switch_operation(
            operation_id=operation.pk, tier_version_id=wanted, reason=typed["reason"], actor=request.actor
        )
        followed.append(switched.public_id)

    form = SwitchForm(posted(request), initial={"to": text_of(request, "to")})
    form.offer(offered)
    return ask_then_do(
        request,
        question,
        form,
        act,
        message="It goes on with other lines.",
        done_url=lambda: reverse("operation-detail", args=[followed[0]]),
    )


@requires("operations.retry")
@require_http_methods(["GET", "HEAD", "POST"])
def hold(request: OperatorRequest, ref: str) -> HttpResponse:
    """Let it wait."""
    operation = queries.operation(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Hold: {operation.title}",
        verb="Put on hold",
        plan=[
            "Nothing more is begun for this tenant until somebody continues it.",
            "What AWS was asked for already ends by itself, and goes on costing money.",
            "A suspension or a departure of the tenant is not held up by it.",
        ],
        back_url=reverse("operation-detail", args=[ref]),
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: hold_operation(operation_id=operation.pk, reason=typed["reason"], actor=request.actor),
        message="It is on hold.",
    )


@requires("operations.retry")
@require_POST
def go_on(request: OperatorRequest, ref: str) -> HttpResponse:
    """End a hold."""
    operation = queries.operation(ref, tenant_ids=request.visible_tenants)
    continue_operation(operation_id=operation.pk, actor=request.actor)
    return done(request, "It goes on.", "operation-detail", ref)


_RELEASED = ["What is live goes on serving; without a live version the adapter is withdrawn."]
_UNDONE = {
    "change_tier": [
        "Traffic stays on the old resources, or returns to them.",
        "What was made new is deleted.",
        "Both tiers stay on record for as long as the tenant was on each, so the invoice is right.",
    ],
    "onboard": ["The onboarding becomes a departure: what was made is deleted, and the slug stays reserved."],
    "suspend": ["The tenant is resumed."],
    "resume": ["The tenant is suspended again."],
    "release": _RELEASED,
    "roll_back": _RELEASED,
    "withdraw": _RELEASED,
}


def _status(request: OperatorRequest, ref: str) -> HttpResponse:
    operation = queries.operation(ref, tenant_ids=request.visible_tenants)
    context = {
        "shown": progress_of(operation, typical_times()),
        "log": log_of(operation),
        "alternatives": [(each, made_of(each)) for each in alternatives(operation)] if _needs_help(operation) else [],
        "tried_again": TRIED_AGAIN,
        "crumbs": [("Operations", reverse("operation-list"))],
    }
    return render_page_or_fragment(
        request, "dashboard/operations/detail.html", "dashboard/operations/_status.html", context
    )


def _needs_help(operation: Any) -> bool:
    return operation.state == OperationState.FAILED or any(row.state == "stuck" for row in operation.steps.all())


def _step(row: Any, typical: Typical | None, *, is_settled: bool) -> Step:
    at, is_open = clock.now(), row.done_at is None and not is_settled
    return step(
        row.title,
        row.state,
        detail=_said(row),
        seconds=elapsed_seconds(row, at) if row.done_at or is_open else None,
        typical_seconds=typical.p50_seconds if typical and is_open else None,
        attempts=row.attempts,
        diagnosis=diagnosis(row, typical, at) if is_open else "",
    )


def _held_up(operation: Any, rows: list[Any]) -> list[str]:
    """What AWS said when it did not answer as it should, each once: of the operation's last look and its resources."""
    told = [operation.detail] if operation.detail else []
    told += [row.resource.detail for row in rows if row.state != "done" and row.resource and row.resource.is_held_up]
    return list(dict.fromkeys(told))


def _said(row: Any) -> str:
    """What AWS last showed of the step's resource, while that still matters."""
    resource = row.resource
    if resource is None:
        return ""
    if row.state != "done" and resource.is_held_up:
        return f"{resource.detail} · {resource.name}"
    if row.state == "running":
        return f"{resource.aws_status or resource.get_phase_display()} · {resource.name}"
    return resource.detail if row.state == "stuck" else resource.name
