"""The webhook pages: the secret is shown once, tests and replays are two clicks, and failures say what came back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from tests.support.receivers import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    from tests.support.receivers import receiving

    with receiving() as made:
        yield made


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    from celery import current_app

    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: None)


def add(client: Client, url: str, **fields: Any) -> tuple[str, str]:
    """Add a webhook on the page; the address of its page, and the secret that was shown."""
    response = client.post("/settings/webhooks/add/", {"url": url, **fields})
    assert response.status_code == 201, response.content
    page = response.content.decode()
    secret, path = re.search(r"whsec_[A-Za-z0-9+/=]+", page), re.search(r"/settings/webhooks/whe_\w+/", page)
    assert secret and path
    return path[0], secret[0]


def deliver() -> None:
    from events.webhooks.delivery import deliver_due

    deliver_due()


def test_add_test_and_see_what_the_receiver_said(sign_in: Callable[..., Client], receiver: Receiver) -> None:
    billing = sign_in("billing")
    receiver.body = b"<b>thanks</b>"
    path, secret = add(billing, receiver.url, description="ERP", events=["invoice.finalized"])
    assert secret not in billing.get(path).content.decode()
    response = billing.post(path + "test/", follow=True)
    assert "A test message is on its way." in response.content.decode()
    assert 'data-poll="' in response.content.decode()
    deliver()
    [message] = receiver.received
    assert message.is_signed_with(secret)
    page = billing.get(path).content.decode()
    assert "Delivered" in page and "&lt;b&gt;thanks&lt;/b&gt;" in page and "<b>thanks</b>" not in page
    assert 'data-poll="' not in page
    assert "Healthy" in billing.get("/settings/webhooks/").content.decode()

    replay = re.search(r"/settings/deliveries/whd_\w+/replay/", page)
    assert replay
    billing.post(replay[0])
    deliver()
    assert receiver.ids == [message.headers["webhook-id"]] * 2


def test_an_inner_address_is_refused_at_its_field(admin: Client) -> None:
    response = admin.post("/settings/webhooks/add/", {"url": "https://169.254.169.254/", "events": ["tenant.updated"]})
    page = response.content.decode()
    assert response.status_code == 422
    assert "is not on the public internet" in page and "webhook_invalid" in page
    assert "whsec_" not in page


def test_change_rotate_disable_enable_and_replay(
    admin: Client, receiver: Receiver, set_clock: Callable[[Any], None]
) -> None:
    from core import clock
    from events.models import WebhookEndpoint

    path, old = add(admin, "http://127.0.0.1:9/")
    changes = {"url": receiver.url, "description": "new", "events": ["webhook_endpoint.disabled"], "version": "1"}
    assert admin.post(path + "change/", changes).status_code == 302
    stale = admin.post(path + "change/", {**changes, "description": "stale"})
    assert stale.status_code == 412 and "changed meanwhile" in stale.content.decode()
    rotated = admin.post(path + "rotate/").content.decode()
    new = re.search(r"whsec_[A-Za-z0-9+/=]+", rotated)
    assert new and new[0] != old
    assert "signs beside the new one" in admin.get(path).content.decode()

    asked = admin.get(path + "disable/").content.decode()
    assert "0 waiting messages are cancelled" in asked
    admin.post(path + "disable/", {"reason": "moving"})
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.state, endpoint.description, endpoint.health) == ("disabled", "new", "disabled")
    page = admin.get(path).content.decode()
    assert "Enable…" in page and "Send test" not in page
    assert admin.post(path + "test/").status_code == 409
    admin.post(path + "enable/")
    begin, end = clock.now() - timedelta(hours=1), clock.now() + timedelta(minutes=2)
    span = {"start": f"{begin:%Y-%m-%dT%H:%M}", "end": f"{end:%Y-%m-%dT%H:%M}"}
    assert admin.post(path + "replay/", {**span, "end": span["start"]}).status_code == 422
    assert admin.post(path + "replay/", span).status_code == 302
    deliver()
    [message] = receiver.received
    assert b'"webhook_endpoint.disabled"' in message.body
    assert message.is_signed_with(new[0]) and message.is_signed_with(old)


def test_an_endpoint_that_disabled_itself_is_on_the_home_page(admin: Client, receiver: Receiver) -> None:
    receiver.status = 410
    path, _ = add(admin, receiver.url)
    admin.post(path + "test/")
    deliver()
    assert f"The webhook to {receiver.url} was disabled" in admin.get("/").content.decode()
    page = admin.get(path).content.decode()
    assert "410 Gone" in page and "Repair it, enable it, then replay" in page


def test_settings_opens_at_the_first_page_that_the_role_may_see(sign_in: Callable[..., Client]) -> None:
    for role, place in (("admin", "/settings/keys/"), ("billing", "/settings/webhooks/")):
        assert sign_in(role).get("/settings/")["Location"] == place
