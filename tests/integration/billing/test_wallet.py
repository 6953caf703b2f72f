"""Prepaid credit: granted once per payment, drawn when an invoice is finalized, never below zero."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from billing.models import CreditEntry, CreditGrant, Invoice
from billing.queries import content_is_unchanged, preview
from billing.services.invoicing import draft_invoices, finalize_invoices, void_invoice
from billing.services.late_usage import correct_late_usage
from billing.services.wallet import (
    CreditExhausted,
    InvalidGrant,
    ReferenceReused,
    expire_credits,
    grant_credit,
    refund_credit,
)
from core import clock
from events.models import Event
from tests.factories import TESTER

D = Decimal


@pytest.fixture
def tenant(world):
    """Owes 29.00 + 0.60 x 2 = 30.20 for October."""
    tenant = world.tenant()
    world.use(tenant, "input_tokens", 2_000_000)
    return tenant


def grant(tenant, amount: str, *, days: int | None = 90, reference: str = "PAY-1") -> CreditGrant:
    expires_at = None if days is None else clock.now() + timedelta(days=days)
    return grant_credit(
        tenant_id=tenant.pk, amount=D(amount), expires_at=expires_at, reference=reference, reason="prepaid",
        actor=TESTER,
    )  # fmt: skip


def invoice_of(tenant, october) -> Invoice:
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    return Invoice.objects.get(pk=draft.pk)


def left(*grants: CreditGrant) -> list[Decimal]:
    return [CreditGrant.objects.get(pk=each.pk).remaining for each in grants]


def test_what_expires_first_is_drawn_first_and_the_rest_is_due(world, tenant, october) -> None:
    for_ever, soon, later = (
        grant(tenant, "5", days=None, reference="c"),
        grant(tenant, "10", days=10, reference="a"),
        grant(tenant, "12", days=20, reference="b"),
    )
    invoice = invoice_of(tenant, october)
    assert left(soon, later, for_ever) == [D(0), D(0), D(0)]
    assert (invoice.total, invoice.prepaid, invoice.amount_due) == (D("30.20"), D(27), D("3.20"))
    drawn = [line.amount for line in invoice.lines.filter(kind="credit").order_by("position")]
    assert drawn == [D(-10), D(-12), D(-5)]
    assert sum(line.amount for line in invoice.lines.exclude(kind="credit")) == invoice.subtotal
    assert content_is_unchanged(invoice)


def test_a_draft_draws_nothing(world, tenant, october) -> None:
    given = grant(tenant, "100")
    draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    assert left(given) == [D(100)]
    assert not CreditEntry.objects.filter(kind="draw").exists()


def test_what_has_expired_is_not_drawn_and_is_written_off_once(world, tenant, october) -> None:
    given = grant(tenant, "10", days=1)
    world.set_clock(clock.now() + timedelta(days=2))
    assert invoice_of(tenant, october).prepaid == D(0)
    assert [each.pk for each in expire_credits()] == [given.pk]
    assert expire_credits() == []
    assert left(given) == [D(0)]
    assert Event.objects.filter(name="credit.expired").count() == 1


def test_a_void_invoice_gives_its_credit_back(world, tenant, october) -> None:
    given = grant(tenant, "10")
    invoice = invoice_of(tenant, october)
    void_invoice(invoice_id=invoice.pk, reason="wrong", actor=TESTER)
    assert left(given) == [D(10)]
    assert [(entry.kind, entry.amount) for entry in given.entries.order_by("pk")] == [
        ("grant", D(10)), ("draw", D(-10)), ("return", D(10)),
    ]  # fmt: skip
    assert invoice_of(tenant, october).prepaid == D(10)


def test_credit_that_expired_meanwhile_lives_on_as_long_as_it_had(world, tenant, october) -> None:
    given = grant(tenant, "10", days=5)
    invoice = invoice_of(tenant, october)
    world.set_clock(clock.now() + timedelta(days=30))
    void_invoice(invoice_id=invoice.pk, reason="wrong", actor=TESTER)
    successor = CreditGrant.objects.exclude(pk=given.pk).get()
    assert (left(given), successor.remaining) == ([D(0)], D(10))
    assert timedelta(days=4) < successor.expires_at - clock.now() <= timedelta(days=5)


def test_a_debit_note_is_paid_from_credit_too(world, tenant, october) -> None:
    invoice = invoice_of(tenant, october)
    given = grant(tenant, "10")
    world.use(tenant, "input_tokens", 4_000_000)
    note = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert note is not None and (note.total, note.prepaid) == (D("1.20"), D("1.20"))
    assert left(given) == [D("8.80")]


def test_one_payment_is_credited_once(world, tenant) -> None:
    first = grant(tenant, "10", days=None)
    assert grant(tenant, "10", days=None).pk == first.pk
    with pytest.raises(ReferenceReused):
        grant(tenant, "11", days=None)
    assert CreditEntry.objects.count() == 1


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN"])
def test_an_impossible_grant_is_refused(world, tenant, amount: str) -> None:
    with pytest.raises(InvalidGrant):
        grant(tenant, amount)
    assert not CreditGrant.objects.exists()


def test_a_refund_takes_no_more_than_is_left(world, tenant) -> None:
    given = grant(tenant, "10")
    refund_credit(grant_id=given.pk, amount=D(4), reason="leaves", actor=TESTER)
    with pytest.raises(CreditExhausted):
        refund_credit(grant_id=given.pk, amount=D("6.01"), reason="leaves", actor=TESTER)
    assert refund_credit(grant_id=given.pk, amount=None, reason="leaves", actor=TESTER).remaining == D(0)
    with pytest.raises(CreditExhausted):
        refund_credit(grant_id=given.pk, amount=None, reason="leaves", actor=TESTER)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_creditgrant SET remaining = 1000",
        "UPDATE billing_creditgrant SET amount = 1000",
        "DELETE FROM billing_creditgrant",
        "UPDATE billing_creditentry SET amount = 1000",
        "DELETE FROM billing_creditentry",
        "INSERT INTO billing_creditentry (public_id, created_at, kind, amount, reason, actor_name, grant_id, tenant_id)"
        " SELECT 'x', now(), 'refund', -11, '', '', id, tenant_id FROM billing_creditgrant",
    ],
)
def test_the_database_keeps_the_ledger(world, tenant, statement: str) -> None:
    given = grant(tenant, "10")
    with pytest.raises(DatabaseError), transaction.atomic():
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(statement)
    assert left(given) == [D(10)]


def test_credit_of_one_tenant_pays_for_no_other(world, tenant, october) -> None:
    other = world.tenant()
    given = grant(other, "100")
    assert invoice_of(tenant, october).prepaid == D(0)
    assert left(given) == [D(100)]
    with pytest.raises(DatabaseError, match="one tenant"), transaction.atomic():
        CreditEntry.objects.create(grant=given, tenant=tenant, kind="refund", amount=D(-1))


def test_a_preview_says_what_would_be_drawn_and_draws_nothing(world, tenant, october) -> None:
    first, second = grant(tenant, "20"), grant(tenant, "20", reference="PAY-2")
    seen = preview(tenant.pk, october)
    assert (seen.invoice.total, seen.invoice.prepaid, seen.invoice.amount_due) == (D("30.20"), D("30.20"), D(0))
    assert left(first, second) == [D(20), D(20)]
    refund_credit(grant_id=second.pk, amount=D(15), reason="asked", actor=TESTER)
    assert preview(tenant.pk, october).invoice.amount_due == D("5.20")
