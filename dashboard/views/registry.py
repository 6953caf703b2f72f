"""Versions side by side, what served when, and who says that a version may serve and until when."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core.errors import NotFound
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import (
    ApprovalPolicyForm,
    HistoryForm,
    ImportForm,
    OptionalReasonForm,
    ReasonForm,
    RetirementForm,
)
from dashboard.reading import posted, text_of
from dashboard.rendering import render_page_or_fragment
from models_registry import queries
from models_registry.history_files import MEDIA_TYPES, pieces_of
from models_registry.services import adapters, retirement
from models_registry.services.approvals import decide_approval
from models_registry.services.comparing import compare_versions
from models_registry.services.imports import import_version
from models_registry.states import VersionState
from tenants.queries import get_tenant

LISTED = 50
SHOWN_STRETCHES = 200


@requires("adapters.view")
@require_safe
def compare(request: OperatorRequest, ref: str) -> HttpResponse:
    """One version against another of its adapter, by default the one that serves."""
    after = queries.get_version(ref, tenant_ids=request.visible_tenants)
    adapter = after.adapter
    wanted = text_of(request, "before")
    before = _sibling(after, wanted) if wanted else queries.compared_by_default(after)
    siblings = queries.list_versions(tenant_ids=request.visible_tenants, adapter_id=adapter.pk)
    context = {
        "adapter": adapter,
        "found": compare_versions(before=before, after=after),
        "others": siblings.filter(number__isnull=False).exclude(pk=after.pk)[:LISTED],
        "crumbs": _crumbs(adapter),
    }
    return render(request, "dashboard/adapters/compare.html", context)


@requires("adapters.view")
@require_safe
def adapter_history(request: OperatorRequest, ref: str) -> HttpResponseBase:
    """What an adapter served when, gaps included; and what it served at one instant."""
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    return _history(request, [adapter], adapter.name, f"{adapter.tenant.slug}-{adapter.name}", _crumbs(adapter))


@requires("adapters.view")
@require_safe
def tenant_history(request: OperatorRequest, ref: str) -> HttpResponseBase:
    """What every adapter of a tenant served when."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    crumbs = [("Tenants", reverse("tenant-list")), (tenant.name, reverse("tenant-detail", args=[tenant.slug]))]
    return _history(request, list(queries.adapters_of(tenant.pk)), tenant.name, tenant.slug, crumbs)


@requires("adapters.approve")
@require_http_methods(["GET", "HEAD", "POST"])
def approve(request: OperatorRequest, ref: str) -> HttpResponse:
    """Say that a version may serve."""
    return _decide(request, ref, is_approved=True)


@requires("adapters.approve")
@require_http_methods(["GET", "HEAD", "POST"])
def reject(request: OperatorRequest, ref: str) -> HttpResponse:
    """Say that a version may not be released."""
    return _decide(request, ref, is_approved=False)


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def restore(request: OperatorRequest, ref: str) -> HttpResponse:
    """Take an archived version back into use."""
    version = queries.get_version(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Restore {version.adapter.name} {version}",
        verb=f"Restore {version}",
        plan=["It can be released again. Nothing serves because of it."],
        back_url=reverse("version-detail", args=[version.public_id]),
    )
    return ask_then_do(
        request,
        question,
        OptionalReasonForm(posted(request)),
        lambda typed: adapters.restore_version(version_id=version.pk, reason=typed["reason"], actor=request.actor),
        message=f"{version} can be released again.",
    )


@requires("adapters.release")
@require_http_methods(["GET", "HEAD", "POST"])
def retire(request: OperatorRequest, ref: str) -> HttpResponse:
    """Plan from when a version should not serve any more, or take the plan back by leaving the day empty."""
    version = queries.get_version(ref, tenant_ids=request.visible_tenants)
    ready = queries.list_versions(
        tenant_ids=request.visible_tenants, adapter_id=version.adapter_id, state=VersionState.READY
    )
    others = [(str(each.pk), str(each)) for each in ready.exclude(pk=version.pk)[:LISTED]]
    planned = {
        "retires_at": version.retires_at,
        "replacement": str(version.replacement_id or ""),
        "reason": version.retirement_reason,
    }

    def act(typed: dict[str, Any]) -> None:
        if typed["retires_at"] is None:
            retirement.cancel_retirement(version_id=version.pk, reason=typed["reason"], actor=request.actor)
            return
        retirement.schedule_retirement(
            version_id=version.pk,
            retires_at=typed["retires_at"],
            replacement_id=int(typed["replacement"]) if typed["replacement"] else None,
            reason=typed["reason"],
            actor=request.actor,
        )

    question = Question(
        heading=f"Retire {version.adapter.name} {version}",
        verb="Save",
        plan=[
            "Two weeks ahead and on the day people are told, here and by webhook, while it serves.",
            "From then on new releases of it are refused. Its traffic is never cut off: release something else.",
        ],
        back_url=reverse("version-detail", args=[version.public_id]),
    )
    form = RetirementForm(posted(request), initial=planned, others=others)
    return ask_then_do(request, question, form, act, message="The retirement is noted.")


