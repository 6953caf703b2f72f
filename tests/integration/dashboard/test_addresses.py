"""Every address x every kind of visitor."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.roles import PERMISSIONS, Role
from events.models import Event
from tests.integration.dashboard.addresses import ALL, CHANGES_ONLY, READABLE
from tests.integration.dashboard.furniture import Furnished


def test_the_matrix_sees_the_dashboard() -> None:
    assert len(ALL) >= 44
    assert {address.name for address in ALL if address.permission is None} == {"logout"}


def test_a_stranger_is_sent_to_the_login_page(db: None) -> None:
    for address in ALL:
        path = address.with_ref("x")
        for response in (Client().get(path), Client().post(path)):
            if address.name == "logout":
                assert response.status_code in (302, 405)
                continue
            assert response.status_code == 302, path
            assert response["Location"].startswith(reverse("login")), path


def test_a_stranger_in_a_fragment_takes_the_whole_page_to_the_login(db: None) -> None:
    current = {"HX-Current-URL": "http://testserver/operations/"}
    response = Client().get(reverse("operation-list"), headers={"HX-Request": "true", **current})
    assert response.status_code == 200
    assert response["HX-Redirect"] == "/login/?next=/operations/"
    assert not response.content


@pytest.mark.parametrize("role", Role.values)
def test_roles_open_what_they_should_and_nothing_else(
    role: str, sign_in: Callable[..., Client], furnished: Furnished, aws_calls: list[str]
) -> None:
    client, refs = sign_in(role), furnished.refs()
    aws_calls.clear()
    for address in READABLE:
        response = client.get(address.path(refs))
        assert aws_calls == [], f"{address.name}: a link asks AWS for nothing"
        if address.permission in PERMISSIONS[role]:
            assert response.status_code in (200, 302), (role, address.name)
        else:
            assert response.status_code == 403, (role, address.name)
            assert b"permission_missing" in response.content
            assert b'aria-label="Main"' in response.content, "the navigation stays"


@pytest.mark.parametrize("role", Role.values)
def test_roles_change_nothing_that_they_may_not(
    role: str, sign_in: Callable[..., Client], furnished: Furnished
) -> None:
    client, refs = sign_in(role), furnished.refs()
    events = Event.objects.count()
    for address in ALL:
        if address.permission and address.permission not in PERMISSIONS[role]:
            assert client.post(address.path(refs), {"reason": "x", "typed": "acme"}).status_code == 403, address.name
    assert Event.objects.count() == events


def test_an_unknown_id_is_a_page_that_says_so(admin: Client) -> None:
    for address in READABLE:
        if "ref" not in address.variables:
            continue
        response = admin.get(address.with_ref("ten_zzz"))
        assert response.status_code == 404, address.name
        assert b"not_found" in response.content
        assert b'aria-label="Main"' in response.content


def test_a_form_without_its_token_changes_nothing(sign_in: Callable[..., Client], furnished: Furnished) -> None:
    client, refs = sign_in("admin", enforce_csrf_checks=True), furnished.refs()
    events = Event.objects.count()
    for address in ALL:
        response = client.post(address.path(refs), {"reason": "x", "typed": "acme"})
        assert response.status_code == 403, address.name
        assert b"csrf_failed" in response.content
    assert Event.objects.count() == events


def test_what_changes_something_does_not_answer_a_link(admin: Client, furnished: Furnished) -> None:
    refs = furnished.refs()
    for address in ALL:
        if address.name in CHANGES_ONLY:
            assert admin.get(address.path(refs)).status_code == 405, address.name


ODD: list[dict[str, Any]] = [
    {"q": "\0", "state": "\0", "tier": "\0", "cursor": ""},
    {
        "q": "'; DROP TABLE--" + "x" * 5000, "state": "nope", "tier": "nope", "range": "nope", "version": "nope",
        "to": "", "name": "%", "subject": "%00", "stuck": "maybe", "gone": "maybe", "language": "",
    },
]  # fmt: skip


@pytest.mark.parametrize("query", ODD, ids=["nul", "long and quoted"])
def test_odd_parameters_break_nothing(query: dict[str, Any], admin: Client, furnished: Furnished) -> None:
    refs = furnished.refs()
    for address in READABLE:
        assert admin.get(address.path(refs), query).status_code in (200, 302, 404), address.name


def test_a_made_up_cursor_is_refused_in_words(admin: Client, furnished: Furnished) -> None:
    lists = ("tenant-list", "adapter-list", "operation-list", "invoice-list", "key-list", "audit", "resource-list")
    for name in lists:
        for cursor in ("nonsense", "W10", "\0", "eyJ4IjoxfQ"):
            response = admin.get(reverse(name), {"cursor": cursor})
            assert response.status_code == 400, name
            assert b"invalid_cursor" in response.content
