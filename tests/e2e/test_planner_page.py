"""The planner in a real browser: a slider and its number say the same, and the verdict follows without a reload."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.e2e.conftest import Product

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def page(browser: Browser, product: Product, signed_in: Callable[[str], StorageState]) -> Iterator[Page]:
    """A signed-in window whose browser complains about nothing."""
    context = browser.new_context(base_url=product.url, storage_state=signed_in("operator"), reduced_motion="reduce")
    window = context.new_page()
    complaints: list[str] = []
    window.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    window.on("pageerror", lambda error: complaints.append(str(error)))
    yield window
    context.close()
    assert complaints == []


def test_a_slider_moves_its_number_and_the_verdict(page: Page) -> None:
    page.goto("/planner/")
    expect(page.locator(".verdict-words")).to_contain_text("At 0.95 requests per second")
    slider, number = page.get_by_label("Requests, slider"), page.locator("#in-requests_per_year")
    slider.focus()
    page.keyboard.press("End")
    expect(number).to_have_value("200000000")
    expect(page.locator(".verdict-words")).to_contain_text("At 6.34 requests per second")
    number.fill("60000000")
    expect(slider).to_have_value("60000000")
    expect(page.locator(".verdict-more")).to_contain_text("on 2 × ml.g5.12xlarge")
    page.wait_for_url(re.compile("requests_per_year=60000000"))
    page.reload()
    expect(number).to_have_value("60000000")


def test_the_page_fits_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 800})
    for address in ("/planner/", "/planner/scenarios/", "/planner/catalogue/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, address
