"""Exports: the file says what the rows say, whoever dies on the way, and nobody gets another's."""

import csv
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from aws import connect
from billing.focus.mapping import COLUMNS
from billing.focus.validator import check_dataset
from billing.models import Export, Invoice
from billing.queries.exports import list_exports
from billing.services import exports
from billing.services.credits import issue_credit_note
from billing.services.invoicing import draft_invoices, finalize_invoices
from core import clock
from core.crashpoints import arm
from events.models import Event
from tests.factories import TESTER
from tests.integration.api.client import caller, refused

START, END = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def billed(aws, world, october) -> list[Invoice]:
    """Two invoices in two currencies, one of them with a credit note."""
    dollars = world.tenant(external_id="CRM-42", name="=Acme", tags={"env": "prod"})
    yen = world.tenant(tier="advanced", currency="JPY", invoice_language="ja", name="株式会社髙﨑商店")
    for tenant in (dollars, yen):
        world.use(tenant, "input_tokens", 30_000_001)
    drafts = draft_invoices(tenant_ids=[dollars.pk, yen.pk], period=october, actor=TESTER)
    final = finalize_invoices(invoice_ids=[draft.pk for draft in drafts], actor=TESTER)
    charged = final[0].lines.exclude(meter="").first()
    issue_credit_note(invoice_id=final[0].pk, amounts={charged.public_id: Decimal(1)}, reason="Outage", actor=TESTER)
    return final


def ask(dataset: str = "invoice-lines", format: str = "csv", **more: Any) -> Export:
    asked = {"tenant_id": None, "start": START, "end": END, "actor": TESTER, **more}
    return exports.request_export(dataset=dataset, format=format, **asked)


def made(export: Export) -> bytes:
    """The file that was put, after the figures were held against it."""
    export.refresh_from_db()
    assert (export.state, export.problem) == ("done", "")
    body = b"".join(exports.pieces(export))
    assert (len(body), hashlib.sha256(body).hexdigest()) == (export.size_bytes, export.sha256)
    return body


def rows_of(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))


def totals() -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for invoice in Invoice.objects.all():
        way = -1 if invoice.kind == "credit_note" else 1
        found[invoice.currency] = found.get(invoice.currency, Decimal(0)) + way * invoice.total
    return found


@pytest.mark.parametrize(
    ("dataset", "amount", "rows"),
    [("invoices", "total", 3), ("invoice-lines", "amount", 6), ("focus-1.2", "BilledCost", 8)],
)
def test_the_file_adds_up_to_its_documents(billed: list[Invoice], dataset: str, amount: str, rows: int) -> None:
    export = ask(dataset)
    assert exports.make_due_exports() == 1
    found = rows_of(made(export))
    currency = "BillingCurrency" if dataset == "focus-1.2" else "currency"
    summed: dict[str, Decimal] = {}
    for row in found:
        summed[row[currency]] = summed.get(row[currency], Decimal(0)) + Decimal(row[amount])
    assert summed == totals()
    assert {name: Decimal(sums["total"]) for name, sums in export.control_totals.items()} == totals()
    assert len(found) == export.row_count == rows
    if dataset == "focus-1.2":
        assert check_dataset(COLUMNS, found) == []
        assert {row["Tags"] for row in found} == {'{"env":"prod"}', "{}"}
    else:
        assert {row["tenant_name"] for row in found} == {"'=Acme", "株式会社髙﨑商店"}


def test_usage_and_the_audit_trail(billed: list[Invoice]) -> None:
    usage, events = ask("usage"), ask("events", "jsonl")
    assert exports.make_due_exports() == 2
    assert [(row["day"], row["quantity"]) for row in rows_of(made(usage))] == [("2026-10-07", "30000001")] * 2
    assert usage.control_totals == {"input_tokens": {"quantity": "60000002"}}
    told = [json.loads(line) for line in made(events).splitlines()]
    assert len(told) == events.row_count == Event.objects.filter(created_at__gte=START, created_at__lt=END).count() - 1
    assert "invoice.finalized" in {event["name"] for event in told}
    assert told[0]["before"] is None


def test_a_workbook_has_the_same_rows(billed: list[Invoice]) -> None:
    export = ask(format="xlsx")
    exports.make_due_exports()
    with zipfile.ZipFile(io.BytesIO(made(export))) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    assert sheet.count("<row ") == export.row_count + 1
    assert "<f>" not in sheet


def test_one_tenants_export_holds_nobody_elses(billed: list[Invoice]) -> None:
    export = ask("invoices", tenant_id=billed[1].tenant_id)
    exports.make_due_exports()
    assert {row["id"] for row in rows_of(made(export))} == {billed[1].public_id}


class Killed(BaseException):
    """As if the process had died."""


@pytest.mark.parametrize(
    "place", ["before export put", "after export put", "before export commit", "after export commit"]
)
def test_a_worker_that_dies_is_followed_by_another(billed: list[Invoice], place: str) -> None:
    export = ask()

    def die(name: str) -> None:
        if name == place:
            raise Killed

    arm(die)
    try:
        with pytest.raises(Killed):
            exports.make_due_exports()
    finally:
        arm(None)
    if place != "after export commit":
        assert exports.make_due_exports() == 0  # its lease still runs
        Export.objects.update(lease_until=clock.real_now() - timedelta(seconds=1))
        assert exports.make_due_exports() == 1
    body = made(export)
    assert len(rows_of(body)) == export.row_count == 6
    assert [found.key for found in connect.artifacts().list(f"exports/{export.public_id}/")] == [export.artifact_key]
    assert Event.objects.filter(name="export.ready").count() == 1


