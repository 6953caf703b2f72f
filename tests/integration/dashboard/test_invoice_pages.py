"""Invoice and export pages: the same number of statements however many rows, and everything that they owe."""

import re

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import Export, Invoice
from billing.services.exports import request_export
from billing.services.invoicing import draft_invoices
from tests.factories import TESTER
from tests.integration.dashboard.furniture import Furnished
from tests.support.billing_world import OCTOBER, World


def statements(client: Client, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert client.get(path).status_code == 200
    return len(seen)


def test_a_longer_list_costs_no_more_statements(admin: Client, furnished: Furnished, set_clock) -> None:
    world = World(set_clock)
    path = reverse("invoice-list")
    few = statements(admin, path)
    tenants = [world.tenant(name=f"Tenant {number}") for number in range(4)]
    draft_invoices(tenant_ids=[tenant.pk for tenant in tenants], period=OCTOBER, actor=TESTER)
    assert Invoice.objects.count() >= 7
    assert statements(admin, path) == few
    for number in range(3):
        request_export(
            dataset="invoices", format="csv", tenant_id=tenants[number].pk, start=OCTOBER.start, end=OCTOBER.end,
            actor=TESTER,
        )  # fmt: skip
        if not number:
            one = statements(admin, reverse("export-list"))
    assert statements(admin, reverse("export-list")) == one


def test_the_list_is_filtered_and_added_up(admin: Client, furnished: Furnished) -> None:
    page = admin.get(reverse("invoice-list") + "?month=2026-10&q=acme&state=finalized").content.decode()
    assert "INV-2026-000001" in page and "Beta Inc." not in page
    assert re.search(r"USD, 2 closed", page)
    assert "No invoice is like that." in admin.get(reverse("invoice-list") + "?month=2026-01").content.decode()


def test_an_invoice_shows_its_chain_files_and_story(admin: Client, furnished: Furnished) -> None:
    page = admin.get(reverse("invoice-detail", args=[furnished.final.public_id])).content.decode()
    for words in (
        "Lines = buckets = source",
        "CN-2026-000001",
        "FOCUS 1.2",
        "日本語",
        "not handed out yet",
        "Timeline",
    ):
        assert words in page, words
    admin.get(reverse("invoice-document", args=[furnished.final.public_id, "csv"]))
    page = admin.get(reverse("invoice-detail", args=[furnished.final.public_id])).content.decode()
    assert page.count("not handed out yet") == 5
    now = admin.get(reverse("invoice-comparison", args=[furnished.final.public_id]) + "?with=now").content.decode()
    assert "Nothing differs" in now


def test_somebody_asks_for_an_export(sign_in, furnished: Furnished) -> None:
    billing = sign_in("billing")
    asked = {"dataset": "focus-1.2", "format": "xlsx", "first_month": "2026-10", "last_month": "2026-10", "tenant": ""}
    assert "comes as csv, jsonl" in billing.post(reverse("export-create"), asked).content.decode()
    billing.post(reverse("export-create"), {**asked, "format": "csv", "tenant": "acme"})
    export = Export.objects.latest("pk")
    assert (export.dataset, export.tenant_id, export.state) == ("focus-1.2", furnished.tenant.pk, "queued")
    page = billing.get(reverse("export-list")).content.decode()
    assert "<progress" in page and "data-poll" in page
    assert billing.get(reverse("export-download", args=[export.public_id])).status_code == 409
