"""A Lambda function that answers one tenant's prompts over HTTP with the kit.

Behind a function URL or an API Gateway HTTP API (payload format 2.0):
`POST {"route": "support", "prompt": "…", "max_tokens": 64}`. The README beside this file says how to deploy it.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from functools import cache
from typing import Any

from dataplane import Completion, DataPlaneError, Kit
from dataplane.errors import (
    ConfigUnavailable,
    InvalidRequest,
    LimitExceeded,
    LimitsUnavailable,
    ModelUnavailable,
    TenantSuspended,
    TenantUnknown,
    UnknownRoute,
)

STATUSES: dict[type[DataPlaneError], int] = {
    InvalidRequest: 400,
    TenantSuspended: 403,
    TenantUnknown: 403,
    UnknownRoute: 404,
    LimitExceeded: 429,
    ConfigUnavailable: 503,
    LimitsUnavailable: 503,
    ModelUnavailable: 503,
}
"""Every other failure of the kit is an upstream that answered wrongly: 502."""
DEFAULT_MAX_TOKENS = 256
RETRY_AFTER_SECONDS = 1
log = logging.getLogger(__name__)


@cache
def kit() -> Kit:
    """The kit of this process: made at the first request, used by all that follow while the process is warm.

    Without DATAPLANE_LIMITS_TABLE the token limits of the config are not looked at. Raises KeyError or ValueError when
    DATAPLANE_TENANT, DATAPLANE_TABLE or DATAPLANE_CONFIG_KEY is missing or odd.
    """
    key = bytes.fromhex(os.environ["DATAPLANE_CONFIG_KEY"])
    limits = os.environ.get("DATAPLANE_LIMITS_TABLE")
    return Kit(os.environ["DATAPLANE_TENANT"], key, os.environ["DATAPLANE_TABLE"], limits_table=limits)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one HTTP request; every refusal has a status, a stable code and a sentence."""
    try:
        asked = _read(event)
        answer = kit().complete(asked["route"], asked["prompt"], asked["max_tokens"])
    except DataPlaneError as error:
        return _refusal(error)
    # Lambda freezes the process once it has answered, and may never thaw it: what was counted must leave now.
    report = kit().flush()
    for told in report.errors:
        log.warning("usage was not put: %s", told)
    return _reply(200, _shown(answer))


def _read(event: dict[str, Any]) -> dict[str, Any]:
    """The body's members. Raises InvalidRequest that says what is wrong with which."""
    body = event.get("body") or ""
    try:
        found = json.loads(base64.b64decode(body) if event.get("isBase64Encoded") else body)
    except ValueError:
        raise InvalidRequest("The body must be JSON.") from None
    if not isinstance(found, dict):
        raise InvalidRequest("The body must be a JSON object.")
    found.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
    for name in ("route", "prompt"):
        if not isinstance(found.get(name), str) or not found[name]:
            raise InvalidRequest(f"{name} must be a text that is not empty.")
    if type(found["max_tokens"]) is not int:
        raise InvalidRequest("max_tokens must be a whole number.")
    return found


def _shown(answer: Completion) -> dict[str, Any]:
    return {
        "text": answer.text,
        "usage": {
            "input_tokens": answer.input_tokens,
            "cached_input_tokens": answer.cached_input_tokens,
            "output_tokens": answer.output_tokens,
        },
        "adapter_version": answer.adapter_version,
        "line": answer.line,
    }


def _refusal(error: DataPlaneError) -> dict[str, Any]:
    status = STATUSES.get(type(error), 502)
    log.warning("%s: %s", error.code, error.detail)
    # The detail names endpoints and components; whoever calls gets it only for what the caller can change.
    detail = error.detail if status in (400, 404, 429) else "The model cannot answer this request now."
    seconds = error.retry_after_seconds if isinstance(error, LimitExceeded) else RETRY_AFTER_SECONDS
    headers = {"Retry-After": str(seconds)} if error.retryable else {}
    return _reply(status, {"code": error.code, "detail": detail}, headers)


def _reply(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **(headers or {})},
        "body": json.dumps(body, ensure_ascii=False),
    }
