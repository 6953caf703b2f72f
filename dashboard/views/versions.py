"""Uploading a version, and what the gate had to say about it."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from core import clock
from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.forms import UploadForm
from dashboard.polling import poll_ms
from dashboard.reading import posted
from dashboard.rendering import done, render_page_or_fragment
from models_registry import queries
from models_registry.services.multipart import parts_origin
from models_registry.services.uploads import UploadedPart, receive_upload
from models_registry.states import Approval, VersionState
from tenants.queries import tier_version_of
from tenants.states import TenantState


@requires("adapters.upload")
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: OperatorRequest, ref: str) -> HttpResponse:
    """Take in one archive or an adapter's files; the checks go on in the background and show on the version's page."""
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    form = UploadForm(posted(request))
    status = 200
    if request.method == "POST":
        status = 422
        sent = request.FILES.getlist("files")
        if form.is_valid():
            try:
                version = receive_upload(
                    adapter_id=adapter.pk,
                    files=(UploadedPart(file.name or "file", file) for file in sent),
                    **form.cleaned_data,
                    actor=request.actor,
                )
            except DomainError as error:
                form.refuse(error)
                status = error.status
            else:
                return done(
                    request, "The upload has arrived and is being checked.", "version-detail", version.public_id
                )
    return upload_page(request, adapter, form, status=status)


def upload_page(request: OperatorRequest, adapter: Any, form: UploadForm, *, status: int) -> HttpResponse:
    """The form. Where the bucket can be reached, its script may send parts there, and only there."""
    origin = parts_origin()
    context = {
        "adapter": adapter,
        "form": form,
        "parts_go_to_bucket": bool(origin),
        "crumbs": [
            ("Adapters", reverse("adapter-list")),
            (f"{adapter.tenant.name} › {adapter.name}", reverse("adapter-detail", args=[adapter.public_id])),
        ],
    }
    response = render(request, "dashboard/adapters/upload.html", context, status=status)
    if origin:
        response._csp_update = {"connect-src": ["'self'", origin]}  # type: ignore[attr-defined]  # django-csp's way
    return response


@requires("adapters.view")
@require_safe
def detail(request: OperatorRequest, ref: str) -> HttpResponse:
    """One version: what was read of it, and every finding with what to do; polls until the gate has decided."""
    version = queries.get_version(ref, tenant_ids=request.visible_tenants)
    adapter = queries.get_adapter(version.adapter.public_id, tenant_ids=request.visible_tenants)
    errors = [finding for finding in version.findings if finding["severity"] == "error"]
    is_decided = version.state not in (VersionState.IMPORTING, VersionState.VALIDATING)
    context = {
        "version": version,
        "adapter": adapter,
        "errors": errors,
        "warnings": [finding for finding in version.findings if finding["severity"] != "error"],
        "is_live": adapter.live_version_id == version.pk,
        "can_approve": _can_approve(version),
        "poll": poll_ms(since=version.created_at, is_settled=is_decided),
        "crumbs": [
            ("Adapters", reverse("adapter-list")),
            (f"{adapter.tenant.name} › {adapter.name}", reverse("adapter-detail", args=[adapter.public_id])),
        ],
    }
    return render_page_or_fragment(
        request, "dashboard/adapters/version.html", "dashboard/adapters/_version.html", context
    )


def _can_approve(version: Any) -> bool:
    """Whether an approval is missing: one that was not needed then may be now, on another tier."""
    has_left = version.tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED)
    if has_left or version.state != VersionState.READY or version.approval == Approval.APPROVED:
        return False
    is_needed = tier_version_of(version.tenant_id, clock.now()).approval != "none"
    return is_needed or version.approval != Approval.NOT_REQUIRED
