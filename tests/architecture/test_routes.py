"""Every address under /api/v1 x every kind of caller, from the URL resolver itself.

A new address joins the matrix by itself; one that the matrix cannot call (an id that it cannot make, a method without a
declaration) fails here, so no door can be added without a lock.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

import pytest
from django.urls import URLPattern, get_resolver

from accounts import services
from accounts.models import ApiKey
from accounts.roles import ALL_PERMISSIONS
from api.doors import Door, door_of
from api.endpoint import ApiView
from api.idempotency import KeyRule
from api.unknown import UnknownAddress
from core import clock
from events.catalog import CATALOG
from tenants.models import Tenant
from tests.factories import TESTER, make_tenant
from tests.integration.api.client import Caller, refused
from tests.integration.api.making import MAKERS, QUERIES, make_profile

OPEN = {"openapi.json"}  # documents that tell nothing of what is inside
# Doing it twice is doing it once, whatever came between.
REPEATABLE = {"retry_operation", "grant_credit", "schedule_rate_card"}
# They change nothing and ask AWS, which a link must never do.
READ_BY_POST = {"preflight_tenant", "preview_tier_change"}
# What belongs to no tenant, or to many, is out of reach of a key of one.
NOBODYS = {"bulk_operation", "rate_card", "tier_version"}
FOR_ALL_TENANTS = {
    "create_tier_version", "draft_rate_card", "issue_api_key", "preview_bulk_operation", "start_bulk_operation",
}  # fmt: skip
METHODS = ("get", "post", "put", "patch", "delete")


class Route(NamedTuple):
    """One method of one address."""

    method: str
    address: str
    door: Door | None
    view: type[ApiView]

    @property
    def variables(self) -> list[str]:
        return [part.partition(":")[2][:-1] for part in self.address.split("/") if part.startswith("<")]

    def path(self, ids: dict[str, str]) -> str:
        """The address with ids in place."""
        parts = [ids[part.partition(":")[2][:-1]] if part.startswith("<") else part for part in self.address.split("/")]
        query = QUERIES.get(self.door.name, "") if self.door else ""
        return "/".join(parts) + (f"?{query}" if query else "")


def patterns() -> Iterator[URLPattern]:
    """The URL patterns under /api/v1."""
    for resolver in get_resolver().url_patterns:
        if str(resolver.pattern) == "api/v1/":
            yield from resolver.url_patterns


@cache
def routes() -> list[Route]:
    """Every method that every view answers."""
    found = []
    for pattern in patterns():
        view = getattr(pattern.callback, "view_class", None)
        if view is UnknownAddress or str(pattern.pattern) in OPEN:
            continue
        assert view is not None, f"{pattern.pattern} is no ApiView and not listed as open"
        for method in METHODS:
            if hasattr(view, method):
                found.append(Route(method.upper(), str(pattern.pattern), door_of(view, method), view))
    return found


def key_with(scopes: set[str] | frozenset[str], tenant: Tenant | None = None) -> tuple[ApiKey, Caller]:
    """A key that holds these scopes, even those that a tenant's key is never given: scoping must hold without that."""
    key, plaintext = services.issue_api_key(name="matrix", scopes=["tenants.view"], actor=TESTER)
    ApiKey.objects.filter(pk=key.pk).update(scopes=sorted(scopes) or ["none"], tenant=tenant)
    return key, Caller(plaintext)


def call(caller: Caller, route: Route, path: str) -> Any:
    """The route with the body of its own example, and with the headers it may want."""
    assert route.door is not None
    body = None if route.method == "GET" else route.door.request_example
    return caller.call(route.method, path, body, if_match="*")


every_route = pytest.mark.parametrize("route", routes(), ids=lambda route: f"{route.method} {route.address}")


def test_the_matrix_sees_the_api() -> None:
    assert len(routes()) >= 13
    assert {variable for route in routes() for variable in route.variables} <= set(MAKERS)


