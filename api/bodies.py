"""Reading requests strictly: bounded JSON, no unknown fields, no text that PostgreSQL cannot store."""

import json
from collections.abc import Mapping
from functools import cache
from typing import IO, Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.serializers import as_serializer_error

from api.problems import BodyTooLarge, MalformedBody
from core.errors import DomainError, FieldError, Invalid
from core.paging import MAX_LIMIT

LARGEST_BODY_BYTES = 1 << 20
DEFAULT_LIMIT = 100


class UnknownParameter(Invalid):
    """The query string names a parameter that this operation does not have: a typing error must not widen a list."""

    code = "unknown_parameter"
    status = 400
    title = "Unknown query parameter"


class InvalidParameter(Invalid):
    """A query parameter has a value that it cannot have."""

    code = "invalid_parameter"
    status = 400
    title = "Invalid query parameter"


class LengthRequired(DomainError):
    """A body must announce its length, so that one that is cut short is noticed; chunks announce none."""

    code = "length_required"
    status = 411
    title = "Content-Length required"


class JsonBody(BaseParser):
    """application/json of at most 1 MiB, read once."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The decoded document. Raises BodyTooLarge and MalformedBody."""
        raw = stream.read(LARGEST_BODY_BYTES + 1)
        if len(raw) > LARGEST_BODY_BYTES:
            raise BodyTooLarge(f"The body is longer than {LARGEST_BODY_BYTES} bytes.")
        try:
            return self.decode(raw)
        except (ValueError, RecursionError) as error:
            raise MalformedBody(f"The body is not JSON that can be read: {_reason(error)}") from error

    def decode(self, raw: bytes) -> Any:
        """The document that the bytes say. Raises ValueError, or RecursionError, for what is none that we take."""
        document = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        _refuse_unstorable(document)
        return document


class Text(serializers.CharField):
    """A JSON string. DRF's own field would turn numbers into text without a word."""

    def to_internal_value(self, data: Any) -> str:
        """Raises ValidationError for anything but a string."""
        if not isinstance(data, str):
            raise ValidationError("This must be a string.", code="wrong_type")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """A JSON true or false."""

    def to_internal_value(self, data: Any) -> bool:
        """Raises ValidationError for anything but a boolean."""
        if not isinstance(data, bool):
            raise ValidationError("This must be true or false.", code="wrong_type")
        return data


class Body(serializers.Serializer[Any]):
    """A request body. A field that it does not declare is an error, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated fields. Raises ValidationError with all that is wrong at once."""
        unknown: dict[str, Any] = {}
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = {
                str(name): [ErrorDetail(f"There is no field {name}.", code="unknown_field")]
                for name in data
                if name not in known
            }
        try:
            value = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**error.detail, **unknown} if isinstance(error.detail, dict) else error.detail)  # noqa: B904
        if unknown:
            raise ValidationError(unknown)
        return value


class NoBody(Body):
    """The operation takes no fields."""


class ReasonIn(Body):
    """Why somebody did it; it stays in the audit trail."""

    reason = Text(max_length=500)


class Query(serializers.Serializer[Any]):
    """The query string of an operation: only what is declared here may be in it."""


class DryRunQuery(Query):
    """Whether it is done or only shown."""

    dry_run = serializers.BooleanField(
        required=False,
        help_text="With `true` it is only shown: the answer is a 200 with what would be answered, and refusals are "
        "those of the real operation. Nothing is written, no number is taken, no event is told and no idempotency key "
        "is needed. The id and the number of a document that would be new are not kept for it.",
    )


class PageQuery(Query):
    """How every list is walked."""

    limit = serializers.IntegerField(
        default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT, help_text=f"Rows per page, at most {MAX_LIMIT}."
    )
    cursor = serializers.CharField(
        required=False, max_length=1000, help_text="`next_cursor` of the page before; absent for the first page."
    )


def read_query(kind: type[Query], parameters: Mapping[str, str]) -> dict[str, Any]:
    """The validated parameters. Raises UnknownParameter and InvalidParameter, both 400."""
    reader = _reader(kind)
    known = set(reader.fields)
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise UnknownParameter(
            f"There is no parameter {', '.join(unknown)} here.",
            hint=f"Parameters are: {', '.join(sorted(known)) or 'none'}.",
            errors=[FieldError(f"?{name}", "unknown_parameter", f"There is no parameter {name}.") for name in unknown],
        )
    try:
        return dict(reader.run_validation(dict(parameters.items())))
    except ValidationError as error:
        errors = [
            FieldError(f"?{name}", str(detail.code), str(detail))
            for name, details in as_serializer_error(error).items()
            for detail in details
        ]
        raise InvalidParameter(" ".join(f"{e.pointer[1:]}: {e.detail}" for e in errors), errors=errors) from error


def read_body(kind: type[Body], data: Any, *, partial: bool) -> dict[str, Any]:
    """The validated fields; with `partial` any may be missing. Raises ValidationError with all that is wrong."""
    return dict(_reader(kind, partial=partial).run_validation(data))


@cache
def _reader(kind: type[serializers.Serializer[Any]], *, partial: bool = False) -> serializers.Serializer[Any]:
    """One reader for all requests: DRF copies every field of a new one, and validating keeps nothing in it."""
    return kind(partial=partial)


def refuse_unannounced(request: Request) -> None:
    """Raises LengthRequired for a chunked body: WSGI gives no way to read it, and it would look empty."""
    if request.headers.get("Transfer-Encoding") and not request.headers.get("Content-Length"):
        raise LengthRequired("The body does not announce its length.", hint="Send a Content-Length header.")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _refuse_unstorable(document: Any) -> None:
    """NUL and lone surrogates are legal in JSON escapes, and no PostgreSQL text can hold them."""
    match document:
        case str() if "\x00" in document:
            raise ValueError("a text holds the character NUL")
        case str():
            document.encode("utf-8")
        case dict():
            for name, value in document.items():
                _refuse_unstorable(name)
                _refuse_unstorable(value)
        case list():
            for value in document:
                _refuse_unstorable(value)


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at line {error.lineno}, column {error.colno}."
        case RecursionError():
            return "it is nested too deeply."
        case UnicodeError():
            return "it is not UTF-8 text."
        case _:
            return f"{error}."
