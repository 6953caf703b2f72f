"""What the database itself refuses, whoever asks: raw SQL stands for the ORM, the admin and a slip at the console."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing.models import Invoice, InvoiceLine, InvoiceSequence, RateCard, TierPrice, UsageClaim
from billing.services.credits import issue_credit_note
from billing.services.documents import render
from billing.services.invoicing import draft_invoices, finalize_invoices, void_invoice
from tests.factories import TESTER

# Each must be refused; {invoice}, {line}, {claim} are the pks of a finalized invoice and its parts.
ON_A_FINALIZED_INVOICE = [
    "UPDATE billing_invoice SET total = 0, subtotal = 0, tax = 0 WHERE id = {invoice}",
    "UPDATE billing_invoice SET subtotal = subtotal + 1, total = total + 1 WHERE id = {invoice}",
    "UPDATE billing_invoice SET number = 'INV-1' WHERE id = {invoice}",
    "UPDATE billing_invoice SET number = NULL, state = 'draft', finalized_at = NULL WHERE id = {invoice}",
    "UPDATE billing_invoice SET content_sha256 = '' WHERE id = {invoice}",
    "UPDATE billing_invoice SET currency = 'JPY' WHERE id = {invoice}",
    "UPDATE billing_invoice SET period_end = period_end + interval '1 day' WHERE id = {invoice}",
    "UPDATE billing_invoice SET seller = '{{}}'::jsonb WHERE id = {invoice}",
    "UPDATE billing_invoice SET buyer = '{{}}'::jsonb WHERE id = {invoice}",
    "UPDATE billing_invoice SET taxes = '[1]'::jsonb WHERE id = {invoice}",
    "UPDATE billing_invoice SET finalized_at = now() WHERE id = {invoice}",
    "UPDATE billing_invoice SET due_on = due_on + 1 WHERE id = {invoice}",
    "UPDATE billing_invoice SET reason = 'other' WHERE id = {invoice}",
    "UPDATE billing_invoice SET tenant_id = tenant_id + 1 WHERE id = {invoice}",
    "UPDATE billing_invoice SET public_id = 'inv_x' WHERE id = {invoice}",
    "UPDATE billing_invoice SET language = 'ja' WHERE id = {invoice}",
    "UPDATE billing_invoice SET state = 'paid' WHERE id = {invoice}",
    "UPDATE billing_invoice SET paid_at = now() WHERE id = {invoice}",
    "DELETE FROM billing_invoice WHERE id = {invoice}",
    "UPDATE billing_invoiceline SET amount = amount + 1 WHERE id = {line}",
    "UPDATE billing_invoiceline SET description = 'x' WHERE id = {line}",
    "UPDATE billing_invoiceline SET explanation = '{{}}'::jsonb WHERE id = {line}",
    "DELETE FROM billing_invoiceline WHERE id = {line}",
    "UPDATE billing_usageclaim SET released_at = now() WHERE id = {claim}",
    "UPDATE billing_usageclaim SET invoice_id = invoice_id + 1 WHERE id = {claim}",
    "DELETE FROM billing_usageclaim WHERE id = {claim}",
    "UPDATE billing_invoicedocument SET body = 'x'",
    "DELETE FROM billing_invoicedocument",
    "UPDATE billing_invoicesequence SET last_number = 0",
    "DELETE FROM billing_invoicesequence",
    "UPDATE billing_ratecard SET currency = 'EUR' WHERE state = 'published'",
    "UPDATE billing_ratecard SET state = 'draft', published_at = NULL",
    "DELETE FROM billing_ratecard WHERE state = 'published'",
    "UPDATE billing_rate SET parameters = '{{\"amount\": \"1\"}}'::jsonb WHERE model = 'flat'",
    "DELETE FROM billing_rate",
    "UPDATE billing_tierprice SET rate_card_id = rate_card_id + 1",
    "UPDATE billing_tierprice SET effective = tstzrange('2026-01-01', NULL)",
    "DELETE FROM billing_tierprice",
    "UPDATE metering_sealedbucket SET quantity = 0",
    "DELETE FROM metering_seal",
]


@pytest.fixture
def invoice(world, october) -> Invoice:
    tenant = world.tenant()
    world.use(tenant, "input_tokens", 1_000_000)
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    [invoice] = finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    render(invoice_id=invoice.pk, format="csv")
    return invoice


def refused(statement: str) -> bool:
    """Whether a constraint or a trigger refused it; a statement with a mistake in it fails the test."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except IntegrityError:
        return True
    return False


