"""What goes over the wire: a request as read, a reply as sent, and AWS's refusals in each protocol's dress."""

import base64
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

DEFAULT_REGION = "us-east-1"
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")


class AwsError(Exception):
    """A refusal as AWS would word it. `extra` holds further members of the error's shape."""

    def __init__(self, code: str, message: str, status: int = 400, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.extra = dict(extra or {})


def invalid(message: str) -> AwsError:
    """SageMaker's one answer to bad input and to what does not exist."""
    return AwsError("ValidationException", message)


@dataclass
class Request:
    """One HTTP request, its body read to the end. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    service: str = ""
    region: str = DEFAULT_REGION
    access_key: str = ""

    def __post_init__(self) -> None:
        match = _CREDENTIAL.search(self.headers.get("authorization", ""))
        if match:
            self.access_key, self.region, self.service = match.groups()

    @property
    def target(self) -> str:
        """The operation as the JSON protocols name it, for example `SageMaker.ListModels`; else empty."""
        return self.headers.get("x-amz-target", "")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises AwsError SerializationException when it is none."""
        try:
            value = json.loads(self.body or b"{}")
        except ValueError as error:
            raise AwsError("SerializationException", f"The body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise AwsError("SerializationException", "The body must be a JSON object.")
        return value

    def form(self) -> dict[str, str]:
        """The body as the query protocol's form, first value of each key."""
        return {key: values[0] for key, values in parse_qs(self.body.decode("utf-8", "replace")).items()}


@dataclass
class Reply:
    """One HTTP reply. `lost` means: the work is done, but the client never hears of it.

    With `stream` its pieces are sent one by one as they come, in place of `body`; a piece that raises ConnectionCut
    ends the connection there, without the mark that ends a whole body.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    lost: bool = False
    stream: Iterator[bytes] | None = None


class ConnectionCut(Exception):
    """Ordered by a test: the connection breaks in the middle of a streamed reply."""


def new_request_id() -> str:
    """A request id as AWS gives one with every answer."""
    return str(uuid.uuid4())


def json_reply(value: Any, *, version: str = "1.1", status: int = 200) -> Reply:
    """An answer in the AWS JSON protocol of that version."""
    headers = [("Content-Type", f"application/x-amz-json-{version}"), ("x-amzn-RequestId", new_request_id())]
    return Reply(status, headers, json.dumps(value).encode())


def error_reply(error: AwsError, protocol: str) -> Reply:
    """`error` as the protocol (json, query, s3 or rest) writes it, with a request id."""
    request_id = new_request_id()
    if protocol in ("json", "rest"):
        body = json.dumps({"__type": error.code, "message": error.message, "Message": error.message, **error.extra})
        headers = [
            ("Content-Type", "application/x-amz-json-1.1" if protocol == "json" else "application/json"),
            ("x-amzn-RequestId", request_id),
            ("x-amzn-ErrorType", error.code),
            ("x-amzn-query-error", f"{error.code};{'Sender' if error.status < 500 else 'Receiver'}"),
        ]
        return Reply(error.status, headers, body.encode())
    inner = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if protocol == "s3":
        text = f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
    else:
        text = f"<ErrorResponse><Error>{inner}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    headers = [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id), ("x-amz-request-id", request_id)]
    return Reply(error.status, headers, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode())


def seal_token(value: Any) -> str:
    """An opaque page token that holds `value` (anything JSON can hold)."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def open_token(token: str) -> Any:
    """What `seal_token` put in. Raises ValueError for a token that is not one of ours."""
    return json.loads(base64.urlsafe_b64decode(token.encode()))
