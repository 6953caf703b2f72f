"""Every refusal is problem+json (RFC 9457) with a stable code, whoever raised it.

{"type": "https://…/problems/slug_taken", "title": "Slug taken", "status": 409, "detail": "…", "hint": "…",
 "instance": "/api/v1/…", "code": "slug_taken", "request_id": "…", "retryable": false,
 "errors": [{"pointer", "code", "detail"}]}
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from api.authentication import request_id_of
from aws.errors import AwsError, Retryable
from core.errors import DomainError, FieldError, Forbidden, Invalid, NotFound

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class MalformedBody(DomainError):
    """The body cannot be read: it is not JSON, is cut short, or holds characters that no text can."""

    code = "malformed_body"
    status = 400
    title = "The body cannot be read"


class BodyInvalid(Invalid):
    """The body can be read, but some fields are missing, unknown or wrong; `errors` names each."""

    code = "invalid_body"
    title = "The body is not valid"


class MethodNotAllowed(DomainError):
    """The address exists and does not take this method; the Allow header lists those it takes."""

    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"


class UnsupportedMediaType(DomainError):
    """The body's Content-Type is none that this operation reads."""

    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"


class BodyTooLarge(DomainError):
    """The body is longer than this operation reads."""

    code = "body_too_large"
    status = 413
    title = "Body too large"


class TemporarilyUnavailable(DomainError):
    """The database did not answer in time. Nothing was changed; the same request may be sent again."""

    code = "temporarily_unavailable"
    status = 503
    title = "Temporarily unavailable"
    retryable = True
    retry_after_seconds = 5


class AwsUnavailable(DomainError):
    """AWS is slow, full or away. Nothing was changed; the same request may be sent again."""

    code = "aws_unavailable"
    status = 503
    title = "AWS does not answer"
    retryable = True
    retry_after_seconds = 15


class AwsRefused(DomainError):
    """AWS refused what the control plane asked of it; an operator has to look."""

    code = "aws_refused"
    status = 502
    title = "AWS refused"


class InternalError(DomainError):
    """A bug of ours. It was written to the log under the request id."""

    code = "internal_error"
    status = 500
    title = "Internal error"


def exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's hook: whatever a view raised becomes a problem. Bugs are logged with their traceback."""
    refusal = as_refusal(error)
    request: Request = context["request"]
    if isinstance(refusal, InternalError):
        log.error("%s %s failed", request.method, request.path, exc_info=error)
    response = Response(problem(refusal, request), status=refusal.status, content_type=MEDIA_TYPE)
    if refusal.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="control plane"'
    retry_after = getattr(refusal, "retry_after_seconds", None)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    response["Cache-Control"] = "no-store"
    return response


def problem(refusal: DomainError, request: Request) -> dict[str, Any]:
    """The members of the problem document."""
    return {
        "type": problem_url(refusal.code),
        "title": str(refusal.title),
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": request.path,
        "code": refusal.code,
        "request_id": request_id_of(request),
        "retryable": refusal.retryable,
        "hint": refusal.hint,
        "errors": [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in refusal.errors],
    }


def problem_url(code: str) -> str:
    """Where a code is explained."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/problems/{code}"


def as_refusal(error: Exception) -> DomainError:
    """The DomainError that stands for any exception; InternalError for what nobody expected."""
    match error:
        case DomainError():
            return error
        case Http404() | exceptions.NotFound():
            return NotFound("There is nothing at this address.", hint="See /api/v1/openapi.json for all addresses.")
        case PermissionDenied() | exceptions.PermissionDenied():
            return Forbidden("This is not permitted.")
        case exceptions.ValidationError():
            return BodyInvalid("Some fields are wrong.", errors=field_errors(error.get_full_details()))
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed(str(error.detail), hint="The Allow header lists the methods of this address.")
        case exceptions.UnsupportedMediaType():
            return UnsupportedMediaType(str(error.detail), hint="Send application/json, unless the operation uploads.")
        case RequestDataTooBig():
            return BodyTooLarge("The body is longer than this operation reads.")
        case exceptions.ParseError() | UnreadablePostError() | MultiPartParserError() | SuspiciousOperation():
            return MalformedBody(str(getattr(error, "detail", "")) or "The body cannot be read.")
        case OperationalError() | InterfaceError():
            log.warning("the database did not answer: %s", error)
            return TemporarilyUnavailable("The database did not answer in time.", hint="Try again in a few seconds.")
        case AwsError():
            return aws_refusal(error)
        case _:
            return InternalError("Something went wrong on our side.", hint="Quote the request id to your operator.")


def aws_refusal(error: AwsError) -> DomainError:
    """What AWS answered, with the request id that its support asks for."""
    log.warning("AWS: %s (request %s)", error, error.request_id or "without an answer")
    said = f"{error.operation}: {error.message}" + (f" (AWS request {error.request_id})" if error.request_id else "")
    if isinstance(error, Retryable):
        return AwsUnavailable(said, hint="Nothing was changed. Send the request again after Retry-After.")
    return AwsRefused(said, hint="Nothing was changed. Ask an operator to look at AWS and at the policies.")


def field_errors(details: Any, pointer: str = "") -> list[FieldError]:
    """DRF's nested error details as a flat list of JSON pointers, in the order of the fields."""
    return list(_walk(details, pointer))


def _walk(details: Any, pointer: str) -> Iterator[FieldError]:
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield FieldError(pointer or "/", str(details["code"]), str(details["message"]))
    elif isinstance(details, dict):
        for name, inner in details.items():
            step = "" if name == "non_field_errors" else "/" + str(name).replace("~", "~0").replace("/", "~1")
            yield from _walk(inner, pointer + step)
    elif isinstance(details, list):
        yield from _walk_list(details, pointer)


def _walk_list(details: Iterable[Any], pointer: str) -> Iterator[FieldError]:
    for index, inner in enumerate(details):
        is_message = isinstance(inner, dict) and set(inner) == {"message", "code"}
        if inner:
            yield from _walk(inner, pointer if is_message else f"{pointer}/{index}")


def known_problems() -> dict[str, type[DomainError]]:
    """Every code that this process can answer with, by walking the DomainError family."""
    found: dict[str, type[DomainError]] = {}
    waiting = [DomainError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return dict(sorted(found.items()))
