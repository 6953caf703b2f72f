"""Signing in: once by a link, or by a password; and out."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.services import create_login_link, create_operator
from tests.factories import TESTER


@pytest.fixture
def yuki(db: None) -> User:
    return create_operator(name="yuki", role="operator", actor=TESTER)


def test_a_link_signs_in_once(yuki: User) -> None:
    path = reverse("login-link", args=[create_login_link(user_id=yuki.pk)])
    assert Client().head(path).status_code == 200, "a preview does not use it up"
    browser = Client()
    assert browser.get(path)["Location"] == "/"
    assert "yuki" in browser.get("/").content.decode()
    again = Client().get(path)
    assert again.status_code == 403
    assert "login_link_refused" in again.content.decode()
    assert "sessionid" not in again.cookies


def test_a_made_up_link_is_refused(db: None) -> None:
    assert Client().get(reverse("login-link", args=["x" * 43])).status_code == 403


def test_a_password_signs_in_and_a_wrong_one_does_not(yuki: User) -> None:
    yuki.set_password("correct horse battery")
    yuki.save()
    browser = Client()
    wrong = browser.post(reverse("login"), {"username": "yuki", "password": "guess"})
    assert wrong.status_code == 422
    assert 'role="alert"' in wrong.content.decode()
    assert "guess" not in wrong.content.decode()
    right = browser.post(reverse("login"), {"username": "yuki", "password": "correct horse battery"})
    assert right["Location"] == "/"


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "http:evil"])
def test_signing_in_never_leads_to_another_site(wanted: str, yuki: User) -> None:
    path = reverse("login-link", args=[create_login_link(user_id=yuki.pk)])
    assert Client().get(path, {"next": wanted})["Location"] == "/"


def test_signing_in_leads_back_to_where_one_was(yuki: User) -> None:
    path = reverse("login-link", args=[create_login_link(user_id=yuki.pk)])
    assert Client().get(path, {"next": "/tenants/?tier=basic"})["Location"] == "/tenants/?tier=basic"


def test_signing_out_ends_the_session(sign_in: Callable[..., Client]) -> None:
    browser = sign_in("viewer")
    assert browser.get("/").status_code == 200
    assert browser.get(reverse("logout")).status_code == 405, "a link cannot sign anybody out"
    browser.post(reverse("logout"))
    assert browser.get("/").status_code == 302


def test_somebody_put_out_of_service_sees_nothing(sign_in: Callable[..., Client]) -> None:
    browser = sign_in("admin")
    User.objects.update(is_active=False)
    assert browser.get("/").status_code == 302


def test_a_person_without_a_role_is_told_so_on_a_page(sign_in: Callable[..., Client]) -> None:
    response = sign_in("ml_engineer").get(reverse("audit"))
    assert response.status_code == 403
    assert "audit.view" in response.content.decode()
