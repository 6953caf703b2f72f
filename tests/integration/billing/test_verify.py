"""`manage.py verify --all`: quiet over a month of everything, and it names each thing that is broken by force."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from billing.models import Invoice
from billing.services.credits import issue_credit_note
from billing.services.invoicing import draft_invoices, finalize_invoices, mark_paid, void_invoice
from billing.services.late_usage import correct_late_usage
from billing.services.wallet import grant_credit
from controlplane.management.commands.verify import CHECKS
from provisioning.models import ManagedResource, ResourceInterval
from tests.factories import TESTER, make_tenant
from tests.integration.api.making import make_resource, make_version

D = Decimal
ONE = "(SELECT min(id) FROM billing_invoice WHERE state = 'finalized' AND kind = 'invoice')"
# What breaks a promise, by the name of its check; each runs with triggers, constraints and keys out of the way.
SABOTAGE = {
    "invoice_totals": f"UPDATE billing_invoice SET subtotal = subtotal + 1, total = total + 1 WHERE id = {ONE}",
    "line_rounding": "UPDATE billing_invoiceline SET amount = amount + 0.01 WHERE kind = 'flat'",
    "invoice_numbers": f"UPDATE billing_invoice SET number = 'INV-2026-000099' WHERE id = {ONE}",
    "invoice_content": f"UPDATE billing_invoice SET buyer = '{{}}' WHERE id = {ONE}",
    "invoice_periods": "UPDATE billing_invoice SET tenant_id = (SELECT min(tenant_id) FROM billing_invoice)",
    "invoice_events": "DELETE FROM events_event WHERE name = 'invoice.finalized'",
    "usage_claimed_once": "UPDATE billing_usageclaim SET seal_id = (SELECT min(seal_id) FROM billing_usageclaim)",
    "usage_billed_whole": "UPDATE metering_sealedday SET quantity = quantity + 1",
    "notes_within_invoice": "UPDATE billing_invoice SET subtotal = 9999, total = 9999 + tax WHERE kind = 'credit_note'",
    "credit_ledger": "UPDATE billing_creditgrant SET remaining = remaining + 1",
    "credit_drawn": "DELETE FROM billing_creditentry WHERE kind = 'draw'",
    "prices_one_at_a_time": "UPDATE billing_ratecard SET state = 'draft', published_at = NULL",
    "sealed_days": "UPDATE metering_sealedday SET quantity = quantity + 1",
    "sealed_once": "UPDATE metering_usagebucket SET sealed_quantity = sealed_quantity + 1",
}
SOME_RESOURCE = "id = (SELECT min(id) FROM provisioning_managedresource)"
# The same for usage that is being read and for what we made in AWS, over two resources of one tenant.
SABOTAGE_OF_RESOURCES = {
    "windows_alive": "UPDATE metering_collectionwindow SET due_at = '2026-10-01T00:00Z', state = 'waiting',"
    " fetched_at = NULL WHERE id = (SELECT min(id) FROM metering_collectionwindow)",
    "resource_names": "UPDATE provisioning_managedresource SET name = 'the-same'",
    "departed_own_nothing": "UPDATE tenants_tenant SET state = 'offboarded', offboarded_at = now()"
    " WHERE id IN (SELECT tenant_id FROM provisioning_managedresource)",
    "service_time": f"UPDATE provisioning_managedresource SET phase = 'gone' WHERE {SOME_RESOURCE}",
    "leases_end": "UPDATE provisioning_managedresource SET lease_owner = 'w', lease_until = now() + interval '2 hours'"
    f" WHERE {SOME_RESOURCE}",
    "resources_of_their_tenant": "UPDATE models_registry_adapter SET tenant_id = (SELECT max(id) FROM tenants_tenant)",
}


def verify(*arguments: str) -> dict[str, bool]:
    out = StringIO()
    with suppress(CommandError):
        call_command("verify", *(arguments or ("--all",)), "--json", stdout=out)
    return {check["check"]: check["holds"] for check in json.loads(out.getvalue())["checks"]}


@contextmanager
def without_guards() -> Iterator[None]:
    """Nothing of PostgreSQL's own guards: what a bug below them, or a bad restore, could do."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        yield
        cursor.execute("SET session_replication_role = DEFAULT")


