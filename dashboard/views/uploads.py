"""What upload.js talks to: an upload in parts, from the browser straight to the bucket. Everything answers JSON."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from aws.errors import AwsError
from core.errors import DomainError
from dashboard.access import OperatorRequest, requires
from dashboard.forms import UploadForm
from dashboard.views.versions import upload_page
from models_registry import queries
from models_registry.services import multipart
from models_registry.services.multipart import AnnouncedFile, WantedPart
from models_registry.services.provenance import UploadInvalid

_HEX = frozenset("0123456789abcdef")


def refuses_in_json(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A refusal becomes `{"code", "detail", "hint"}` with its status, for a script to show."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except DomainError as error:
            said = {"code": error.code, "detail": error.detail, "hint": error.hint}
            return JsonResponse(said, status=error.status)
        except AwsError as error:
            detail = f"AWS did not do what we asked. {error.operation}: {error.message}"
            return JsonResponse({"code": error.code, "detail": detail, "hint": "Try again in a moment."}, status=503)

    return answer


@requires("adapters.upload")
@require_POST
@refuses_in_json
def begin(request: OperatorRequest, ref: str) -> HttpResponse:
    """Begin an upload of the files that `name` and `size` announce, or go on with `resume` when that is still open.

    Words that cannot be used bring the form back, as they do when it is sent without a script.
    """
    adapter = queries.get_adapter(ref, tenant_ids=request.visible_tenants)
    form = UploadForm(request.POST)
    if not form.is_valid():
        return upload_page(request, adapter, form, status=422)
    files = _announced(request)
    known = _resumed(request, adapter.pk, files)
    if known is None:
        made = multipart.begin_upload(adapter_id=adapter.pk, files=files, words=form.cleaned_data, actor=request.actor)
        known = queries.get_upload(made.public_id, tenant_ids=request.visible_tenants), []
    upload, received = known
    said = {
        "id": upload.public_id,
        "part_bytes": upload.part_bytes,
        "received": [{str(part.number): part.sha256 for part in file} for file in received],
        "parts": reverse("upload-parts", args=[upload.public_id]),
        "complete": reverse("upload-complete", args=[upload.public_id]),
        "abort": reverse("upload-abort", args=[upload.public_id]),
    }
    return JsonResponse(said, status=201)


@requires("adapters.upload")
@require_POST
@refuses_in_json
def parts(request: OperatorRequest, ref: str) -> HttpResponse:
    """The addresses of parts that are about to be sent."""
    upload = queries.get_upload(ref, tenant_ids=request.visible_tenants)
    try:
        wanted = [
            WantedPart(_number(part["file"]), _number(part["number"]), _sha256(part["sha256"]))
            for part in _sent(request)["parts"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UploadInvalid("The parts cannot be read.") from error
    presigned = multipart.presign_parts(upload_id=upload.pk, parts=wanted)
    return JsonResponse({"parts": [{"url": part.url, "headers": dict(part.headers)} for part in presigned]})


@requires("adapters.upload")
@require_POST
@refuses_in_json
def complete(request: OperatorRequest, ref: str) -> HttpResponse:
    """All parts are there: where the version is shown."""
    upload = queries.get_upload(ref, tenant_ids=request.visible_tenants)
    try:
        checksums = [[_sha256(sha256) for sha256 in file] for file in _sent(request)["checksums"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UploadInvalid("The checksums cannot be read.") from error
    version = multipart.complete_upload(upload_id=upload.pk, checksums=checksums, actor=request.actor)
    return JsonResponse({"location": reverse("version-detail", args=[version.public_id])})


@requires("adapters.upload")
@require_POST
@refuses_in_json
def abort(request: OperatorRequest, ref: str) -> HttpResponse:
    """Drop an upload."""
    upload = queries.get_upload(ref, tenant_ids=request.visible_tenants)
    multipart.abort_upload(upload_id=upload.pk)
    return HttpResponse(status=204)


def _announced(request: HttpRequest) -> list[AnnouncedFile]:
    names, sizes = request.POST.getlist("name"), request.POST.getlist("size")
    if len(names) != len(sizes) or not all(size.isascii() and size.isdigit() and len(size) < 16 for size in sizes):
        raise UploadInvalid("The files cannot be read from what was sent.")
    return [AnnouncedFile(name, int(size)) for name, size in zip(names, sizes, strict=True)]


def _resumed(request: OperatorRequest, adapter_id: int, files: list[AnnouncedFile]) -> tuple[Any, list[Any]] | None:
    """The upload that the browser remembers, with what has arrived of it; None when it cannot go on."""
    ref = request.POST.get("resume", "")
    open_ones = queries.list_open_uploads(tenant_ids=request.visible_tenants, adapter_id=adapter_id)
    upload = open_ones.filter(public_id=ref.replace("\0", "")).first() if ref else None
    if upload is None or [(file["name"], file["size"]) for file in upload.files] != [
        (file.name, file.size) for file in files
    ]:
        return None
    try:
        return upload, multipart.received_parts(upload_id=upload.pk)
    except multipart.UploadClosed:
        return None


def _sent(request: HttpRequest) -> Any:
    """The body's JSON; ValueError when it is none (RecursionError is what too deep a one raises)."""
    try:
        return json.loads(request.body)
    except RecursionError as error:
        raise ValueError("too deep") from error


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 10_000:
        raise ValueError("not a number of a part")
    return value


def _sha256(value: object) -> str:
    if not isinstance(value, str) or len(value) != 64 or not set(value) <= _HEX:
        raise ValueError("not a sha256")
    return value