@requires("adapters.upload")
@require_http_methods(["GET", "HEAD", "POST"])
def import_from_s3(request: OperatorRequest, ref: str) -> HttpResponse:
    """Take in a version that was trained elsewhere."""
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    made: list[Any] = []

    def act(typed: dict[str, Any]) -> None:
        words = {name: value for name, value in typed.items() if name != "uri"}
        made.append(
            import_version(
                adapter_id=adapter.pk,
                uri=typed["uri"],
                words=words,
                is_of_tenant=request.visible_tenants is not None,
                actor=request.actor,
            )
        )

    question = Question(
        heading=f"Import a version of {adapter.name} from S3",
        verb="Import",
        plan=["It is copied in the background and passes the same checks as an upload. Nothing serves because of it."],
        back_url=reverse("adapter-detail", args=[adapter.public_id]),
    )
    return ask_then_do(
        request,
        question,
        ImportForm(posted(request)),
        act,
        message="The import is on its way.",
        done_url=lambda: reverse("version-detail", args=[made[0].public_id]),
    )


@requires("adapters.approve")
@require_http_methods(["GET", "HEAD", "POST"])
def approval_policy(request: OperatorRequest, ref: str) -> HttpResponse:
    """Say what an approval given in SageMaker's registry is worth."""
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Approvals of {adapter.name} in SageMaker",
        verb="Save",
        plan=[
            "What is decided here always counts and is shown in SageMaker's model registry.",
            "Who may change packages there can approve for this adapter unless it is undone.",
        ],
        back_url=reverse("adapter-detail", args=[adapter.public_id]),
    )
    return ask_then_do(
        request,
        question,
        ApprovalPolicyForm(posted(request), initial={"outside_approvals": adapter.outside_approvals}),
        lambda typed: adapters.set_outside_approvals(
            adapter_id=adapter.pk, policy=typed["outside_approvals"], reason=typed["reason"], actor=request.actor
        ),
        message="The policy is noted.",
    )


def _decide(request: OperatorRequest, ref: str, *, is_approved: bool) -> HttpResponse:
    version = queries.get_version(ref, tenant_ids=request.visible_tenants)
    verb = f"Approve {version}" if is_approved else f"Reject {version}"
    plan = (
        ["It may be released then. Nothing serves because of it."]
        if is_approved
        else ["It cannot be released or rolled back to. If it serves now it goes on: roll back or withdraw to stop it."]
    )
    question = Question(
        heading=f"{verb.partition(' ')[0]} {version.adapter.name} {version}",
        verb=verb,
        plan=[*plan, "SageMaker's model registry will say so too."],
        back_url=reverse("version-detail", args=[version.public_id]),
        is_risk=not is_approved,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: decide_approval(
            version_id=version.pk, is_approved=is_approved, reason=typed["reason"], actor=request.actor
        ),
        message=f"{version} is approved." if is_approved else f"{version} may not be released.",
    )


def _history(
    request: OperatorRequest, of: list[Any], title: str, name: str, crumbs: list[tuple[str, str]]
) -> HttpResponseBase:
    form = HistoryForm(request.GET or None)
    typed = form.cleaned_data if form.is_bound and form.is_valid() else {}
    start, end, at = typed.get("start"), typed.get("end"), typed.get("at")
    file_format = text_of(request, "format")
    stretches = queries.served_stretches(of, start=start, end=end)
    if file_format in MEDIA_TYPES:
        queries.refuse_too_much([adapter.pk for adapter in of], start=start, end=end)
        response = StreamingHttpResponse(pieces_of(stretches, file_format), content_type=MEDIA_TYPES[file_format])
        response["Content-Disposition"] = f'attachment; filename="{name}-served.{file_format}"'
        return response
    shown = [stretch for stretch, _ in zip(stretches, range(SHOWN_STRETCHES + 1), strict=False)]
    context = {
        "title": title,
        "form": form,
        "stretches": shown[:SHOWN_STRETCHES],
        "is_cut": len(shown) > SHOWN_STRETCHES,
        "then": queries.served_then(of, at) if at else [],
        "at": at,
        "crumbs": crumbs,
    }
    return render_page_or_fragment(
        request, "dashboard/adapters/history.html", "dashboard/adapters/_history.html", context
    )


def _sibling(version: Any, ref: str) -> Any:
    other = queries.get_version(ref, tenant_ids=[version.tenant_id])
    if other.adapter_id != version.adapter_id:
        raise NotFound(f"{version.adapter.name} has no version {ref}.")
    return other


def _crumbs(adapter: Any) -> list[tuple[str, str]]:
    return [
        ("Adapters", reverse("adapter-list")),
        (f"{adapter.tenant.name} › {adapter.name}", reverse("adapter-detail", args=[adapter.public_id])),
    ]
