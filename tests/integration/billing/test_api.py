"""The REST API as a billing system uses it: preview, draft, finalize, download, pay, credit, void."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.focus.mapping import COLUMNS
from billing.focus.validator import check_dataset
from billing.models import Invoice, InvoiceSequence, UsageClaim
from billing.services.invoicing import draft_invoices, finalize_invoices
from events.models import Event
from tests.factories import TESTER
from tests.integration.api.client import Caller, caller, refused

MONEY = {"amount": "30.20", "currency": "USD"}


@pytest.fixture
def tenant(world):
    tenant = world.tenant(external_id="CRM-42")
    world.use(tenant, "input_tokens", 2_000_000)
    return tenant


@pytest.fixture
def erp(tenant) -> Caller:
    return caller()


def draft(erp: Caller) -> dict:
    response = erp.post("invoices", {"tenant": "ext:CRM-42", "month": "2026-10"})
    assert response.status_code == 201, response.content
    assert response["Location"] == f"/api/v1/invoices/{response.json()['id']}"
    return response.json()


def finalize(erp: Caller) -> dict:
    made = draft(erp)
    response = erp.post(f"invoices/{made['id']}/finalize", {}, if_match=f'"v{made["version"]}"')
    assert response.status_code == 200, response.content
    return response.json()


def test_from_preview_to_paid(erp: Caller, tenant) -> None:
    preview = erp.get(f"tenants/{tenant.public_id}/invoice-preview?month=2026-10").json()
    assert (preview["content"]["id"], preview["content"]["total"]) == (None, "30.20")
    made = draft(erp)
    assert (made["state"], made["number"], made["total"]) == ("draft", None, MONEY)
    assert made["available_actions"] == ["refresh", "finalize"]
    assert made["lines"][1]["unit_price"] == {"amount": "0.6", "per": 1_000_000, "unit": "token"}
    agreed = made["reconciliation"]
    assert (agreed["state"], agreed["buckets"], len(agreed["seals"][0]["sha256"])) == ("matched", 1, 64)
    same = dict.fromkeys(("on_lines", "in_buckets", "at_source"), 2_000_000)
    assert agreed["checks"] == [{"meter": "input_tokens", **same, "is_matched": True}]
    done = erp.post(f"invoices/{made['id']}/finalize", {}, if_match=f'"v{made["version"]}"')
    assert (done.json()["number"], done.json()["state"]) == ("INV-2026-000001", "finalized")
    assert done["ETag"] == f'"v{done.json()["version"]}"'
    paid = erp.post("invoices/INV-2026-000001/mark-paid", {"reference": "SEPA-1"}).json()
    assert (paid["state"], paid["payment_reference"], paid["available_actions"]) == (
        "paid",
        "SEPA-1",
        ["create_credit_note"],
    )
    listed = erp.get("invoices?state=paid&tenant=ext:CRM-42&period_start__gte=2026-10-01T00:00:00Z").json()
    assert [row["id"] for row in listed["data"]] == [made["id"]]


def test_a_dry_run_says_what_would_come_and_writes_nothing(erp: Caller, tenant) -> None:
    made = draft(erp)
    at = f"invoices/{made['id']}"
    before = (Invoice.objects.values().get(), Event.objects.count())
    refused(erp.post(f"{at}/finalize?dry_run=true", {}, if_match='"v99"'), 412, "precondition_failed")
    shown = erp.post(f"{at}/finalize?dry_run=true", {}, if_match="*", idempotency_key=None)
    assert (shown.status_code, shown["Dry-Run"], "ETag" in shown) == (200, "true", False)
    assert (shown.json()["number"], shown.json()["state"]) == ("INV-2026-000001", "finalized")
    assert (Invoice.objects.values().get(), Event.objects.count()) == before
    assert not InvoiceSequence.objects.exists()
    done = finalize(erp)
    assert {name for name, said in done.items() if said != shown.json()[name]} <= {"finalized_at", "content_sha256"}

    before = (list(Invoice.objects.values()), Event.objects.count())
    everything = {"reason": "outage", "amounts": None}
    note = erp.post(f"{at}/credit-notes?dry_run=true", everything, idempotency_key=None)
    assert (note.status_code, "Location" in note) == (200, False)
    assert (note.json()["number"], note.json()["total"], len(note.json()["lines"])) == ("CN-2026-000001", MONEY, 2)
    line = made["lines"][1]["id"]
    too_much = {"reason": "more", "amounts": {line: "9.00"}}
    asked = [erp.post(f"{at}/credit-notes{query}", too_much) for query in ("?dry_run=true", "")]
    said = [refused(answer, 409, "credit_exceeds_invoice")["detail"] for answer in asked]
    assert said[0] == said[1]
    void = erp.post(f"{at}/void?dry_run=true", {"reason": "x"}, if_match="*").json()
    assert (void["state"], void["number"]) == ("void", "INV-2026-000001")
    assert (list(Invoice.objects.values()), Event.objects.count()) == before
    assert not UsageClaim.objects.exclude(released_at=None).exists()


def test_a_lost_reply_is_repeated_and_makes_nothing_twice(erp: Caller) -> None:
    body = {"tenant": "ext:CRM-42", "month": "2026-10"}
    first = erp.post("invoices", body, idempotency_key="one")
    again = erp.post("invoices", body, idempotency_key="one")
    assert (again.json(), again["Idempotency-Replayed"]) == (first.json(), "true")
    refused(erp.post("invoices", {**body, "month": "2026-09"}, idempotency_key="one"), 422, "idempotency_key_reused")
    refused(erp.post("invoices", body, idempotency_key=None), 400, "idempotency_key_missing")
    assert Invoice.objects.count() == 1


def test_finalizing_needs_the_version_that_was_seen(erp: Caller) -> None:
    made = draft(erp)
    refused(erp.post(f"invoices/{made['id']}/finalize", {}), 428, "precondition_required")
    refused(erp.post(f"invoices/{made['id']}/finalize", {}, if_match='"v99"'), 412, "precondition_failed")
    assert Invoice.objects.get().state == "draft"


def test_a_line_is_explained(erp: Caller) -> None:
    made = draft(erp)
    explained = erp.get(f"invoice-lines/{made['lines'][1]['id']}/explanation").json()
    assert (explained["charged"], explained["metered"], explained["is_matched"]) == (2_000_000, 2_000_000, True)
    [day] = explained["days"]
    assert day["buckets"][0]["query"].startswith("us-west-2 ControlPlane/DataPlane InputTokens{")
    assert explained["arithmetic"]["exact"] == "1.2"


def test_files_are_the_same_bytes_each_time(erp: Caller) -> None:
    finalize(erp)
    for language in ("en", "ja"):
        first = erp.get(f"invoices/INV-2026-000001/pdf?language={language}")
        assert first["Content-Type"] == "application/pdf" and first.content.startswith(b"%PDF")
        assert first["Content-Disposition"] == f'attachment; filename="INV-2026-000001-{language}.pdf"'
        again = erp.get(f"invoices/INV-2026-000001/pdf?language={language}")
        assert (again.content, again["ETag"]) == (first.content, first["ETag"])
    for format in ("xlsx", "json", "focus"):
        first = erp.get(f"invoices/INV-2026-000001/{format}")
        assert first.status_code == 200 and erp.get(f"invoices/INV-2026-000001/{format}").content == first.content
    focus = list(csv.DictReader(io.StringIO(erp.get("invoices/INV-2026-000001/focus").content.decode())))
    assert check_dataset(COLUMNS, focus) == []
    assert sum(Decimal(row["BilledCost"]) for row in focus) == Decimal("30.20")
    rows = list(csv.reader(io.StringIO(erp.get("invoices/INV-2026-000001/csv").content.decode("utf-8-sig"))))
    assert [row[5] for row in rows] == ["position", "1", "2", "total"]
    assert rows[-1][14] == "30.20"


def test_credit_and_void(erp: Caller) -> None:
    made = finalize(erp)
    line = made["lines"][1]["id"]
    note = erp.post(f"invoices/{made['id']}/credit-notes", {"reason": "outage", "amounts": {line: "0.20"}})
    assert note.status_code == 201, note.content
    assert (note.json()["kind"], note.json()["total"]["amount"]) == ("credit_note", "0.20")
    assert (note.json()["corrects"], note.json()["lines"][0]["corrects_line"]) == (made["id"], line)
    assert erp.get(f"invoices/{made['id']}").json()["notes"] == [note.json()["id"]]
    too_much = erp.post(f"invoices/{made['id']}/credit-notes", {"reason": "more", "amounts": {line: "1.01"}})
    refused(too_much, 409, "credit_exceeds_invoice")
    refused(erp.post(f"invoices/{made['id']}/void", {"reason": "x"}, if_match="*"), 409, "invoice_has_notes")
    erp.post(f"invoices/{note.json()['id']}/void", {"reason": "x"}, if_match="*")
    void = erp.post(f"invoices/{made['id']}/void", {"reason": "x"}, if_match="*").json()
    assert (void["state"], void["number"]) == ("void", "INV-2026-000001")
    assert draft(erp)["total"] == MONEY


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/tenant"),
        ({"tenant": "ext:CRM-42", "month": "2026-13"}, "/month"),
        ({"tenant": "ext:CRM-42", "month": 202610}, "/month"),
        ({"tenant": "ext:CRM-42", "month": "2026-10", "price": "1"}, "/price"),
    ],
)
def test_a_bad_draft_is_named(erp: Caller, body: dict, pointer: str) -> None:
    problem = refused(erp.post("invoices", body), 422, "invalid_body")
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("amount", ["-1", "abc", "0.001", None, 1.5, "9" * 50])
def test_a_bad_amount_to_credit_changes_nothing(erp: Caller, amount: object) -> None:
    made = finalize(erp)
    body = {"reason": "x", "amounts": {made["lines"][0]["id"]: amount}}
    assert erp.post(f"invoices/{made['id']}/credit-notes", body).status_code in (409, 422)
    assert Invoice.objects.count() == 1


def test_a_month_that_is_not_over_says_so(erp: Caller, world) -> None:
    problem = refused(erp.post("invoices", {"tenant": "ext:CRM-42", "month": "2026-11"}), 409, "usage_incomplete")
    assert problem["retryable"] is True


def test_another_tenants_key_sees_none_of_it(erp: Caller, world, october) -> None:
    made = finalize(erp)
    other = world.tenant()
    stranger = caller("invoices.view", tenant_id=other.pk)
    assert stranger.get("invoices").json()["data"] == []
    refused(stranger.get(f"invoices/{made['id']}"), 404, "not_found")
    refused(stranger.get(f"invoices/{made['id']}/pdf"), 404, "not_found")
    refused(stranger.get(f"invoice-lines/{made['lines'][0]['id']}/explanation"), 404, "not_found")
    [own] = finalize_invoices(
        invoice_ids=[i.pk for i in draft_invoices(tenant_ids=[other.pk], period=october, actor=TESTER)], actor=TESTER
    )
    assert [row["id"] for row in stranger.get("invoices").json()["data"]] == [own.public_id]


def test_usage_by_day(erp: Caller, tenant, world) -> None:
    world.use(tenant, "output_tokens", 7, at=datetime(2026, 10, 31, 23, tzinfo=UTC))
    usage = erp.get(f"tenants/{tenant.public_id}/usage?first_day=2026-10-01&last_day=2026-10-31").json()
    assert usage["totals"] == {"input_tokens": 2_000_000, "output_tokens": 7}
    assert [(row["day"], row["quantity"]) for row in usage["days"]] == [("2026-10-07", 2_000_000), ("2026-10-31", 7)]
    only = erp.get(f"tenants/{tenant.public_id}/usage?first_day=2026-10-31&last_day=2026-10-31&meter=requests").json()
    assert only["days"] == []
    refused(
        erp.get(f"tenants/{tenant.public_id}/usage?first_day=2026-10-02&last_day=2026-10-01"), 400, "invalid_parameter"
    )


def test_rate_cards_show_prices_and_tiers(erp: Caller) -> None:
    cards = erp.get("rate-cards?currency=USD").json()["data"]
    basic = next(card for card in cards if card["name"] == "Basic")
    assert basic["rates"][0]["parameters"] == {"amount": "29.00"}
    assert [(price["tier"], price["effective_until"]) for price in basic["prices"]] == [("basic", None)]
