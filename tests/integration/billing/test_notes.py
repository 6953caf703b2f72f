"""Credit notes and notes over late usage."""

from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from billing.models import Invoice, UsageClaim
from billing.queries import MeterCheck, content_is_unchanged, reconcile
from billing.services.credits import CreditExceeds, InvalidCredit, NotCorrectable, issue_credit_note
from billing.services.invoicing import HasNotes, draft_invoices, finalize_invoices, mark_paid, void_invoice
from billing.services.late_usage import correct_due_invoices, correct_late_usage
from events.models import Event
from tests.factories import TESTER

D = Decimal


@pytest.fixture
def invoice(world, october) -> Invoice:
    """JPY: 4,500 + 30 M x 90 = 2,700; tax 720; total 7,920."""
    tenant = world.tenant(currency="JPY")
    world.use(tenant, "input_tokens", 30_000_000)
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    [invoice] = finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    assert invoice.total == D(7920)
    return invoice


def credit(invoice: Invoice, amounts: dict[str, Decimal] | None = None) -> Invoice:
    return issue_credit_note(invoice_id=invoice.pk, amounts=amounts, reason="agreed", actor=TESTER)


def test_a_full_credit_clears_the_invoice_to_the_unit(invoice: Invoice) -> None:
    note = credit(invoice)
    assert (note.kind, note.state, note.number) == ("credit_note", "finalized", "CN-2026-000001")
    assert (note.subtotal, note.tax, note.total, note.corrects_id) == (D(7200), D(720), D(7920), invoice.pk)
    assert note.due_on is None and invoice.due_on is not None
    assert content_is_unchanged(Invoice.objects.get(pk=note.pk))
    assert Event.objects.filter(name="credit_note.issued").count() == 1
    with pytest.raises(CreditExceeds):
        credit(invoice)


def test_partial_credits_add_up_and_the_rest_clears_the_tax(invoice: Invoice) -> None:
    fee, tokens = invoice.lines.order_by("position")
    first = credit(invoice, {tokens.public_id: D(5)})
    second = credit(invoice, {tokens.public_id: D(5)})
    assert (first.tax, second.tax) == (D(1), D(1))  # 0.5 yen rounds up, twice
    rest = credit(invoice)
    assert [(line.corrects_line_id, line.amount) for line in rest.lines.order_by("position")] == [
        (fee.pk, D(4500)),
        (tokens.pk, D(2690)),
    ]
    assert first.total + second.total + rest.total == invoice.total


@pytest.mark.parametrize(
    ("amount", "error"),
    [(D(-1), InvalidCredit), (D("0.5"), InvalidCredit), (D("NaN"), InvalidCredit), (D(2701), CreditExceeds)],
)
def test_an_impossible_amount_changes_nothing(invoice: Invoice, amount: Decimal, error: type[Exception]) -> None:
    line = invoice.lines.get(meter="input_tokens")
    with pytest.raises(error):
        credit(invoice, {line.public_id: amount})
    assert Invoice.objects.count() == 1


def test_a_line_of_another_invoice_is_refused(invoice: Invoice) -> None:
    with pytest.raises(InvalidCredit) as refusal:
        credit(invoice, {"il_other": D(1)})
    assert refusal.value.errors[0].pointer == "/amounts/il_other"


def test_a_voided_note_can_be_replaced(invoice: Invoice) -> None:
    first = credit(invoice)
    void_invoice(invoice_id=first.pk, reason="wrong", actor=TESTER)
    assert credit(invoice).number == "CN-2026-000002"


def test_only_final_invoices_are_credited(invoice: Invoice, world, october) -> None:
    note = credit(invoice, {invoice.lines.first().public_id: D(1)})
    with pytest.raises(NotCorrectable):
        credit(note)
    [draft] = draft_invoices(tenant_ids=[world.tenant().pk], period=october, actor=TESTER)
    with pytest.raises(NotCorrectable):
        credit(draft)


def test_a_paid_invoice_can_be_credited(invoice: Invoice) -> None:
    mark_paid(invoice_id=invoice.pk, reference="bank", actor=TESTER)
    assert credit(invoice).total == D(7920)


def test_the_database_refuses_a_credit_beyond_the_invoice(invoice: Invoice) -> None:
    note = credit(invoice)
    with pytest.raises(DatabaseError, match="exceeds"), transaction.atomic():
        twin = Invoice.objects.get(pk=note.pk)
        twin.pk, twin.public_id, twin.number, twin.state, twin.finalized_at = None, "inv_twin", None, "draft", None
        twin._state.adding = True
        twin.save()
        for line in note.lines.all():
            line.pk, line.public_id, line.invoice, line._state.adding = None, f"il_{line.position}", twin, True
            line.save()
        Invoice.objects.filter(pk=twin.pk).update(state="finalized", number="CN-x", finalized_at=note.finalized_at)


