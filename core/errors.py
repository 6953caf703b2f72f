"""Refusals that are expected: a stable code for programs and a sentence for people.

Both doors turn a `DomainError` into the same words: problem+json over REST (RFC 9457), a banner in the dashboard.
A subclass stands beside the function that raises it and gives its own `code`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one part of a request; `pointer` is a JSON pointer such as `/slug`."""

    pointer: str
    code: str
    detail: str


class DomainError(Exception):
    """Something the caller asked for cannot be done.

    `detail` says what is wrong with this request, `hint` what to do about it. `retryable` tells a program whether
    the same request can succeed later without a change.
    """

    code = "refused"
    status = 409
    title = "Refused"
    retryable = False

    def __init__(self, detail: str, *, hint: str = "", errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.errors = tuple(errors)


class NotFound(DomainError):
    """Absent, or invisible to whoever asks: the answer is the same."""

    code = "not_found"
    status = 404
    title = "Not found"


class Forbidden(DomainError):
    """Visible, but not permitted."""

    code = "forbidden"
    status = 403
    title = "Not permitted"


class Invalid(DomainError):
    """The request makes no sense as it stands."""

    code = "invalid"
    status = 422
    title = "Invalid request"


class Conflict(DomainError):
    """The request makes sense, but not now."""

    code = "conflict"
    status = 409
    title = "Conflict"


class QuotaExceeded(DomainError):
    """The tier does not allow more of this."""

    code = "quota_exceeded"
    status = 409
    title = "Quota exceeded"
