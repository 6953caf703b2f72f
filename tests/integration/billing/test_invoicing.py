"""From usage to a finalized invoice, and what may happen to it afterwards."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.queries import content_is_unchanged, explain_line, get_invoice, preview, reconcile
from billing.queries.segments import NoRateCard, PeriodSpansMonths
from billing.services.credits import issue_credit_note
from billing.services.drafting import PeriodOverlaps
from billing.services.invoicing import (
    HasNotes,
    NothingToInvoice,
    draft_invoices,
    finalize_invoices,
    mark_paid,
    refresh_drafts,
    void_invoice,
)
from core.periods import Period
from core.states import IllegalMove
from events.models import Event
from metering.models import UsageGap
from tests.factories import TESTER

D = Decimal


def finalized(world, october, **details) -> Invoice:
    tenant = world.tenant(**details)
    world.use(tenant, "input_tokens", 18_059_974)
    world.use(tenant, "output_tokens", 245_896)
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    [invoice] = finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    return Invoice.objects.get(pk=invoice.pk)


def amounts(invoice: Invoice) -> list[tuple[str, Decimal]]:
    return [(line.description, line.amount) for line in invoice.lines.order_by("position")]


def test_basic_month_is_fee_plus_tokens(world, october) -> None:
    invoice = finalized(world, october)
    assert amounts(invoice) == [
        ("Basic platform fee", D("29.00")),
        ("Input tokens", D("10.84")),  # 18.059974 x 0.60 = 10.8359844
        ("Output tokens", D("0.59")),  # 0.245896 x 2.40 = 0.5901504
    ]
    assert (invoice.subtotal, invoice.tax, invoice.total) == (D("40.43"), D(0), D("40.43"))
    assert invoice.number == "INV-2026-000001"
    assert content_is_unchanged(invoice)
    assert [check.is_matched for check in reconcile(invoice).checks] == [True, True]


def test_advanced_month_in_yen_has_allowance_overage_and_tax_once(world, october) -> None:
    tenant = world.tenant(tier="advanced", currency="JPY", billing_timezone="UTC", invoice_language="ja")
    world.use(tenant, "input_tokens", 30_000_001)
    world.use(tenant, "output_tokens", 99_999)
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    # 20 M x 75 + 5,000,001 x 60 = 1,500 + 300.00006
    assert amounts(draft) == [
        ("Advanced platform fee", D(30000)),
        ("Input tokens", D(1800)),
        ("Output tokens", D(0)),
    ]
    assert (draft.subtotal, draft.tax, draft.total) == (D(31800), D(3180), D(34980))
    assert draft.taxes == [
        {
            "name": "Consumption tax",
            "name_ja": "消費税",
            "rate": "0.1",
            "rounding": "half_up",
            "treatment": "standard",
            "note": "",
            "note_ja": "",
            "taxable": "31800",
            "amount": "3180",
        }
    ]


def test_premium_month_tops_up_to_its_commitment(world, october) -> None:
    tenant = world.tenant(tier="premium")
    for day in range(1, 11):
        world.use(
            tenant, "endpoint_seconds", 3600, at=datetime(2026, 10, day, 3, tzinfo=UTC), line="dedicated", version=""
        )
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    assert amounts(draft) == [
        ("Dedicated endpoint", D("19.50")),
        ("Minimum commitment for the dedicated endpoint", D("880.50")),
    ]


def test_a_month_begun_late_pays_its_share_by_the_hour(world, october) -> None:
    tenant = world.tenant(since=datetime(2026, 10, 21, 7, 59, tzinfo=UTC))
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    hours = 10 * 24 + 17  # from 21 October 07:00
    assert amounts(draft) == [("Basic platform fee", (D(29) * hours / (31 * 24)).quantize(D("0.01")))]


def test_drafting_again_changes_nothing_until_usage_does(world, october) -> None:
    tenant = world.tenant()
    world.use(tenant, "input_tokens", 1_000_000)
    [first] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    [again] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    assert (again.pk, again.version, again.content_sha256) == (first.pk, first.version, first.content_sha256)
    assert again.refreshed_at > first.refreshed_at  # it was looked at again
    world.use(tenant, "input_tokens", 3_000_000)
    [later] = refresh_drafts(invoice_ids=[first.pk], actor=TESTER)
    assert (later.pk, later.public_id, later.version) == (first.pk, first.public_id, first.version + 1)
    assert dict(amounts(later))["Input tokens"] == D("1.80")
    assert UsageClaim.objects.filter(invoice=later).count() == 2
    assert Event.objects.filter(name="invoice.drafted").count() == 1


def test_finalizing_twice_gives_one_number_and_one_event(world, october) -> None:
    invoice = finalized(world, october)
    [again] = finalize_invoices(invoice_ids=[invoice.pk], actor=TESTER)
    assert (again.number, again.version) == (invoice.number, invoice.version)
    [event] = Event.objects.filter(name="invoice.finalized")
    assert event.data["number"] == "INV-2026-000001"
    assert event.data["total"] == {"amount": "40.43", "currency": "USD"}


def test_drafting_a_finalized_period_answers_the_invoice(world, october) -> None:
    invoice = finalized(world, october)
    [same] = draft_invoices(tenant_ids=[invoice.tenant_id], period=october, actor=TESTER)
    assert same.pk == invoice.pk


def test_numbers_count_up_in_one_block(world, october) -> None:
    tenants = [world.tenant() for _ in range(5)]
    drafts = draft_invoices(tenant_ids=[t.pk for t in tenants], period=october, actor=TESTER)
    invoices = finalize_invoices(invoice_ids=[draft.pk for draft in drafts], actor=TESTER)
    assert [invoice.number for invoice in invoices] == [f"INV-2026-{n:06d}" for n in range(1, 6)]


def test_void_keeps_the_number_and_frees_the_period(world, october) -> None:
    invoice = finalized(world, october)
    void = void_invoice(invoice_id=invoice.pk, reason="wrong address", actor=TESTER)
    assert (void.state, void.number, void.void_reason) == ("void", "INV-2026-000001", "wrong address")
    [draft] = draft_invoices(tenant_ids=[invoice.tenant_id], period=october, actor=TESTER)
    [second] = finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    assert (second.number, second.total) == ("INV-2026-000002", invoice.total)
    claims = UsageClaim.objects.filter(tenant=invoice.tenant)
    assert {(claim.invoice_id, claim.released_at is None) for claim in claims} == {
        (invoice.pk, False),
        (second.pk, True),
    }


def test_paid_is_paid(world, october) -> None:
    invoice = finalized(world, october)
    paid = mark_paid(invoice_id=invoice.pk, reference="SEPA-1", actor=TESTER)
    assert (paid.state, paid.payment_reference) == ("paid", "SEPA-1")
    assert mark_paid(invoice_id=invoice.pk, reference="again", actor=TESTER).payment_reference == "SEPA-1"
    with pytest.raises(IllegalMove):
        void_invoice(invoice_id=invoice.pk, reason="no", actor=TESTER)
    assert Event.objects.filter(name="invoice.paid").count() == 1


def test_an_invoice_with_notes_is_not_voided(world, october) -> None:
    invoice = finalized(world, october)
    issue_credit_note(invoice_id=invoice.pk, amounts=None, reason="goodwill", actor=TESTER)
    with pytest.raises(HasNotes):
        void_invoice(invoice_id=invoice.pk, reason="no", actor=TESTER)
    assert Invoice.objects.get(pk=invoice.pk).state == "finalized"


def test_an_empty_draft_is_not_finalized_and_takes_no_number(world, october) -> None:
    good, empty = world.tenant(), world.tenant()
    drafts = draft_invoices(tenant_ids=[good.pk, empty.pk], period=october, actor=TESTER)
    InvoiceLine.objects.filter(invoice=drafts[1]).delete()
    with pytest.raises(NothingToInvoice):
        finalize_invoices(invoice_ids=[draft.pk for draft in drafts], actor=TESTER)
    assert list(Invoice.objects.values_list("state", "number")) == [("draft", None)] * 2
    [invoice] = finalize_invoices(invoice_ids=[drafts[0].pk], actor=TESTER)
    assert invoice.number == "INV-2026-000001"


def test_overlapping_periods_are_refused(world, october) -> None:
    tenant = world.tenant()
    draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    half = Period(october.start, october.start + timedelta(days=10))
    with pytest.raises(PeriodOverlaps):
        draft_invoices(tenant_ids=[tenant.pk], period=half, actor=TESTER)
    assert Invoice.objects.count() == 1


def test_a_period_is_within_one_month_of_the_tenants_zone(world, october) -> None:
    tenant = world.tenant(billing_timezone="Asia/Tokyo")
    with pytest.raises(PeriodSpansMonths):
        draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)


def test_a_currency_without_a_price_is_named(world, october) -> None:
    tenant = world.tenant(currency="KWD")
    with pytest.raises(NoRateCard) as refusal:
        draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    assert "KWD" in refusal.value.detail
    assert not Invoice.objects.exists()


def test_preview_is_the_draft_without_saving(world, october) -> None:
    tenant = world.tenant()
    world.use(tenant, "input_tokens", 12_345_678)
    seen = preview(tenant.pk, october)
    assert not Invoice.objects.exists()
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    assert [(line.description, line.amount) for line in seen.lines] == amounts(draft)
    assert seen.invoice.total == draft.total


def test_a_line_is_explained_down_to_the_query(world, october) -> None:
    tenant = world.tenant(billing_timezone="UTC")
    world.use(tenant, "input_tokens", 70, at=datetime(2026, 10, 7, 23, tzinfo=UTC))
    world.use(tenant, "input_tokens", 30, at=datetime(2026, 10, 8, 0, tzinfo=UTC), version="adv_2")
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    line = draft.lines.get(meter="input_tokens")
    explanation = explain_line(line.public_id, tenant_ids=[tenant.pk])
    assert [(day.day.isoformat(), day.quantity) for day in explanation.days] == [("2026-10-07", 70), ("2026-10-08", 30)]
    [bucket] = explanation.days[0].buckets
    assert (bucket.claimed, bucket.revision, bucket.request_id) == (70, 1, "req-1")
    assert f"InputTokens{{TenantId={tenant.public_id},AdapterVersion=adv_1,Line=pooled}}" in bucket.query
    assert explanation.metered == 100 == int(explanation.arithmetic["quantity"])
    assert explanation.gaps == reconcile(draft).gaps == ()


def test_hours_that_were_accepted_unread_are_told_with_the_line(world, october) -> None:
    tenant = world.tenant()
    world.use(tenant, "input_tokens", 70, at=datetime(2026, 10, 7, 23, tzinfo=UTC))
    hours = [(datetime(2026, month, 7, 5, tzinfo=UTC), datetime(2026, month, 7, 8, tzinfo=UTC)) for month in (9, 10)]
    for starts_at, ends_at in hours:
        UsageGap.objects.create(
            tenant=tenant, starts_at=starts_at, ends_at=ends_at, state="accepted", closed_by="Ada", closed_at=ends_at,
            reason="the account was closed",
        )  # fmt: skip
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    [gap] = explain_line(draft.lines.get(meter="input_tokens").public_id, tenant_ids=[tenant.pk]).gaps
    assert (gap.starts_at, gap.reason, gap.closed_by) == (hours[1][0], "the account was closed", "Ada")
    assert reconcile(draft).gaps == (gap,)


def test_an_invoice_is_found_by_number_and_hidden_from_others(world, october) -> None:
    invoice = finalized(world, october)
    assert get_invoice("INV-2026-000001", tenant_ids=None).pk == invoice.pk
    with pytest.raises(Exception, match="no invoice"):
        get_invoice(invoice.public_id, tenant_ids=[])