def test_raw_sql_cannot_change_what_is_final(invoice: Invoice) -> None:
    ids = {"invoice": invoice.pk, "line": invoice.lines.first().pk, "claim": invoice.claims.first().pk}
    accepted = [statement for statement in ON_A_FINALIZED_INVOICE if not refused(statement.format(**ids))]
    assert accepted == []


def test_a_line_cannot_join_a_finalized_invoice(invoice: Invoice) -> None:
    line = invoice.lines.first()
    line.pk, line.public_id, line.position, line._state.adding = None, "il_new", 99, True
    with pytest.raises(DatabaseError, match="final"), transaction.atomic():
        line.save()
    assert InvoiceLine.objects.filter(invoice=invoice).count() == 2


def test_a_rate_cannot_join_a_published_card(invoice: Invoice) -> None:
    card = RateCard.objects.first()
    with pytest.raises(DatabaseError, match="never change"), transaction.atomic():
        card.rates.create(position=99, key="new", model="flat", parameters={"amount": "1"}, description="New")


def test_a_subtotal_that_is_not_the_sum_of_its_lines_is_not_finalized(world, october) -> None:
    tenant = world.tenant()
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    Invoice.objects.filter(pk=draft.pk).update(subtotal=1, total=1)
    with pytest.raises(DatabaseError, match="subtotal says"):
        finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    assert Invoice.objects.get(pk=draft.pk).state == "draft"
    assert not InvoiceSequence.objects.exists()


def test_a_seal_is_claimed_once(invoice: Invoice, world, october) -> None:
    claim = invoice.claims.get()
    other = world.tenant()
    [draft] = draft_invoices(tenant_ids=[other.pk], period=october, actor=TESTER)
    own = draft.claims.get()
    with pytest.raises(DatabaseError, match="usage_claim_seal_unique"), transaction.atomic():
        UsageClaim.objects.create(invoice=draft, tenant=other, seal=own.seal)
    void_invoice(invoice_id=invoice.pk, reason="its seal is free", actor=TESTER)
    for tenant in (invoice.tenant, other):
        with pytest.raises(DatabaseError, match="own tenant"), transaction.atomic():
            UsageClaim.objects.create(invoice=draft, tenant=tenant, seal=claim.seal)


def test_two_invoices_for_one_period_are_refused_by_the_database(invoice: Invoice) -> None:
    twin = Invoice.objects.get(pk=invoice.pk)
    twin.pk, twin.public_id, twin.state, twin.number, twin.finalized_at = None, "inv_twin", "draft", None, None
    twin._state.adding = True
    with pytest.raises(DatabaseError, match="invoice_period_once"), transaction.atomic():
        twin.save()


def test_two_prices_of_a_tier_at_one_time_are_refused(invoice: Invoice) -> None:
    price = TierPrice.objects.first()
    with pytest.raises(DatabaseError, match="tier_price_no_overlap"), transaction.atomic():
        TierPrice.objects.create(
            tier_version=price.tier_version,
            rate_card=price.rate_card,
            currency=price.currency,
            effective=price.effective,
        )


def test_a_price_is_in_the_currency_of_its_card(invoice: Invoice) -> None:
    price = TierPrice.objects.filter(currency="USD").first()
    with pytest.raises(DatabaseError), transaction.atomic():
        TierPrice.objects.create(
            tier_version=price.tier_version, rate_card=price.rate_card, currency="KWD", effective=price.effective
        )
        connection.check_constraints()


def test_void_and_credited_documents_are_final_too(invoice: Invoice) -> None:
    note = issue_credit_note(invoice_id=invoice.pk, amounts=None, reason="x", actor=TESTER)
    assert refused(f"UPDATE billing_invoice SET total = 0 WHERE id = {note.pk}")
    assert refused(f"UPDATE billing_invoice SET state = 'void', voided_at = now() WHERE id = {invoice.pk}")
    void_invoice(invoice_id=note.pk, reason="y", actor=TESTER)
    assert refused(f"UPDATE billing_invoice SET state = 'finalized', voided_at = NULL WHERE id = {note.pk}")
    assert refused(f"UPDATE billing_invoice SET void_reason = 'z' WHERE id = {note.pk}")