@pytest.fixture
def month(world, october) -> None:
    """Two tenants with credit, a note over late usage, a partial credit, one paid and one replaced invoice."""
    first, second = world.tenant(), world.tenant(currency="JPY")
    for tenant in (first, second):
        world.use(tenant, "input_tokens", 12_345_678)
        world.use(tenant, "requests", 7, at=datetime(2026, 10, 9, 3, tzinfo=UTC))
        grant_credit(
            tenant_id=tenant.pk, amount=D(10), expires_at=None, reference="PAY", reason="prepaid", actor=TESTER
        )
    drafts = draft_invoices(tenant_ids=[first.pk, second.pk], period=october, actor=TESTER)
    invoices = finalize_invoices(invoice_ids=[draft.pk for draft in drafts], actor=TESTER)
    void_invoice(invoice_id=invoices[0].pk, reason="wrong", actor=TESTER)
    [again] = draft_invoices(tenant_ids=[first.pk], period=october, actor=TESTER)
    finalize_invoices(invoice_ids=[again.pk], actor=TESTER)
    world.use(first, "input_tokens", 20_000_000)
    correct_late_usage(invoice_id=again.pk, actor=TESTER)
    line = Invoice.objects.get(pk=invoices[1].pk).lines.get(kind="flat")
    issue_credit_note(invoice_id=invoices[1].pk, amounts={line.public_id: D(100)}, reason="part", actor=TESTER)
    third = world.tenant()
    [draft] = draft_invoices(tenant_ids=[third.pk], period=october, actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    mark_paid(invoice_id=draft.pk, reference="bank", actor=TESTER)


def test_a_month_of_everything_holds(month) -> None:
    found = verify()
    assert found == dict.fromkeys(found, True)
    assert set(found) == {check.name for check in CHECKS}


def test_each_promise_about_money_is_seen_when_it_is_broken(month) -> None:
    for name, statement in SABOTAGE.items():
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                if name == "invoice_periods":
                    cursor.execute("ALTER TABLE billing_invoice DROP CONSTRAINT invoice_period_once")
                if name == "usage_claimed_once":
                    cursor.execute("DROP INDEX usage_claim_seal_unique")
            with without_guards(), connection.cursor() as cursor:
                cursor.execute(statement)
                assert cursor.rowcount, name
            assert verify(name) == {name: False}, name
            transaction.set_rollback(True)
    assert verify() == dict.fromkeys(verify(), True)


def test_each_promise_about_usage_and_resources_is_seen_when_it_is_broken(month) -> None:
    tenant = make_tenant(slug="owner")
    first = make_resource(tenant)
    second = make_resource(tenant)
    ManagedResource.objects.filter(pk=second.pk).update(adapter_version=make_version(tenant), phase="ready")
    ResourceInterval.objects.create(resource=first, during=(datetime(2026, 10, 1, tzinfo=UTC), None))
    make_tenant(slug="the-newest")
    assert verify() == dict.fromkeys(verify(), True)
    for name, statement in SABOTAGE_OF_RESOURCES.items():
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                if name == "resource_names":
                    cursor.execute(
                        "ALTER TABLE provisioning_managedresource DROP CONSTRAINT resource_name_never_reused"
                    )
            with without_guards(), connection.cursor() as cursor:
                cursor.execute(statement)
                assert cursor.rowcount, name
            assert verify(name) == {name: False}, name
            transaction.set_rollback(True)
    assert set(SABOTAGE) | set(SABOTAGE_OF_RESOURCES) == {check.name for check in CHECKS}


def test_broken_exits_with_one_and_an_unknown_check_is_named(month) -> None:
    with without_guards(), connection.cursor() as cursor:
        cursor.execute(SABOTAGE["credit_ledger"])
    with pytest.raises(CommandError, match="1 of 1 checks"):
        call_command("verify", "credit_ledger", stdout=StringIO())
    with pytest.raises(CommandError, match="no check nonsense"):
        call_command("verify", "nonsense", stdout=StringIO())
