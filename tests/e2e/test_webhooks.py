"""Webhooks through real processes: the web server records, the worker is rung, sends, and dies without losing any."""

from __future__ import annotations

import json
import time

import pytest

from demo.client import wait_for
from tests.e2e.conftest import Product
from tests.support.receivers import Receiver, receiving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EVENTS = 10
PROMPT_SECONDS = 5.0


def _create(product: Product, receiver: Receiver) -> tuple[str, str]:
    made = product.client.post("/webhooks", {"url": receiver.url, "events": ["tenant.signed_up"]})
    return str(made["id"]), str(made["secret"])


def _sign_up(product: Product, slug: str) -> str:
    return str(product.client.post("/tenants", {"name": slug, "slug": slug, "tier": "basic"})["id"])


def _told(receiver: Receiver) -> set[str]:
    return {str(json.loads(message.body)["data"]["id"]) for message in receiver.received}


@pytest.mark.long
def test_events_arrive_promptly_beside_an_endpoint_that_hangs_and_past_a_killed_worker(product: Product) -> None:
    with receiving() as receiver, receiving() as hanging:
        hanging.open.clear()
        _, secret = _create(product, receiver)
        silent, _ = _create(product, hanging)
        worst = 0.0
        for number in range(3):
            began = time.monotonic()
            tenant = _sign_up(product, f"hook-{number}")
            wait_for("the message", lambda tenant=tenant: tenant in _told(receiver), seconds=PROMPT_SECONDS)
            worst = max(worst, time.monotonic() - began)
        assert len(hanging.received) == 1, "it hangs at the first, and the others wait for it alone"
        assert all(message.is_signed_with(secret) for message in receiver.received)
        print(f"slowest of three messages beside a hanging endpoint: {worst:.2f} s")

        tenants = [_sign_up(product, f"hook-more-{number}") for number in range(EVENTS - 3)]
        product.stack.kill_worker()
        wait_for("all messages", lambda: _told(receiver) >= set(tenants), seconds=90)
        bodies = {(message.headers["webhook-id"], message.body) for message in receiver.received}
        assert len(bodies) == EVENTS, "what came twice came with the same id and the same bytes"
        product.client.post(f"/webhooks/{silent}/disable", {"reason": "the test is over"})
