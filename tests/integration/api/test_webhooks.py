"""Webhooks over REST: the secret is shown once, a tenant's key sees its own, and everything can be sent again."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app

from core import clock
from events.dispatch import dispatch_events
from events.webhooks.delivery import deliver_due
from tests.factories import make_tenant
from tests.integration.api.client import Caller, caller, refused
from tests.support.receivers import Receiver, receiving

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: None)


def create(by: Caller, url: str, **fields: Any) -> dict[str, Any]:
    response = by.post("webhooks", {"url": url, **fields})
    assert response.status_code == 201, response.content
    made: dict[str, Any] = response.json()
    assert response["Location"] == f"/api/v1/webhooks/{made['id']}"
    return made


def test_from_creating_to_a_signed_message_and_its_delivery(receiver: Receiver) -> None:
    billing = caller()
    made = create(billing, receiver.url, events=["invoice.finalized"], description="ERP")
    secret = made.pop("secret")
    assert (made["state"], made["health"], made["events"]) == ("active", "unused", ["invoice.finalized"])
    read = billing.get(f"webhooks/{made['id']}")
    assert read.json() == made
    assert secret not in read.content.decode() + billing.get("webhooks").content.decode()

    sent = billing.post(f"webhooks/{made['id']}/test")
    assert sent.status_code == 202
    assert sent.json()["state"] == "waiting"
    deliver_due()
    [message] = receiver.received
    assert message.is_signed_with(secret)
    detail = billing.get(sent["Location"]).json()
    assert (detail["state"], detail["last_status"], detail["attempt_count"]) == ("delivered", 200, 1)
    assert detail["body"].encode() == message.body
    assert [(each["status"], each["response"]) for each in detail["attempts"]] == [(200, "thank you")]
    [listed] = billing.get(f"webhooks/{made['id']}/deliveries?state=delivered").json()["data"]
    assert listed["event"] == message.headers["webhook-id"]
    assert billing.get(f"webhooks/{made['id']}/deliveries?state=failed").json()["data"] == []
    refused(billing.get(f"webhooks/{made['id']}/deliveries?state=nonsense"), 400, "invalid_parameter")
    assert billing.get(f"webhooks/{made['id']}").json()["health"] == "healthy"


def test_a_repeated_creation_keeps_no_secret(receiver: Receiver) -> None:
    body = {"url": receiver.url}
    first, second = (caller().post("webhooks", body, idempotency_key="same").json() for _ in range(2))
    assert first["id"] != second["id"]
    assert first["secret"] != second["secret"]


def test_all_that_is_wrong_with_an_endpoint_is_said_at_once() -> None:
    body = {"url": "https://10.0.0.1/", "events": ["invoice.finalized", "operator.created", "nothing.happened"]}
    problem = refused(caller().post("webhooks", body), 422, "webhook_invalid")
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [
        ("/url", "destination_refused"),
        ("/events", "unknown_event"),
        ("/events", "unknown_event"),
    ]
    assert caller().get("webhooks").json()["data"] == []


def test_a_change_needs_the_version_it_was_decided_on(receiver: Receiver) -> None:
    by = caller()
    made = create(by, receiver.url)
    path = f"webhooks/{made['id']}"
    etag = by.get(path)["ETag"]
    refused(by.patch(path, {"description": "x"}), 428, "precondition_required")
    changed = by.patch(path, {"description": "x", "events": ["invoice.paid"]}, if_match=etag)
    assert (changed.json()["description"], changed.json()["events"]) == ("x", ["invoice.paid"])
    refused(by.patch(path, {"description": "y"}, if_match=etag), 412, "precondition_failed")
    refused(by.patch(path, {"url": "http://example.com/"}, if_match="*"), 422, "webhook_invalid")
    refused(by.patch(path, {"tenant": None}, if_match="*"), 422, "invalid_body")


def test_a_rotation_shows_a_new_secret_and_both_sign(receiver: Receiver) -> None:
    by = caller()
    made = create(by, receiver.url)
    rotated = by.post(f"webhooks/{made['id']}/rotate-secret").json()
    assert rotated["secret"] != made["secret"]
    assert rotated["old_secret_until"] > rotated["created_at"]
    by.post(f"webhooks/{made['id']}/test")
    deliver_due()
    [message] = receiver.received
    assert message.is_signed_with(made["secret"]) and message.is_signed_with(rotated["secret"])


def test_what_was_missed_while_disabled_is_replayed(receiver: Receiver) -> None:
    by, tenant = caller(), make_tenant(external_id="CRM-42")
    made = create(by, receiver.url, events=["tenant.updated"], tenant="ext:CRM-42")
    assert made["tenant"] == tenant.public_id
    path = f"webhooks/{made['id']}"
    disabled = by.post(f"{path}/disable", {"reason": "moving"}).json()
    assert (disabled["state"], disabled["disabled_reason"]) == ("disabled", "by_hand")
    assert disabled["available_actions"] == ["update", "rotate_secret", "enable", "delete"]
    by.patch(f"tenants/{tenant.public_id}", {"name": "Renamed"}, if_match="*")
    dispatch_events()
    refused(by.post(f"{path}/test"), 409, "webhook_disabled")
    span = {"start": made["created_at"], "end": "2099-01-01T00:00:00Z"}
    refused(by.post(f"{path}/replay", span), 422, "replay_range_invalid")
    by.post(f"{path}/enable")
    span["end"] = (clock.now() + timedelta(seconds=1)).isoformat()
    assert by.post(f"{path}/replay", span).json() == {"events": 1}
    deliver_due()
    [message] = receiver.received
    assert json.loads(message.body)["type"] == "tenant.updated"
    [sent] = by.get(f"{path}/deliveries").json()["data"]
    assert by.post(f"{path}/deliveries/{sent['id']}/replay").status_code == 202
    deliver_due()
    assert receiver.ids == [sent["event"]] * 2


def test_a_tenants_key_makes_and_sees_endpoints_of_that_tenant_alone(receiver: Receiver) -> None:
    ours, theirs = make_tenant(), make_tenant()
    our_key = caller("webhooks.manage", tenant_id=ours.pk)
    made = create(our_key, receiver.url)
    assert made["tenant"] == ours.public_id
    refused(our_key.post("webhooks", {"url": receiver.url, "tenant": theirs.public_id}), 404, "not_found")
    of_operators = create(caller(), receiver.url)
    of_theirs = create(caller(), receiver.url, tenant=theirs.public_id)
    assert [each["id"] for each in our_key.get("webhooks").json()["data"]] == [made["id"]]
    for other in (of_operators, of_theirs):
        refused(our_key.get(f"webhooks/{other['id']}"), 404, "webhook_not_found")
        refused(our_key.post(f"webhooks/{other['id']}/rotate-secret"), 404, "webhook_not_found")
    everything = caller()
    assert len(everything.get("webhooks").json()["data"]) == 3
    [listed] = everything.get(f"webhooks?tenant={theirs.public_id}").json()["data"]
    assert listed["id"] == of_theirs["id"]
    sent = everything.post(f"webhooks/{of_theirs['id']}/test").json()
    refused(our_key.get(f"webhooks/{made['id']}/deliveries/{sent['id']}"), 404, "webhook_delivery_not_found")
