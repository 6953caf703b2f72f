"""Refusals and failures as pages that keep the navigation, or as a banner inside the page for htmx.

Every one says what happened, why, what to do, its code and the request id; none shows a traceback.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from aws.errors import AwsError
from core.errors import DomainError, FieldError

API_PREFIX = "/api/"


class DomainErrorMiddleware:
    """Turns an expected refusal that left a view into its page or banner, and keeps HTML out of caches."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            # Numbers that a browser kept from an hour ago look exactly like today's.
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ["HX-Request"])
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to a refusal, or None for everything that Django should treat as a bug."""
        if request.path.startswith(API_PREFIX):
            return None
        if isinstance(exception, DomainError):
            return refusal(
                request,
                status=exception.status,
                title=str(exception.title),
                detail=exception.detail,
                hint=exception.hint,
                code=exception.code,
                errors=exception.errors,
            )
        if isinstance(exception, AwsError):
            return refusal(
                request,
                status=503,
                title="AWS did not do what we asked",
                detail=f"{exception.operation}: {exception.message}",
                hint="Nothing was changed here. Try again in a moment; if it stays like this, look at Operations.",
                code=exception.code,
                aws_request_id=exception.request_id,
            )
        return None


def refusal(
    request: HttpRequest,
    *,
    status: int,
    title: str,
    detail: str,
    hint: str = "",
    code: str,
    errors: tuple[FieldError, ...] = (),
    aws_request_id: str = "",
) -> HttpResponse:
    """The page of a refusal; for htmx the banner alone, put on top of the page instead of into the fragment."""
    context: dict[str, Any] = {
        "status": status,
        "title": title,
        "detail": detail,
        "hint": hint,
        "code": code,
        "errors": errors,
        "aws_request_id": aws_request_id,
        "request_id": getattr(request, "request_id", ""),
    }
    if getattr(request, "htmx", False):
        response = render(request, "components/_refusal.html", context, status=status)
        response["HX-Retarget"] = "#notices"
        response["HX-Reswap"] = "innerHTML show:top"
        return response
    return render(request, "refusal.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: the request could not be read."""
    return refusal(
        request,
        status=400,
        title="The request could not be read",
        detail="The browser sent something that this page does not understand.",
        hint="Go back, reload the page and try again.",
        code="bad_request",
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 from Django itself."""
    return refusal(
        request,
        status=403,
        title="Not permitted",
        detail="This page is not open to you.",
        hint="Ask an administrator for the role that it needs.",
        code="forbidden",
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: the form's token is missing or old, which usually means that somebody signed in again in another tab."""
    return refusal(
        request,
        status=403,
        title="This form is too old",
        detail="The security token that came with the form does not fit your session.",
        hint="Reload the page and send the form again. Nothing was changed.",
        code="csrf_failed",
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: no such address, or nothing there that the sender may see."""
    return refusal(
        request,
        status=404,
        title="There is nothing here",
        detail="This address does not exist, or what it showed is not visible to you.",
        hint="Check the address, or search for what you were looking for.",
        code="not_found",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500: a bug. It was logged with the request id, which is what to report."""
    return refusal(
        request,
        status=500,
        title="Something broke on our side",
        detail="The page could not be made. The failure was recorded.",
        hint="Try again. If it happens again, report the request id below.",
        code="internal_error",
    )
