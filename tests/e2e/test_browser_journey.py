"""One operator's day in a real browser: sign in, onboard, upload, watch it go live, roll back, open the invoice.

Every page is kept as a screenshot in var/screenshots, to be looked at. The browser must report no error: a strict
policy that blocks something, a failed script or a missing file ends the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from dataplane.config import tenant_key
from dataplane.kit import Kit
from demo.client import wait_for
from demo.clock import StoryClock, first_of_next_month
from demo.closing import SETTLES_AFTER
from demo.tenants import archive_of, files_of
from tests.e2e.conftest import ROOT, Product

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(420)]

SCREENSHOTS = ROOT / "var" / "screenshots"
PATIENCE_MS = 90_000
REQUESTS = 20
# Chromium notes every answer of 4xx; a form that comes back with what is wrong is meant to be one.
REFUSED_FORM = re.compile(r"the server responded with a status of (409|422)")


@pytest.fixture
def page(browser: Browser, product: Product) -> Iterator[Page]:
    """A window of somebody whose browser complains about nothing."""
    context = browser.new_context(
        base_url=product.url, viewport={"width": 1440, "height": 900}, reduced_motion="reduce"
    )
    window = context.new_page()
    complaints: list[str] = []
    window.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            if said.type in ("error", "warning") and not REFUSED_FORM.search(said.text)
            else None
        ),
    )
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.set_default_timeout(PATIENCE_MS)
    yield window
    context.close()
    assert complaints == []


@pytest.fixture
def keep(page: Page) -> Callable[[str], None]:
    """Keep what the window shows as a numbered picture."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    taken: list[Path] = []

    def take(name: str) -> None:
        taken.append(SCREENSHOTS / f"{len(taken) + 1:02}-{name}.png")
        page.screenshot(path=taken[-1], full_page=True, animations="disabled")

    return take


def sign_in(page: Page, product: Product, name: str) -> None:
    product.manage("create_operator", name, "--role", "admin")
    page.goto(product.manage("login_link", name))
    expect(page.get_by_role("heading", name="Home")).to_be_visible()


def upload(page: Page, files: dict[str, bytes] | bytes, notes: str) -> None:
    sent = {"upload.tar.gz": files} if isinstance(files, bytes) else files
    page.get_by_label("Adapter files").set_input_files(
        [{"name": name, "mimeType": "application/octet-stream", "buffer": body} for name, body in sent.items()]
    )
    page.get_by_label("Notes").fill(notes)
    page.get_by_role("button", name="Upload and check").click()


def answer(page: Page, button: str, reason: str) -> None:
    """Fill the dialog that is open and press the button that names the deed."""
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=button).click()


def wait_until_live(page: Page, version: str) -> None:
    heading = page.locator(".cp-title", has=page.get_by_role("heading", level=1))
    expect(heading.get_by_text(version, exact=True)).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("is going live")).to_have_count(0, timeout=PATIENCE_MS)


