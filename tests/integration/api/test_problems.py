"""Bad input: a clear problem document, and nothing changed."""

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey
from api.models import IdempotentRequest
from api.problems import known_problems
from tenants.models import Tenant
from tests.factories import make_tenant, make_tier
from tests.integration.api.client import Caller, caller, refused

pytestmark = pytest.mark.django_db

GOOD: dict[str, Any] = {"name": "Acme", "slug": "acme", "tier": "basic"}


@pytest.fixture
def ops() -> Caller:
    make_tier()
    return caller()


@pytest.mark.parametrize(
    ("wrong", "pointer", "code"),
    [
        ({"name": None}, "/name", "null"),
        ({"name": 7}, "/name", "wrong_type"),
        ({"name": ["a"]}, "/name", "wrong_type"),
        ({"name": {"a": 1}}, "/name", "wrong_type"),
        ({"name": True}, "/name", "wrong_type"),
        ({"name": ""}, "/name", "blank"),
        ({"name": "x" * 121}, "/name", "max_length"),
        ({"slug": "x" * 100_000}, "/slug", "max_length"),
        ({"slug": "Acme Corp"}, "/slug", "invalid"),
        ({"currency": "dollars"}, "/currency", "max_length"),
        ({"currency": "usd"}, "/currency", "invalid"),
        ({"billing_timezone": "Mars/Olympus"}, "/billing_timezone", "invalid"),
        ({"invoice_language": "xx"}, "/invoice_language", "invalid"),
        ({"external_id": ""}, "/external_id", "blank"),
        ({"contact_email": "not an address"}, "/contact_email", "invalid"),
        ({"tags": "prod"}, "/tags", "not_a_dict"),
        ({"tags": {"env": 1}}, "/tags/env", "wrong_type"),
        ({"tags": {"env": {"deep": {}}}}, "/tags/env", "wrong_type"),
        ({"tags": {f"k{n}": "v" for n in range(21)}}, "/tags", "invalid"),
        ({"state": "active"}, "/state", "unknown_field"),
        ({"version": 3}, "/version", "unknown_field"),
        ({"role": "admin"}, "/role", "unknown_field"),
    ],
)
def test_a_wrong_field_is_named(ops: Caller, wrong: dict[str, Any], pointer: str, code: str) -> None:
    response = ops.post("tenants", {**GOOD, **wrong})
    assert response.status_code == 422, response.content
    problem = refused(response, 422, response.json()["code"])
    assert (pointer, code) in [(e["pointer"], e["code"]) for e in problem["errors"]], problem
    assert not Tenant.objects.exists()
    assert not IdempotentRequest.objects.exists()


def test_everything_that_is_missing_is_named_at_once(ops: Caller) -> None:
    problem = refused(ops.post("tenants", {"naem": "x"}), 422, "invalid_body")
    found = {(e["pointer"], e["code"]) for e in problem["errors"]}
    assert found == {("/name", "required"), ("/slug", "required"), ("/tier", "required"), ("/naem", "unknown_field")}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b'{"name": "a"',
        b"\xff\xfe",
        b'{"name": NaN}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "\\ud800"}',
        b'{"\\u0000": 1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
    ],
)
def test_a_body_that_cannot_be_read_is_said_to_be_so(ops: Caller, raw: bytes) -> None:
    refused(ops.post("tenants", raw=raw), 400, "malformed_body")
    assert not Tenant.objects.exists()


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"7", b"null", b"true"])
def test_json_that_is_no_object_is_refused(ops: Caller, raw: bytes) -> None:
    refused(ops.post("tenants", raw=raw), 422, "invalid_body")


