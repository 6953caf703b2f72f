"""A caller of the REST API, as a billing system would be one: a key, JSON, and headers."""

import json
import uuid
from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.roles import ALL_PERMISSIONS
from accounts.services import issue_api_key
from tests.factories import TESTER


class Caller:
    """Calls /api/v1 with one key. POSTs carry a fresh Idempotency-Key unless one is given (None sends none)."""

    def __init__(self, key: str | None) -> None:
        self.key = key
        self.http = Client()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        idempotency_key: str | None = "fresh",
        if_match: str | None = None,
        raw: bytes | None = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> HttpResponse:
        """One request; a path without a leading slash is taken below /api/v1/."""
        sent = dict(headers or {})
        if self.key:
            sent["Authorization"] = f"Bearer {self.key}"
        if method == "POST" and idempotency_key:
            sent["Idempotency-Key"] = str(uuid.uuid4()) if idempotency_key == "fresh" else idempotency_key
        if if_match:
            sent["If-Match"] = if_match
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        address = path if path.startswith("/") else f"/api/v1/{path}"
        return self.http.generic(method, address, data, content_type=content_type, headers=sent)

    def get(self, path: str, **options: Any) -> HttpResponse:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        """POST."""
        return self.call("POST", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        """PATCH."""
        return self.call("PATCH", path, body, **options)


def caller(*scopes: str, tenant_id: int | None = None) -> Caller:
    """A caller with these scopes; without any, with all that exist."""
    _, plaintext = issue_api_key(name="tests", scopes=scopes or ALL_PERMISSIONS, tenant_id=tenant_id, actor=TESTER)
    return Caller(plaintext)


def refused(response: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """Asserts that the answer is a whole problem document of this status and code; gives the document."""
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), response.content
    problem: dict[str, Any] = response.json()
    assert set(problem) == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "request_id",
        "retryable",
        "hint",
        "errors",
    }
    assert (problem["code"], problem["status"]) == (code, status), problem
    assert problem["type"].endswith(f"/problems/{code}")
    assert problem["request_id"] == response["X-Request-ID"]
    assert problem["detail"] and problem["title"]
    return problem
