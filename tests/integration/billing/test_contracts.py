"""Discounts, taxes by country, adjustments: what is agreed with one tenant beside its card."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from billing.models import Adjustment, Discount, Invoice, RateCard, TierPrice
from billing.queries import content_is_unchanged
from billing.queries.issuers import the_issuer
from billing.services.adjustments import InvalidAdjustment, NotADraft, adjust_draft, remove_adjustment
from billing.services.credits import CreditExceeds, issue_credit_note
from billing.services.discounts import DiscountDetails, DiscountEnded, InvalidDiscount, agree_discount, end_discount
from billing.services.invoicing import NegativeTotal, draft_invoices, finalize_invoices, refresh_drafts
from billing.services.late_usage import correct_due_invoices, correct_late_usage
from billing.services.outdated import DraftOutdated
from billing.services.rate_cards import PriceInThePast, price_tier
from billing.services.taxes import InvalidTax, StaleProfile, TaxDetails, define_tax, set_tax_profile
from core import clock
from metering.services.sealing import seal_usage
from tests.factories import TESTER

D = Decimal
AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
MILLION = 1_000_000


@pytest.fixture
def tenant(world):
    """Owes 29.00 + 0.60 x 10 = 35.00."""
    tenant = world.tenant()
    world.use(tenant, "input_tokens", 10 * MILLION)
    return tenant


def discount(tenant, kind: str, value: str, **details) -> Discount:
    terms = DiscountDetails(**({"name": "Off", "kind": kind, "value": D(value), "starts_at": AUGUST} | details))
    return agree_discount(tenant_id=tenant.pk, details=terms, reason="agreed", actor=TESTER)


def draft_of(tenant, october) -> Invoice:
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    return draft


def final(tenant, october) -> Invoice:
    [invoice] = finalize_invoices(invoice_ids=[draft_of(tenant, october).pk], actor=TESTER)
    return Invoice.objects.get(pk=invoice.pk)


def off(invoice: Invoice) -> list[Decimal]:
    return [line.amount for line in invoice.lines.filter(kind="discount").order_by("position")]


def test_discounts_follow_each_other_and_stop_at_nothing(tenant, october) -> None:
    discount(tenant, "percent", "10")
    discount(tenant, "fixed", "1.50", meters=["input_tokens"])
    discount(tenant, "fixed", "1000")
    invoice = final(tenant, october)
    assert off(invoice) == [D("-3.50"), D("-1.50"), D("-30.00")]
    assert invoice.total == D(0)


def test_a_discount_of_half_the_month_takes_half(tenant, october) -> None:
    middle = october.start + (october.end - october.start) / 2
    discount(tenant, "percent", "10", starts_at=middle)
    discount(tenant, "fixed", "10", ends_at=middle, rate_keys=["platform-fee"])
    # 5 % of 29.00 and of 6.00, 1.75 together; then half of 10.00
    assert off(draft_of(tenant, october)) == [D("-1.75"), D("-5.00")]


def test_a_discount_that_ended_takes_nothing_and_only_ends_once(world, tenant, october) -> None:
    given = discount(tenant, "percent", "50", starts_at=october.end)
    assert off(draft_of(tenant, october)) == []
    ended = end_discount(discount_id=given.pk, ends_at=clock.now() + timedelta(days=3), reason="over", actor=TESTER)
    assert ended.version == 2
    for when in (clock.now() - timedelta(days=1), clock.now() + timedelta(days=9)):
        with pytest.raises(DiscountEnded):
            end_discount(discount_id=given.pk, ends_at=when, reason="over", actor=TESTER)
    with pytest.raises(DatabaseError, match="earlier end"), transaction.atomic():
        Discount.objects.filter(pk=given.pk).update(value=99)


@pytest.mark.parametrize(
    ("kind", "value", "details", "pointer"),
    [
        ("percent", "0", {}, "/value"),
        ("percent", "101", {}, "/value"),
        ("fixed", "0.001", {}, "/value"),
        ("half", "1", {}, "/kind"),
        ("percent", "1", {"meters": ["smiles"]}, "/meters"),
        ("percent", "1", {"ends_at": AUGUST}, "/ends_at"),
    ],
)
def test_an_impossible_discount_is_named(tenant, kind, value, details, pointer) -> None:
    with pytest.raises(InvalidDiscount) as refusal:
        discount(tenant, kind, value, **details)
    assert pointer in [error.pointer for error in refusal.value.errors]
    assert not Discount.objects.exists()


def test_a_full_credit_gives_back_the_net_and_a_part_no_more_than_it(tenant, october) -> None:
    discount(tenant, "percent", "50")
    invoice = final(tenant, october)
    fee = invoice.lines.get(kind="flat")
    with pytest.raises(CreditExceeds, match="net of discounts"):
        issue_credit_note(invoice_id=invoice.pk, amounts={fee.public_id: D(29)}, reason="too much", actor=TESTER)
    note = issue_credit_note(invoice_id=invoice.pk, amounts=None, reason="all", actor=TESTER)
    assert note.total == invoice.total == D("17.50")


def test_late_usage_is_discounted_as_the_invoice_was(world, tenant, october) -> None:
    discount(tenant, "percent", "10")
    invoice = final(tenant, october)
    discount(tenant, "percent", "50")  # agreed after the invoice: nothing of it changes
    world.use(tenant, "input_tokens", 20 * MILLION)
    note = correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    assert note is not None and (note.kind, note.total) == ("debit_note", D("5.40"))
    assert [line.amount for line in note.lines.order_by("position")] == [D(6), D("-0.60")]


def profile(tenant, country: str, *, number: str = "", exempt: str = "", version: int | None = None) -> None:
    set_tax_profile(
        tenant_id=tenant.pk, country=country, tax_number=number, exempt_reason=exempt, expected_version=version,
        actor=TESTER,
    )  # fmt: skip


def vat(**details) -> None:
    terms = TaxDetails(**({"name": "VAT", "rate": D("0.19"), "country": "DE", "reverse_charge": True} | details))
    define_tax(issuer_id=the_issuer().pk, details=terms, since=AUGUST)


def test_the_country_decides(tenant, october) -> None:
    vat()
    profile(tenant, "DE")
    invoice = final(tenant, october)
    assert (invoice.tax, invoice.total, invoice.buyer["country"]) == (D("6.65"), D("41.65"), "DE")
    assert content_is_unchanged(invoice)


def test_a_business_elsewhere_owes_the_tax_itself(tenant, october) -> None:
    vat()
    profile(tenant, "DE", number="DE123456789")
    invoice = final(tenant, october)
    [tax] = invoice.taxes
    assert (invoice.tax, tax["treatment"], tax["taxable"]) == (D(0), "reverse_charge", "35.00")
    assert "DE123456789" in tax["note"] and invoice.buyer["tax_number"] == "DE123456789"


def test_an_exempt_tenant_is_told_why(tenant, october) -> None:
    vat()
    profile(tenant, "DE", exempt="Article 151")
    [tax] = final(tenant, october).taxes
    assert (tax["treatment"], tax["note"], tax["amount"]) == ("exempt", "Article 151", "0.00")


def test_a_country_without_a_rule_has_no_tax_whatever_the_currency(world, october) -> None:
    yen = world.tenant(currency="JPY")
    profile(yen, "US")
    assert final(yen, october).taxes == []


def test_profiles_and_rules_are_checked(tenant) -> None:
    profile(tenant, "DE")
    with pytest.raises(StaleProfile):
        profile(tenant, "FR")
    profile(tenant, "FR", version=1)
    with pytest.raises(InvalidTax):
        profile(tenant, "France", version=2)
    for details in ({"rate": D(0)}, {"country": "de"}):
        with pytest.raises(InvalidTax):
            vat(**details)


def test_an_adjustment_stays_through_a_refresh_and_is_taxed(world, october) -> None:
    tenant = world.tenant(currency="JPY")
    draft = draft_of(tenant, october)
    made = adjust_draft(invoice_id=draft.pk, description="Goodwill", amount=D(-1000), reason="outage", actor=TESTER)
    after = Invoice.objects.get(pk=draft.pk)
    assert (after.subtotal, after.tax, after.version) == (D(3500), D(350), 2)
    world.use(tenant, "input_tokens", 10 * MILLION)
    [fresh] = refresh_drafts(invoice_ids=[draft.pk], actor=TESTER)
    assert (fresh.subtotal, fresh.tax) == (D(4400), D(440))
    line = fresh.lines.get(kind="adjustment")
    assert (line.amount, line.explanation["adjustment"]["reason"]) == (D(-1000), "outage")
    remove_adjustment(invoice_id=draft.pk, ref=made.public_id, reason="wrong", actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    closed = Invoice.objects.get(pk=draft.pk)
    assert (closed.subtotal, closed.lines.count()) == (D(5400), 2) and content_is_unchanged(closed)


def test_a_final_invoice_and_a_negative_one_are_not_adjusted(tenant, october) -> None:
    draft = draft_of(tenant, october)
    for amount in ("-35.01", "0", "0.001", "NaN"):
        with pytest.raises(InvalidAdjustment):
            adjust_draft(invoice_id=draft.pk, description="x", amount=D(amount), reason="x", actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    with pytest.raises(NotADraft):
        adjust_draft(invoice_id=draft.pk, description="x", amount=D(1), reason="x", actor=TESTER)
    with pytest.raises(DatabaseError, match="final"), transaction.atomic():
        Adjustment.objects.create(invoice=draft, description="x", reason="x", amount=1, actor_name="x")


def test_what_was_agreed_on_after_the_draft_is_on_the_invoice_or_it_is_not_closed(tenant, october) -> None:
    draft = draft_of(tenant, october)
    discount(tenant, "percent", "10", starts_at=october.end)  # of another period
    discount(tenant, "percent", "10")
    adjust_draft(invoice_id=draft.pk, description="x", amount=D("-1.00"), reason="x", actor=TESTER)

    def is_refused(because: str) -> None:
        with pytest.raises(DraftOutdated, match=because):
            finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
        refresh_drafts(invoice_ids=[draft.pk], actor=TESTER)

    is_refused("discount")
    define_tax(issuer_id=the_issuer().pk, details=TaxDetails(name="USt", rate=D("0.19"), country="DE"), since=AUGUST)
    set_tax_profile(
        tenant_id=tenant.pk, country="DE", tax_number="", exempt_reason="", expected_version=None, actor=TESTER
    )
    is_refused("taxes")
    discount(tenant, "fixed", "5.00", meters=["requests"])  # the draft's words stay the same
    is_refused("discount")
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    closed = Invoice.objects.get(pk=draft.pk)
    assert (closed.subtotal, closed.tax, off(closed)) == (D("30.50"), D("5.80"), [D("-3.50")])
    assert correct_late_usage(invoice_id=draft.pk, actor=TESTER) is None


def test_a_draft_that_shrank_below_zero_is_not_finalized(world, tenant, october) -> None:
    draft = draft_of(tenant, october)
    adjust_draft(invoice_id=draft.pk, description="x", amount=D("-34.00"), reason="x", actor=TESTER)
    world.use(tenant, "input_tokens", 1)
    refresh_drafts(invoice_ids=[draft.pk], actor=TESTER)
    with pytest.raises(NegativeTotal):
        finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    assert Invoice.objects.get(pk=draft.pk).number is None


def test_the_sweep_writes_each_late_note_once(world, tenant, october) -> None:
    other = world.tenant()
    first, second = final(tenant, october), final(other, october)
    assert correct_due_invoices() == ([], [])
    world.use(tenant, "input_tokens", 20 * MILLION)
    world.use(other, "output_tokens", MILLION)
    notes, waiting = correct_due_invoices()
    assert {note.corrects_id for note in notes} == {first.pk, second.pk} and waiting == []
    assert correct_due_invoices() == ([], [])


def test_a_sweep_that_died_between_sealing_and_its_note_is_repeated(world, tenant, october) -> None:
    invoice = final(tenant, october)
    world.use(tenant, "input_tokens", 20 * MILLION)
    seal_usage(tenant_ids=[tenant.pk], period_start=october.start, period_end=october.end, actor=TESTER)
    [note], _ = correct_due_invoices()
    assert (note.corrects_id, note.total) == (invoice.pk, D(6))


def test_prices_are_not_scheduled_into_what_is_drafted(tenant, october) -> None:
    draft = draft_of(tenant, october)
    version = TierPrice.objects.get(rate_card__name="Basic", currency="USD").tier_version_id
    other = RateCard.objects.get(name="Advanced", currency="USD").pk
    middle = october.start + (october.end - october.start) / 2
    with pytest.raises(PriceInThePast):
        price_tier(tier_version_id=version, card_id=other, effective_from=middle, actor=TESTER)
    price_tier(tier_version_id=version, card_id=other, effective_from=october.end, actor=TESTER)
    assert finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)[0].total == D("35.00")
