"""The playground: a real route of a provisioned tenant, its answer as it comes, counted like every other."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from local_stack.doctor import BROWSERS

if TYPE_CHECKING:
    from django.test import Client

    from local_stack.emulator import EmulatorClient
    from tenants.models import Tenant

NDJSON = "application/x-ndjson"
PROMPT = "図書館は 何時に 開きますか"
STREAM = "InvokeEndpointWithResponseStream"


def provision(aws: EmulatorClient) -> Tenant:
    """A tenant whose own base component is in service and published."""
    from core.actors import SYSTEM
    from provisioning.services.catalogue import seed_catalogue
    from tests.integration.provisioning.world import World

    seed_catalogue(actor=SYSTEM)
    world = World(aws)
    aws.delays(**{kind: {"seconds": 0} for kind in ("endpoint", "component", "update", "delete")})
    tenant = world.sign_up("acme", "advanced")
    world.settle(tenant)
    return tenant


@pytest.fixture
def tenant(db: None, aws: EmulatorClient) -> Tenant:
    return provision(aws)


def post(client: Client, tenant: Any, *, streamed: bool = False, **changes: Any) -> Any:
    from django.urls import reverse

    asked = {"route": "base", "prompt": PROMPT, "max_tokens": "12", **changes}
    headers = {"Accept": NDJSON} if streamed else {}
    return client.post(reverse("tenant-playground", args=[tenant.slug]), asked, headers=headers)


def lines_of(response: Any) -> tuple[list[str], str]:
    """The pieces of a streamed answer, and the fragment that ends it."""
    assert response["Content-Type"] == NDJSON
    assert response["Cache-Control"] == "no-store"
    found = [json.loads(line) for line in b"".join(response.streaming_content).decode().splitlines()]
    assert all(set(each) == {"text"} for each in found[:-1])
    return [each["text"] for each in found[:-1]], found[-1]["end"]


def facts(text: str) -> dict[str, str]:
    """What the list of facts says, by its names."""
    pairs = re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", text[text.index('id="playground-facts"') :])
    return {name: re.sub(r"<[^>]+>", "", value) for name, value in pairs}


def metered(tenant: Any, aws: EmulatorClient) -> dict[str, float]:
    """CloudWatch's own sums of the tenant's usage."""
    from aws import connect
    from aws.gateway import SeriesQuery

    now = int(aws.get("clock")["now"])
    dimensions = {"TenantId": tenant.public_id, "AdapterVersion": "base", "Line": "shared-endpoint"}
    queries = [
        SeriesQuery(
            id=metric.lower(),
            namespace="ControlPlane/DataPlane",
            metric=metric,
            dimensions=dimensions,
            period_seconds=60,
            statistic="Sum",
        )
        for metric in ("InputTokens", "OutputTokens", "Requests")
    ]
    start, end = (datetime.fromtimestamp(now - now % 60 + shift, UTC) for shift in (-600, 60))
    found = connect.metrics().read_series(queries, start, end).series
    return {query.metric: sum(value for _, value in found[query.id].points) for query in queries}


def go_away(response: Any) -> None:
    """What the server does when its reader is gone, without the test client's own end of a request."""
    close_body, *_ = response._resource_closers
    close_body()


def test_the_answer_comes_piece_by_piece_or_whole_and_is_metered(
    admin: Client, tenant: Tenant, aws: EmulatorClient
) -> None:
    pieces, end = lines_of(post(admin, tenant, streamed=True))
    assert len(pieces) == 12
    streamed = facts(end)
    assert streamed["Tokens in"] == "3"
    assert streamed["Tokens out"] == "12"
    assert streamed["Line"] == "shared-endpoint"
    assert streamed["Answered by"] == "the base model, without an adapter"
    assert re.fullmatch(r"[\d,]+ ms", streamed["First byte"])
    assert metered(tenant, aws) == {"InputTokens": 3, "OutputTokens": 12, "Requests": 1}

    page = post(admin, tenant).content.decode()
    assert "".join(pieces) in page
    assert {**facts(page), "First byte": "", "Until the end": ""} == {**streamed, "First byte": "", "Until the end": ""}
    assert "metered, and billed to Acme" in page
    assert streamed["Cost"] == "not priced"
    assert metered(tenant, aws) == {"InputTokens": 6, "OutputTokens": 24, "Requests": 2}


def test_the_cost_is_what_the_months_bill_grows_by(
    admin: Client, sign_in: Callable[..., Client], db: None, aws: EmulatorClient
) -> None:
    from billing.services.seeding import seed_rate_cards
    from core.actors import SYSTEM
    from provisioning.services.catalogue import seed_catalogue
    from tests.integration.provisioning.world import World

    seed_catalogue(actor=SYSTEM)
    seed_rate_cards(actor=SYSTEM)
    world = World(aws)
    world.take_looks(0)
    tenant = world.sign_up("acme", "advanced-api")
    world.settle(tenant)
    told = facts(post(admin, tenant).content.decode())
    # 3 tokens in at $4.50 and 12 out at $22.50 a million.
    assert (told["Line"], told["Cost"]) == ("strong-api", "$0.0002835 by Advanced Api 1")
    assert facts(lines_of(post(admin, tenant, streamed=True))[1])["Cost"] == told["Cost"]
    engineer = facts(post(sign_in("ml_engineer"), tenant).content.decode())
    assert engineer["Line"] == "strong-api" and "Cost" not in engineer