@every_route
def test_every_method_declares_its_scope(route: Route) -> None:
    assert route.door is not None, "without @endpoint nobody may call it"
    assert route.door.scope in ALL_PERMISSIONS
    view_reads = route.method == "GET" or route.door.name in READ_BY_POST
    assert view_reads == route.door.scope.endswith(".view") or route.door.scope in ("keys.manage", "webhooks.manage")


@every_route
def test_what_makes_money_or_infrastructure_can_be_repeated_after_a_crash(route: Route) -> None:
    assert route.door is not None
    if route.door.fact:
        assert route.door.fact in CATALOG
        assert route.view.found_done is not ApiView.found_done
    required = route.door.idempotency is KeyRule.REQUIRED
    assert not required or route.door.fact or route.door.name in REPEATABLE


@pytest.mark.django_db
@every_route
def test_strangers_are_refused_before_anything_is_looked_up(route: Route) -> None:
    assert route.door is not None
    owner = make_tenant()
    path = route.path({name: MAKERS[name](owner) for name in route.variables})
    refused(call(Caller(None), route, path), 401, "api_key_missing")
    refused(call(Caller("cpk_test_nonsense"), route, path), 401, "api_key_unknown")

    key, caller = key_with(ALL_PERMISSIONS)
    ApiKey.objects.filter(pk=key.pk).update(
        created_at=clock.now() - timedelta(days=2), expires_at=clock.now() - timedelta(days=1)
    )
    refused(call(caller, route, path), 401, "api_key_expired")
    ApiKey.objects.filter(pk=key.pk).update(expires_at=clock.now() + timedelta(days=1), revoked_at=clock.now())
    refused(call(caller, route, path), 401, "api_key_revoked")

    _, without = key_with(ALL_PERMISSIONS - {route.door.scope})
    refused(call(without, route, path), 403, "permission_missing")


@pytest.mark.django_db
@every_route
def test_another_tenants_key_finds_nothing_and_its_own_key_gets_in(route: Route) -> None:
    owner, other = make_tenant(name="The Owner", external_id="CRM-42"), make_tenant()
    make_profile()
    ids = {name: MAKERS[name](owner) for name in route.variables}
    _refuse_stranger(route, ids, owner, other)
    assert route.door is not None
    _, own = key_with(ALL_PERMISSIONS, owner)
    status = call(own, route, route.path(ids)).status_code
    is_for_all = route.door.name in FOR_ALL_TENANTS or bool({*route.variables} & NOBODYS)
    assert (status in (403, 404)) if is_for_all else (status not in (401, 403, 404, 405, 500))


def _refuse_stranger(route: Route, ids: dict[str, str], owner: Tenant, other: Tenant) -> None:
    """The key of another tenant is told the same of what is there and of what is not."""
    _, stranger = key_with(ALL_PERMISSIONS, other)
    response = call(stranger, route, route.path(ids))
    if not route.variables:
        assert owner.public_id not in response.content.decode()
        assert "The Owner" not in response.content.decode()
        return
    last = route.variables[-1]
    found = refused(response, 404, response.json()["code"])
    absent = {**ids, last: f"{ids[last][:-4]}zzzz"}
    missing = refused(call(stranger, route, route.path(absent)), 404, found["code"])
    assert found["detail"].replace(ids[last], "…") == missing["detail"].replace(absent[last], "…")


@pytest.mark.django_db
@every_route
def test_the_right_key_gets_in_and_a_get_asks_aws_for_nothing(route: Route, aws_calls: list[str]) -> None:
    assert route.door is not None
    owner = make_tenant(external_id="CRM-42")  # as the examples say
    make_profile()
    handed_on = (route.door.request_example or {}).get("scopes", [])  # a key hands on only what it holds
    _, caller = key_with({route.door.scope, *handed_on})
    path = route.path({name: MAKERS[name](owner) for name in route.variables})
    aws_calls.clear()
    response = call(caller, route, path)
    assert response.status_code not in (401, 403, 404, 405, 500), response.content
    if route.method == "GET":
        assert response.status_code == route.door.status
        assert aws_calls == []