def test_a_worker_that_was_overtaken_writes_nothing(billed: list[Invoice]) -> None:
    export = ask()

    def overtake(name: str) -> None:
        if name == "before export commit":
            Export.objects.update(fence=99)

    arm(overtake)
    try:
        assert exports.make_due_exports() == 0
    finally:
        arm(None)
    export.refresh_from_db()
    assert (export.state, export.sha256) == ("running", "")


def test_what_always_dies_is_given_up_and_the_next_is_made(billed: list[Invoice]) -> None:
    bad, good = ask(), ask("invoices")
    Export.objects.filter(pk=bad.pk).update(attempts=exports.MOST_ATTEMPTS)
    assert exports.make_due_exports() == 1
    bad.refresh_from_db()
    assert (bad.state, bad.problem.startswith("Tried 3 times")) == ("failed", True)
    made(good)
    assert Event.objects.filter(name="export.failed", subject_ref=bad.public_id).exists()


def test_an_aws_that_fails_is_asked_again(billed: list[Invoice], aws) -> None:
    export = ask("invoices")
    aws.fault("server_error", operation="PutObject", times=20)
    assert exports.make_due_exports() == 0
    export.refresh_from_db()
    assert export.state == "running" and export.problem
    aws.clear_faults()
    Export.objects.update(lease_until=clock.real_now() - timedelta(seconds=1))
    assert exports.make_due_exports() == 1
    made(export)


def test_a_file_is_erased_after_a_week(billed: list[Invoice], set_clock) -> None:
    export = ask("invoices")
    exports.make_due_exports()
    made(export)
    assert exports.expire_exports() == 0
    set_clock(export.expires_at + timedelta(minutes=1))
    assert exports.expire_exports() == 1
    export.refresh_from_db()
    assert (export.state, export.row_count) == ("expired", 3)
    assert list(connect.artifacts().list("exports/")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"dataset": "invoices", "states": ["nonsense"]},
        {"dataset": "focus-1.2", "format": "xlsx"},
        {"dataset": "focus-1.2", "states": ["void"]},
        {"dataset": "usage", "states": ["paid"]},
        {"end": START},
        {"end": START + timedelta(days=367)},
    ],
)
def test_what_cannot_be_made_is_refused_at_once(world, wrong: dict[str, Any]) -> None:
    with pytest.raises(exports.InvalidExport):
        ask(**wrong)
    assert not Export.objects.exists()


def test_a_billing_system_exports(billed: list[Invoice]) -> None:
    erp = caller("exports.view", "exports.create")
    body = {"dataset": "invoice-lines", "format": "csv", "tenant": "ext:CRM-42", "start": "2026-10-01T00:00:00Z"}
    asked = erp.post("exports", {**body, "end": "2026-11-01T00:00:00Z"})
    assert asked.status_code == 202 and asked["Location"] == f"/api/v1/exports/{asked.json()['id']}"
    assert (asked.json()["state"], asked.json()["progress"]["percent"], asked.json()["download"]) == ("queued", 0, None)
    refused(erp.get(f"exports/{asked.json()['id']}/download"), 409, "export_not_ready")
    exports.make_due_exports()
    done = erp.get(f"exports/{asked.json()['id']}").json()
    assert (done["state"], done["available_actions"], done["progress"]["percent"]) == ("done", ["download"], 100)
    file = erp.get(f"exports/{done['id']}/download")
    content = b"".join(file.streaming_content)
    assert file["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"' == f'"{done["sha256"]}"'
    assert int(file["Content-Length"]) == len(content) == done["size_bytes"]
    assert [row["id"] for row in erp.get("exports").json()["data"]] == [done["id"]]


def test_the_audit_trail_needs_its_own_scope(world) -> None:
    body = {"dataset": "events", "format": "csv", "start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    without, auditor = caller("exports.view", "exports.create"), caller("exports.view", "exports.create", "audit.view")
    refused(without.post("exports", body), 403, "permission_missing")
    made = auditor.post("exports", body).json()
    refused(without.get(f"exports/{made['id']}"), 404, "not_found")
    assert without.get("exports").json()["data"] == []
    assert auditor.get(f"exports/{made['id']}").status_code == 200


def test_a_tenants_key_exports_its_own_and_sees_no_others(billed: list[Invoice]) -> None:
    everybodys, own = ask("invoices"), billed[0].tenant
    tenant = caller("exports.view", "exports.create", tenant_id=own.pk)
    refused(tenant.get(f"exports/{everybodys.public_id}"), 404, "not_found")
    body = {"dataset": "invoices", "format": "jsonl", "start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    asked = tenant.post("exports", body).json()
    assert asked["tenant"] == own.public_id
    refused(tenant.post("exports", {**body, "tenant": billed[1].tenant.public_id}), 404, "not_found")
    exports.make_due_exports()
    lines = made(Export.objects.get(public_id=asked["id"])).splitlines()
    assert {json.loads(line)["tenant"] for line in lines} == {own.public_id}
    assert [row.public_id for row in list_exports(tenant_ids=[own.pk], without=())] == [asked["id"]]


def test_listing_costs_the_same_however_many_there_are(world, django_assert_num_queries) -> None:
    erp = caller("exports.view")
    for _ in range(12):
        ask("invoices")
    erp.get("exports")
    with django_assert_num_queries(2):
        assert len(erp.get("exports").json()["data"]) == 12