def test_what_goes_wrong_is_said_in_words_and_only_what_arrived_is_counted(
    admin: Client, tenant: Tenant, aws: EmulatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in ({"prompt": " "}, {"route": "other"}, {"max_tokens": "100000"}, {"prompt": "x" * 8001}):
        assert post(admin, tenant, **change).status_code == 422
        refused = post(admin, tenant, streamed=True, **change)
        assert refused.status_code == 422
        assert "Please look at this again" in lines_of(refused)[1]
    aws.fault("server_error", operation="GetItem", times=2)
    assert "config_unavailable" in lines_of(post(admin, tenant, streamed=True))[1]
    assert STREAM not in aws.calls()

    aws.fault("throttle", operation=STREAM, times=2)
    busy = post(admin, tenant, streamed=True)
    assert busy.status_code == 503
    said = lines_of(busy)[1]
    assert "The route did not answer" in said
    assert "ThrottlingException" in said
    assert "Try again in a moment" in said
    assert "model_unavailable" in post(admin, tenant).content.decode()
    assert metered(tenant, aws)["Requests"] == 0

    aws.post("inference", {"stream_fail_after_words": 5})
    pieces, end = lines_of(post(admin, tenant, streamed=True))
    assert len(pieces) == 5
    assert "This is not the whole answer" in end
    assert "StreamBroken" in end
    assert facts(end)["Tokens out"] == "5"
    assert metered(tenant, aws) == {"InputTokens": 3, "OutputTokens": 5, "Requests": 1}

    aws.post("inference", {"stream_fail_after_words": None})
    monkeypatch.setattr("dashboard.playground.MOST_SECONDS", 0.0)
    pieces, end = lines_of(post(admin, tenant, streamed=True))
    assert len(pieces) == 1
    assert "The time of the playground was up" in end


def test_a_reader_who_goes_away_is_counted_as_far_as_the_answer_came(
    admin: Client, tenant: Tenant, aws: EmulatorClient
) -> None:
    response = post(admin, tenant, streamed=True)
    lines = iter(response.streaming_content)
    for _ in range(4):
        next(lines)
    go_away(response)
    assert metered(tenant, aws) == {"InputTokens": 3, "OutputTokens": 4, "Requests": 1}
    go_away(post(admin, tenant, streamed=True))
    assert metered(tenant, aws)["Requests"] == 2, "gone before the first line: the first piece had come"


def test_who_may_use_it_and_what_it_says_without_a_route(
    sign_in: Callable[..., Client], tenant: Tenant, aws: EmulatorClient
) -> None:
    from django.urls import reverse

    from provisioning.services.converge import converge_tenant
    from tenants.services.lifecycle import suspend_tenant
    from tests.factories import TESTER

    for role in ("viewer", "billing"):
        client = sign_in(role)
        assert post(client, tenant).status_code == 403
        assert b"Playground" not in client.get(reverse("tenant-detail", args=[tenant.slug])).content
    engineer = sign_in("ml_engineer")
    assert b"Playground" in engineer.get(reverse("tenant-detail", args=[tenant.slug])).content
    assert b"<textarea" in engineer.get(reverse("tenant-playground", args=[tenant.slug])).content

    suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
    converge_tenant(tenant_id=tenant.pk)
    page = engineer.get(reverse("tenant-playground", args=[tenant.slug])).content.decode()
    assert "The tenant is suspended" in page
    assert "<textarea" not in page
    assert post(engineer, tenant).status_code == 422
    assert STREAM not in aws.calls()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium. While it is open this thread runs its event loop, and Django refuses the database."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        pytest.fail(missing) if os.environ.get("REQUIRE_BROWSER") else pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield chromium
        chromium.close()


@pytest.mark.browser
def test_a_browser_shows_the_answer_while_it_comes(
    transactional_db: None, aws: EmulatorClient, live_server: Any, sign_in: Callable[..., Client]
) -> None:
    tenant = provision(aws)
    cookie = sign_in("operator").cookies["sessionid"]
    aws.post("inference", {"words_per_second": 12, "stream_chunk_bytes": 11})
    with chromium() as browser:
        context = browser.new_context(base_url=live_server.url)
        context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": live_server.url}])
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"/tenants/{tenant.slug}/playground/")
        _try_it(page)
        context.close()
    assert [said for said in complaints if "status of 422" not in said] == []


def _try_it(page: Page) -> None:
    answer, facts_list = page.locator("#playground-answer"), page.locator("#playground-facts")
    page.get_by_label("Prompt").fill(PROMPT)
    page.get_by_label("Longest answer").fill("16")
    page.get_by_role("button", name="Send").click()
    expect(answer).to_contain_text(" ")
    expect(page.get_by_text("answering", exact=True)).to_be_visible()
    assert "Tokens out" not in facts_list.inner_text(), "the answer is still coming"
    expect(facts_list).to_contain_text("Tokens out", timeout=10_000)
    assert len(answer.inner_text().split()) == 16
    expect(page.get_by_text("answering", exact=True)).to_be_hidden()

    page.get_by_role("button", name="Send").click()
    expect(answer).to_contain_text(" ")
    page.get_by_role("button", name="Stop").click()
    expect(facts_list).to_contain_text("What had arrived is counted")
    assert len(answer.inner_text().split()) < 16

    page.get_by_label("Longest answer").fill("99999")
    page.get_by_role("button", name="Send").click()
    expect(facts_list.get_by_role("alert")).to_contain_text("Longest answer")
