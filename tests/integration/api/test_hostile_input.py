"""Every operation with hostile input: never a 5xx, always a problem document, and never somebody's row too many."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.response import Response

from api.endpoint import ApiView
from tenants.models import Tenant
from tests.architecture.test_routes import Route, every_route
from tests.factories import make_tenant
from tests.integration.api.client import caller, refused
from tests.integration.api.making import MAKERS

pytestmark = pytest.mark.django_db

TEXTS: list[Any] = [
    "",
    "\x00",
    "\ud800",
    "' OR '1'='1",
    "1; DROP TABLE tenants_tenant; --",
    "%s%n{0}{{7*7}}${7*7}",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\u202e\U0001f4a9 Ａcme",
    "x" * 5000,
]
VALUES: list[Any] = [*TEXTS, None, True, 0, -1, 2**70, 1.5e308, [], {}, [[[]]], {"a": {"b": []}}]
PARAMETERS = ["", "%00", "'", "-1", "99999999999999999999", "9" * 400, "true", "2026-13-45", "%F0%9F%92%A9", "a%0d%0ab"]
REFS = ["%00", "'--", "ext:", "ext:%00", "%2e%2e", "99999999999999999999", "%F0%9F%92%A9", "x" * 250, "%c0%ae"]

ASK_AWS = {"begin_adapter_upload"}
"""Operations that ask AWS before they answer; its absence would hide what the body does."""


def harmless(response: HttpResponse) -> None:
    """Asserts that the answer is a success or a whole problem document of the client's kind."""
    assert response.status_code < 500, response.content
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"]


@every_route
def test_bodies_of_any_shape_are_survived(route: Route, request: pytest.FixtureRequest) -> None:
    if route.method == "GET":
        return
    if route.door is not None and route.door.name in ASK_AWS:
        request.getfixturevalue("aws")
    owner, all_scopes = make_tenant(), caller()
    path = route.path({name: MAKERS[name](owner) for name in route.variables})
    assert route.door is not None
    example: dict[str, Any] = route.door.request_example or {"reason": "x"}
    for value in VALUES:
        harmless(all_scopes.call(route.method, path, value, if_match="*"))
        for field in example:
            harmless(all_scopes.call(route.method, path, {**example, field: value}, if_match="*"))


@every_route
def test_parameters_of_any_kind_are_survived(route: Route) -> None:
    assert route.door is not None
    owner, all_scopes = make_tenant(), caller()
    path = route.path({name: MAKERS[name](owner) for name in route.variables}).partition("?")[0]
    for name in route.door.query().fields:
        for value in PARAMETERS:
            harmless(all_scopes.call(route.method, f"{path}?{name}={value}", if_match="*"))
    harmless(all_scopes.call(route.method, f"{path}?" + "&".join(f"p{n}=1" for n in range(900)), if_match="*"))


@every_route
def test_ids_of_any_kind_are_not_found(route: Route) -> None:
    if not route.variables:
        return
    assert route.door is not None
    all_scopes = caller()
    for ref in REFS:
        path = route.path(dict.fromkeys(route.variables, ref))
        response = all_scopes.call(route.method, path, route.door.request_example, if_match="*")
        harmless(response)
        assert response.status_code == 404, (path, response.content)


def test_fields_that_are_the_systems_own_cannot_be_sent() -> None:
    make_tenant(slug="acme")
    ops = caller()
    own = {field.name for field in Tenant._meta.concrete_fields} - {
        "name",
        "external_id",
        "invoice_language",
        "contact_email",
        "tags",
    }
    for field in own:
        problem = refused(ops.patch("tenants/acme", {field: "x"}, if_match='"v1"'), 422, "invalid_body")
        assert [e["code"] for e in problem["errors"]] == ["unknown_field"]
    assert Tenant.objects.get().version == 1


class Undeclared(ApiView):
    """A view whose author forgot to say who may call it."""

    def get(self, request: Request) -> Response:
        """Must never run."""
        raise AssertionError("undeclared, and yet it ran")


def test_an_operation_that_declares_nothing_is_closed_even_to_an_administrator() -> None:
    request = RequestFactory().get("/api/v1/undeclared", headers={"Authorization": f"Bearer {caller().key}"})
    request.request_id = "req-undeclared"  # type: ignore[attr-defined]
    response = Undeclared.as_view()(request)
    assert (response.status_code, response.data["code"]) == (403, "scope_undeclared")
