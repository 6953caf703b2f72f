"""Legal holds, and the proof that a departed tenant's things are gone."""

import json

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core.errors import NotFound
from dashboard.access import OperatorRequest, requires
from dashboard.confirming import Question, ask_then_do
from dashboard.forms import ReasonForm
from dashboard.reading import posted
from provisioning import outcomes
from tenants.queries import get_tenant
from tenants.services.legal_holds import place_legal_hold, release_legal_hold


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def place_hold(request: OperatorRequest, ref: str) -> HttpResponse:
    """Let nothing of a tenant be erased."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Place a legal hold on {tenant.name}",
        verb="Place the legal hold",
        plan=[
            "Nothing that the tenant has stored is erased until somebody releases the hold, whatever retention says.",
            "It goes on being served; a departure waits with erasing alone.",
        ],
        back_url=reverse("tenant-detail", args=[tenant.slug]),
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: place_legal_hold(tenant_id=tenant.pk, reason=typed["reason"], actor=request.actor),
        message=f"A legal hold is in force for {tenant.name}.",
    )


@requires("tenants.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def release_hold(request: OperatorRequest, ref: str) -> HttpResponse:
    """End a hold."""
    tenant = get_tenant(ref, tenant_ids=request.visible_tenants)
    question = Question(
        heading=f"Release the legal hold on {tenant.name}",
        verb="Release the legal hold",
        plan=["What waited for it alone is erased soon: artifacts of a departed tenant, when their retention is over."],
        back_url=reverse("tenant-detail", args=[tenant.slug]),
        is_risk=True,
    )
    return ask_then_do(
        request,
        question,
        ReasonForm(posted(request)),
        lambda typed: release_legal_hold(tenant_id=tenant.pk, reason=typed["reason"], actor=request.actor),
        message="The legal hold is released.",
    )


@requires("tenants.view")
@require_safe
def certificate(request: OperatorRequest, ref: str, file: str) -> HttpResponse:
    """A deletion certificate as a file: `pdf`, or `json` with what the PDF prints."""
    found = outcomes.deletion_certificate(ref, tenant_ids=request.visible_tenants)
    if file == "pdf":
        response = HttpResponse(bytes(found.pdf), content_type="application/pdf")
    elif file == "json":
        text = json.dumps(found.content, indent=2, ensure_ascii=False, sort_keys=True)
        response = HttpResponse(text, content_type="application/json")
    else:
        raise NotFound(f"There is no certificate as {file}.")
    response["Content-Disposition"] = f'attachment; filename="{found.file_name}.{file}"'
    return response