def serve(product: Product, tenant: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Send requests as the tenant's data plane does; the tokens that went in."""
    env = product.stack.env
    monkeypatch.setenv("AWS_ENDPOINT_URL", env["AWS_ENDPOINT_URL"])
    session = boto3.session.Session(
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )
    kit = Kit(tenant, tenant_key(env["CP_CONFIG_SIGNING_KEY"], tenant), env["CP_CONFIG_TABLE"], session=session)
    answers = [kit.complete("support-ja", "How do I return a book ?", 16) for _ in range(REQUESTS)]
    kit.flush()
    return sum(each.input_tokens for each in answers)


def test_an_operators_day(
    page: Page, product: Product, keep: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(page, product, "mika")
    keep("home")

    # onboard
    page.get_by_role("main").get_by_role("link", name="Onboard").first.click()
    page.get_by_label("Name").fill("Journey K.K.")
    page.get_by_label("Slug").fill("journey")
    page.locator("#tier-premium").check()
    page.get_by_label("External id").fill("CRM-7")
    keep("onboard")
    page.get_by_role("button", name="Onboard tenant").click()
    expect(page.get_by_role("heading", name="Journey K.K.", exact=True)).to_be_visible()
    expect(page.get_by_text("Journey K.K. is registered")).to_be_visible()
    expect(page.get_by_role("link", name="Onboard Journey K.K.")).to_be_visible(timeout=PATIENCE_MS)
    keep("provisioning")
    state = page.locator(".cp-title")
    expect(state.get_by_text("Active", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    expect(state.get_by_text("In sync", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    keep("active")

    # an adapter, its first version as an archive
    page.get_by_role("link", name="Add adapter").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Support JA")
    dialog.get_by_role("button", name="Add adapter").click()
    expect(dialog.get_by_role("alert")).to_contain_text("small letters")
    keep("refused-name")
    dialog.get_by_label("Name").fill("support-ja")
    dialog.get_by_role("button", name="Add adapter").click()
    expect(page.get_by_role("heading", name="Upload a version of support-ja")).to_be_visible()
    keep("upload")
    upload(page, archive_of("ok-r8-qv"), "first version")
    expect(page.get_by_role("heading", name="Accepted as v1")).to_be_visible()
    keep("accepted")
    page.get_by_role("link", name="Release…").click()
    answer(page, "Release v1", "first version")
    wait_until_live(page, "v1")
    keep("live")

    # a bad upload says why, and what serves stays
    page.get_by_role("link", name="Upload version").click()
    upload(page, files_of("bad-dora"), "does this work?")
    expect(page.get_by_role("heading", name="Refused", exact=True)).to_be_visible()
    expect(page.get_by_text("dora_unsupported")).to_be_visible()
    keep("refused-upload")

    # a second version, then back
    page.get_by_role("link", name="Upload again").click()
    upload(page, files_of("ok-r16-all"), "wider")
    expect(page.get_by_role("heading", name="Accepted as v2")).to_be_visible()
    page.get_by_role("link", name="Release…").click()
    answer(page, "Release v2", "wider adapter")
    wait_until_live(page, "v2")
    page.get_by_role("link", name="Roll back…").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("still warm in AWS")
    keep("roll-back")
    answer(page, "Roll back to v1", "wrong tone")
    wait_until_live(page, "v1")
    expect(page.locator("svg[role=img] text.on-live")).to_have_text("v1")
    page.get_by_text("Every decision: who, when, why").click()
    expect(page.get_by_role("cell", name="wrong tone").first).to_be_visible()
    keep("rolled-back")

    # every operation ended well
    page.get_by_role("link", name="Operations").first.click()
    expect(page.get_by_role("table")).to_contain_text("Journey K.K.")
    keep("operations")

    # requests become tokens, tokens an invoice
    tokens = serve(product, product.client.get("/tenants/journey")["id"], monkeypatch)
    clock = StoryClock(product.aws, Path(product.stack.env["CP_TEST_CLOCK_FILE"]))
    month = clock.now()
    clock.move_to(month + timedelta(minutes=80))
    page.goto("/tenants/journey/usage/")
    wait_for("the tokens being counted", lambda: _shows(page, f"{tokens:,}"), seconds=60)
    keep("usage")
    clock.move_to(first_of_next_month(month) + SETTLES_AFTER)
    page.goto("/tenants/journey/invoices/")
    page.get_by_role("link", name="Draft a month…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Month").select_option(f"{month:%Y-%m}")
    wait_for("the month's usage being settled", lambda: _drafted(page), seconds=90, every=1.0)
    expect(page.get_by_text("A draft, not a legal invoice")).to_be_visible()
    keep("draft")
    page.get_by_role("link", name="Finalize…").click()
    page.get_by_role("dialog").get_by_role("button", name="Finalize invoice").click()
    expect(page.get_by_role("heading", name=re.compile(r"^INV-\d{4}-\d{6}$"))).to_be_visible()
    expect(page.get_by_text("Lines = buckets")).to_be_visible()
    keep("invoice")
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF", exact=True).click()
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")
    page.get_by_role("row", name="Input tokens").get_by_role("link", name="why").click()
    expect(page.get_by_text(f"{tokens:,} input_tokens")).to_be_visible()
    page.locator("details.day summary").first.click()
    expect(page.get_by_text("ControlPlane/DataPlane InputTokens").first).to_be_visible()
    keep("why")


def _shows(page: Page, words: str) -> bool:
    page.reload()
    return page.get_by_text(words).count() > 0


def _drafted(page: Page) -> bool:
    """Press the button; the dialog says which hours are still open, or gives way to the draft."""
    if page.get_by_role("dialog").count() == 0:
        return True
    with page.expect_response(re.compile("/billing/draft/")) as answered:
        page.get_by_role("dialog").get_by_role("button", name="Draft invoice").click()
    return answered.value.status == 200


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390, 320])
def test_every_list_fits_the_window(
    theme: str, width: int, browser: Browser, product: Product, signed_in: Callable[[str], StorageState]
) -> None:
    context = browser.new_context(
        base_url=product.url,
        storage_state=signed_in("admin"),
        viewport={"width": width, "height": 800},
        color_scheme="dark" if theme == "dark" else "light",
    )
    window = context.new_page()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for name in ("", "tenants", "onboard", "adapters", "operations", "operations/resources", "usage", "billing"):
        window.goto(f"/{name}/" if name else "/")
        assert window.evaluate("document.documentElement.dataset.bsTheme") == theme
        assert window.evaluate("document.documentElement.scrollWidth") <= width, name
        window.screenshot(path=SCREENSHOTS / f"{theme}-{width}-{name.replace('/', '-') or 'home'}.png", full_page=True)
    context.close()


def test_the_menu_opens_on_a_narrow_screen_and_the_theme_is_kept(
    browser: Browser, product: Product, signed_in: Callable[[str], StorageState]
) -> None:
    context = browser.new_context(
        base_url=product.url,
        storage_state=signed_in("viewer"),
        viewport={"width": 390, "height": 800},
        color_scheme="light",
    )
    window = context.new_page()
    window.goto("/")
    expect(window.get_by_role("link", name="Tenants")).to_be_hidden()
    window.get_by_role("button", name="Menu").click()
    window.get_by_role("link", name="Tenants").click()
    expect(window.get_by_role("heading", name="Tenants")).to_be_visible()
    window.get_by_role("button", name="Switch between light and dark").click()
    window.reload()
    assert window.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    window.keyboard.press("/")
    assert window.evaluate("document.activeElement.id") == "search-field"
    context.close()
