"""An upload in parts from a real browser to the bucket: watched, cut, gone on with, and dropped."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, StorageState, expect

from demo.tenants import files_of
from tests.e2e.conftest import Product

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(300)]

PART_BYTES = 8 << 20
COMPANION = random.Random(1).randbytes(3 * PART_BYTES + 1000)
"""Something that uploads may hold and nobody keeps, large enough for several parts."""
BROKEN_LINE = re.compile(r"ERR_FAILED|status of (400|503)")
ACCEPTED = re.compile(r"Accepted as v\d")


@pytest.fixture
def page(browser: Browser, product: Product, signed_in: Callable[[str], StorageState]) -> Iterator[Page]:
    """A window of an engineer; it may complain about lines that the test itself breaks, and nothing else."""
    context = browser.new_context(base_url=product.url, storage_state=signed_in("ml_engineer"))
    window = context.new_page()
    complaints: list[str] = []
    window.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.set_default_timeout(60_000)
    yield window
    context.close()
    assert [each for each in complaints if not BROKEN_LINE.search(each)] == []


@pytest.fixture(scope="module")
def adapter(product: Product) -> str:
    """An adapter on the seeded base model."""
    tenant = product.client.post("/tenants", {"name": "Parts K.K.", "slug": "parts-kk", "tier": "premium"})
    body = {"tenant": tenant["id"], "name": "support", "foundation_model": "tiny-llama"}
    return str(product.client.post("/adapters", body)["id"])


def choose(page: Page, adapter: str) -> None:
    page.goto(f"/adapters/{adapter}/upload/")
    files = {**files_of("ok-r8-qv"), "tokenizer.json": COMPANION}
    page.get_by_label("Adapter files").set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": body} for name, body in files.items()]
    )


def is_part(url: str) -> bool:
    return "partNumber=" in url


def test_parts_go_to_the_bucket_and_are_gone_on_with(page: Page, product: Product, adapter: str) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if is_part(request.url) else None)
    failures = iter(["abort", "503"])

    def stumble(route: Route) -> None:
        """Two parts are lost on the way once."""
        how = next(failures, "")
        if how == "abort":
            route.abort()
        elif how:
            route.fulfill(status=503)
        else:
            route.continue_()

    page.route(is_part, stumble)
    choose(page, adapter)
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_text(ACCEPTED)).to_be_visible(timeout=60_000)
    assert all(url.startswith(product.stack.env["AWS_ENDPOINT_URL"]) for url in sent)
    assert len(sent) == 6 + 2, "six parts, and two of them a second time"


def test_what_has_arrived_is_not_sent_again(page: Page, adapter: str) -> None:
    """The bucket goes away after some parts; the page says so, and the next press goes on where it stopped."""
    arrived: list[str] = []

    def lose(route: Route) -> None:
        if len(arrived) < 3:
            arrived.append(route.request.url)
            route.continue_()
        else:
            route.fulfill(status=400)

    page.route(is_part, lose)
    choose(page, adapter)
    page.evaluate("() => { const real = window.setTimeout; window.setTimeout = (work, ms) => real(work, ms / 50); }")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("button", name="send it through this server instead")).to_be_visible(timeout=60_000)
    page.unroute(is_part)
    again: list[str] = []
    page.on("request", lambda request: again.append(request.url) if is_part(request.url) else None)
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_text(ACCEPTED)).to_be_visible(timeout=60_000)
    assert 1 <= len(again) <= 3


def test_cancelled_is_dropped(page: Page, product: Product, adapter: str) -> None:
    held: list[Route] = []
    page.route(is_part, lambda route: held.append(route))
    choose(page, adapter)
    page.get_by_role("button", name="Upload and check").click()
    expect(page.locator("progress")).to_be_visible()
    page.wait_for_timeout(300)
    uploads = product.client.get(f"/adapters/{adapter}/uploads")["data"]
    assert [upload["state"] for upload in uploads] == ["open"]
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", name="support")).to_be_visible()
    page.wait_for_timeout(300)
    assert product.client.get(f"/adapters/{adapter}/uploads")["data"] == []


def test_the_plain_form_still_works(
    browser: Browser, product: Product, adapter: str, signed_in: Callable[[str], StorageState]
) -> None:
    context = browser.new_context(
        base_url=product.url, storage_state=signed_in("ml_engineer"), java_script_enabled=False
    )
    page = context.new_page()
    choose(page, adapter)
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_text("The upload has arrived")).to_be_visible(timeout=60_000)
    context.close()