def test_a_body_has_a_largest_size(ops: Caller) -> None:
    refused(ops.post("tenants", raw=b'{"name": "' + b"x" * (1 << 20) + b'"}'), 413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_read(ops: Caller, kind: str) -> None:
    refused(
        ops.post("tenants", raw=b"name=Acme&slug=acme&tier=basic", content_type=kind), 415, "unsupported_media_type"
    )


def test_an_operation_without_fields_takes_none(ops: Caller) -> None:
    make_tenant(slug="acme")
    refused(ops.post("tenants/acme/resume", {"state": "active"}), 422, "invalid_body")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_refused_with_those_that_exist(ops: Caller, method: str) -> None:
    response = ops.call(method, "tenants")
    refused(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, POST, HEAD" or set(response["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("query", ["state=flying", "limit=0", "limit=501", "limit=ten", "limit=1e9", "q=%00", "tier="])
def test_a_wrong_parameter_is_named(ops: Caller, query: str) -> None:
    problem = refused(ops.get(f"tenants?{query}"), 400, "invalid_parameter")
    assert problem["errors"][0]["pointer"] == "?" + query.partition("=")[0]


def test_an_unknown_parameter_does_not_widen_a_list(ops: Caller) -> None:
    problem = refused(ops.get("tenants?stat=active&limit=5"), 400, "unknown_parameter")
    assert "state" in problem["hint"]
    refused(ops.get("tenants/acme?fields=name"), 400, "unknown_parameter")


@pytest.mark.parametrize(
    "ref", ["ten_01kag0v8x3nq5w7t2c9r4m6p8d", "ext:absent", "' OR 1=1 --", "%00", "..%2f..%2fetc", "ext:%00", "x" * 300]
)
def test_an_unknown_id_is_not_found(ops: Caller, ref: str) -> None:
    refused(ops.get(f"tenants/{ref}"), 404, "not_found")


def test_an_unknown_address_is_a_problem_too_but_only_for_those_with_a_key(ops: Caller) -> None:
    refused(ops.get("nothing/here"), 404, "not_found")
    refused(ops.post("nothing/here", {}), 404, "not_found")
    refused(ops.get("tenants/"), 404, "not_found")
    refused(Caller(None).get("nothing/here"), 401, "api_key_missing")
    refused(ops.get("/api/v2/tenants"), 404, "not_found")


def test_a_body_in_chunks_is_refused_and_not_taken_for_an_empty_one(ops: Caller) -> None:
    response = ops.post("tenants", headers={"Transfer-Encoding": "chunked"})
    refused(response, 411, "length_required")


def test_head_answers_like_get_without_the_body(ops: Caller) -> None:
    body = ops.get("tenants").content
    head = ops.call("HEAD", "tenants")
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", str(len(body)))
    assert ops.call("HEAD", "tenants/absent").status_code == 404
    assert Caller(None).call("HEAD", "tenants").status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "cpk_test_x", "Bearer " + "x" * 5000])
def test_a_request_without_a_key_is_told_so(header: str) -> None:
    response = Client().get("/api/v1/tenants", headers={"Authorization": header})
    refused(response, 401, "api_key_missing")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_session_of_the_dashboard_opens_nothing_here(django_user_model: Any) -> None:
    http = Client()
    http.force_login(django_user_model.objects.create(username="ana", role="admin"))
    refused(http.get("/api/v1/tenants"), 401, "api_key_missing")


@pytest.mark.parametrize("sent", ["short", "a b c d e f g h", "x" * 65, "<script>alert(1)</script>"])
def test_an_odd_request_id_is_replaced(ops: Caller, sent: str) -> None:
    response = ops.get("tenants", headers={"X-Request-ID": sent})
    assert response["X-Request-ID"] != sent
    assert len(response["X-Request-ID"]) >= 8


def test_a_bug_is_a_problem_document_without_its_secrets(ops: Caller, settings: Any) -> None:
    settings.API_KEY_PEPPER = None  # as a broken deployment would have it
    problem = refused(ops.get("tenants"), 500, "internal_error")
    assert "NoneType" not in json.dumps(problem)


def test_every_code_is_explained_at_its_address() -> None:
    assert len(known_problems()) > 25
    for code, kind in known_problems().items():
        page = Client().get(f"/problems/{code}")
        assert page.status_code == 200
        assert page.json()["status"] == kind.status
        assert page.json()["meaning"], code
    assert Client().get("/problems/nothing").status_code == 404


def test_replies_are_not_to_be_cached(ops: Caller) -> None:
    assert ops.get("tenants")["Cache-Control"] == "no-store"
    assert ops.get("tenants/absent")["Cache-Control"] == "no-store"


def test_refusals_change_nothing(ops: Caller) -> None:
    before = ApiKey.objects.count()
    refused(ops.post("api-keys", {"name": "x", "scopes": ["root"]}), 422, "invalid_api_key")
    refused(ops.post("api-keys", {"name": "x", "scopes": "all"}), 422, "invalid_body")
    refused(ops.post("api-keys", {"name": "x", "scopes": ["usage.view"], "tenant": "ten_x"}), 404, "not_found")
    refused(
        ops.post("api-keys", {"name": "x", "scopes": ["usage.view"], "expires_at": "2020-01-01T00:00:00Z"}),
        422,
        "invalid_api_key",
    )
    assert ApiKey.objects.count() == before
