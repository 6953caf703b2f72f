"""ETag and If-Match: a change says which version it was decided on, so nobody overwrites what they have not seen."""

import re

from rest_framework.request import Request

from core.errors import Conflict, DomainError

_TAG = re.compile(r'(?:W/)?"v(\d{1,18})"')


class PreconditionRequired(DomainError):
    """The operation changes something that others may have changed, and needs an If-Match header."""

    code = "precondition_required"
    status = 428
    title = "Precondition required"


class PreconditionFailed(Conflict):
    """The object changed since it was read. Nothing was done."""

    code = "precondition_failed"
    status = 412
    title = "The object changed meanwhile"


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"v{version}"'


def require_header(request: Request) -> None:
    """Raises PreconditionRequired when If-Match is missing."""
    if not request.headers.get("If-Match", "").strip():
        raise PreconditionRequired(
            "This operation needs an If-Match header.",
            hint="Read the object, decide, and send its ETag back as If-Match; `*` accepts any version.",
        )


def refuse_stale(request: Request, *, version: int) -> None:
    """Raises PreconditionFailed unless If-Match names `version` or is `*`."""
    offered = [tag.strip() for tag in request.headers.get("If-Match", "").split(",")]
    matches = any(tag == "*" or ((found := _TAG.fullmatch(tag)) and int(found[1]) == version) for tag in offered)
    if not matches:
        raise PreconditionFailed(
            f"The object is at {etag(version)}, not {', '.join(offered)}.",
            hint="Read it again and decide whether your change still makes sense.",
        )