def test_late_usage_becomes_a_debit_note_once(invoice: Invoice, world) -> None:
    world.use(invoice.tenant, "input_tokens", 32_000_000)
    world.use(invoice.tenant, "output_tokens", 1_000_000)
    seen = reconcile(invoice)
    assert (seen.state, seen.checks) == (
        "late_usage",
        (MeterCheck("input_tokens", 30_000_000, 30_000_000, 32_000_000),),
    )
    note = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert note is not None
    assert (note.kind, note.number, note.corrects_id) == ("debit_note", "DN-2026-000001", invoice.pk)
    assert [(line.description, line.quantity, line.amount) for line in note.lines.order_by("position")] == [
        ("Input tokens", D(2_000_000), D(180)),
        ("Output tokens", D(1_000_000), D(360)),
    ]
    assert (note.subtotal, note.tax, note.total) == (D(540), D(54), D(594))
    difference = note.lines.first().explanation
    assert difference["difference"] == {"billed": "2700", "now": "2880"}
    assert (difference["before"]["quantity"], difference["after"]["quantity"]) == ("30000000", "32000000")
    assert (reconcile(note).state, reconcile(invoice).state) == ("matched", "matched")
    assert correct_late_usage(invoice_id=invoice.pk, actor=TESTER) is None
    assert UsageClaim.objects.filter(tenant=invoice.tenant).count() == 2


def test_usage_that_shrinks_becomes_a_credit_note(invoice: Invoice, world) -> None:
    world.use(invoice.tenant, "input_tokens", 10_000_000)
    note = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert note is not None
    assert (note.kind, note.total) == ("credit_note", D(1980))
    world.use(invoice.tenant, "input_tokens", 11_000_000)
    second = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert second is not None
    assert (second.kind, second.total) == ("debit_note", D(99))


def test_late_usage_within_the_allowance_makes_no_note(world, october) -> None:
    tenant = world.tenant(tier="advanced")
    world.use(tenant, "input_tokens", 100)
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    world.use(tenant, "input_tokens", 200)
    assert correct_late_usage(invoice_id=draft.pk, actor=TESTER) is None
    assert Invoice.objects.count() == 1


def test_a_replaced_invoice_bills_late_usage_with_the_rest(invoice: Invoice, world, october) -> None:
    world.use(invoice.tenant, "input_tokens", 32_000_000)
    void_invoice(invoice_id=invoice.pk, reason="again", actor=TESTER)
    [draft] = draft_invoices(tenant_ids=[invoice.tenant_id], period=october, actor=TESTER)
    assert draft.lines.get(meter="input_tokens").amount == D(2880)
    assert draft.grace_until is None  # a person finalizes what replaces a void invoice


def test_usage_that_shrinks_below_what_was_credited_by_hand_waits_and_holds_up_nobody(
    invoice: Invoice, world, october
) -> None:
    other = world.tenant(currency="JPY")
    world.use(other, "input_tokens", 30_000_000)
    [draft] = draft_invoices(tenant_ids=[other.pk], period=october, actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    by_hand = credit(invoice)
    for tenant in (invoice.tenant, other):
        world.use(tenant, "input_tokens", 10_000_000)
    notes, waiting = correct_due_invoices()
    assert [note.corrects_id for note in notes] == [draft.pk]
    assert [(each.tenant, each.code) for each in waiting] == [(invoice.tenant.public_id, "credit_exceeds_invoice")]
    void_invoice(invoice_id=by_hand.pk, reason="the usage is credited instead", actor=TESTER)
    [note], _ = correct_due_invoices()
    assert (note.corrects_id, note.total) == (invoice.pk, D(1980))


def test_a_debit_note_of_which_something_was_given_back_is_not_voided(invoice: Invoice, world) -> None:
    world.use(invoice.tenant, "input_tokens", 60_000_000)
    debit = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert debit is not None
    credit(invoice)
    world.use(invoice.tenant, "input_tokens", 40_000_000)
    back = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert back is not None
    with pytest.raises(HasNotes):
        void_invoice(invoice_id=debit.pk, reason="no", actor=TESTER)
    void_invoice(invoice_id=back.pk, reason="first", actor=TESTER)
    assert void_invoice(invoice_id=debit.pk, reason="then", actor=TESTER).state == "void"


def test_a_note_that_a_person_voided_is_not_written_again_by_the_clock(invoice: Invoice, world) -> None:
    world.use(invoice.tenant, "input_tokens", 32_000_000)
    [note], _ = correct_due_invoices()
    void_invoice(invoice_id=note.pk, reason="we let them off", actor=TESTER)
    assert correct_due_invoices() == ([], [])
    again = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert again is not None and again.total == note.total
