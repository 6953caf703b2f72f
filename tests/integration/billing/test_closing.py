"""Closing months on time, and the last invoice of a tenant that leaves."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing import queries
from billing.models import Invoice
from billing.services.closing import close_due_periods
from billing.services.departures import issue_final_invoice, issue_final_invoices
from billing.services.invoicing import draft_invoices, finalize_invoices, void_invoice
from core import crashpoints
from metering.models import CollectionWindow
from tenants.models import OffboardingStep, Tenant
from tenants.services.offboarding import begin_offboarding, complete_offboarding_step
from tests.factories import TESTER
from tests.support.billing_world import read_everything


def test_a_month_that_is_over_is_drafted_and_finalized_after_its_grace(world, october) -> None:
    tenant = world.tenant()
    report = close_due_periods(as_of=october.end + timedelta(hours=71))
    assert [(invoice.period_start.month, invoice.state) for invoice in report.drafted] == [(9, "draft"), (10, "draft")]
    assert [invoice.period_start.month for invoice in report.finalized] == [9]
    report = close_due_periods(as_of=october.end + timedelta(hours=73))
    assert report.drafted == []
    assert [invoice.number for invoice in report.finalized] == ["INV-2026-000002"]
    again = close_due_periods(as_of=october.end + timedelta(hours=74))
    assert (again.drafted, again.finalized, again.waiting) == ([], [], [])
    assert Invoice.objects.filter(tenant=tenant).count() == 2


def test_usage_that_is_not_known_makes_only_its_tenant_wait(world, october) -> None:
    unknown, known = world.tenant(billing_timezone="Asia/Kolkata"), world.tenant()
    CollectionWindow.objects.filter(scope__enrolments__tenant=unknown, starts_at__gte=october.start).update(
        state="provisional"
    )
    report = close_due_periods()
    assert {invoice.tenant_id for invoice in report.finalized if invoice.period_start.month == 10} == {known.pk}
    assert {(wait.tenant, wait.code) for wait in report.waiting} == {(unknown.public_id, "usage_incomplete")}
    read_everything()
    report = close_due_periods()
    assert {invoice.tenant_id for invoice in report.finalized} == {unknown.pk}


def test_a_currency_without_prices_holds_up_nobody_else(world) -> None:
    world.tenant(currency="EUR")
    good = world.tenant()
    report = close_due_periods()
    assert {invoice.tenant_id for invoice in report.finalized} == {good.pk}
    assert {wait.code for wait in report.waiting} == {"no_rate_card"}


def test_what_was_voided_is_not_drafted_again_by_the_clock(world) -> None:
    world.tenant()
    invoices = close_due_periods().finalized
    void_invoice(invoice_id=invoices[-1].pk, reason="wrong", actor=TESTER)
    report = close_due_periods()
    assert (report.drafted, report.finalized) == ([], [])


def leave(tenant: Tenant, world, at: datetime) -> None:
    world.set_clock(at)
    begin_offboarding(tenant_id=tenant.pk, reason="contract ended", actor=TESTER)
    complete_offboarding_step(tenant_id=tenant.pk, key="resources", detail={"left": 0}, actor=TESTER)


def test_the_last_invoice_covers_the_rest_and_completes_its_step(world, october) -> None:
    tenant = world.tenant(since=datetime(2026, 10, 1, tzinfo=UTC))
    world.use(tenant, "input_tokens", 1_000_000)
    leave(tenant, world, datetime(2026, 10, 11, 9, 40, tzinfo=UTC))
    assert "not final" in issue_final_invoices()[tenant.public_id]  # the hours up to the end are not settled yet
    assert not Invoice.objects.exists()
    world.set_clock(datetime(2026, 10, 15, tzinfo=UTC))
    read_everything()
    issued = issue_final_invoice(tenant_id=tenant.pk)
    assert issued is not None
    [invoice] = issued
    assert (invoice.state, invoice.period_end) == ("finalized", datetime(2026, 10, 11, 10, tzinfo=UTC))
    share = Decimal(10 * 24 + 10) / (31 * 24)
    assert [line.amount for line in invoice.lines.order_by("position")] == [
        (Decimal(29) * share).quantize(Decimal("0.01")),
        Decimal("0.60"),
    ]
    step = OffboardingStep.objects.get(tenant=tenant, key="final_invoice")
    assert step.done_at is not None and step.detail == {"invoices": [invoice.number]}
    assert issue_final_invoice(tenant_id=tenant.pk) == []


def test_a_worker_that_dies_after_the_last_invoice_still_names_it_in_the_step(world) -> None:
    tenant = world.tenant(since=datetime(2026, 10, 1, tzinfo=UTC))
    leave(tenant, world, datetime(2026, 10, 11, 9, 40, tzinfo=UTC))
    world.set_clock(datetime(2026, 10, 15, tzinfo=UTC))
    read_everything()

    def die(point: str) -> None:
        if point == "finalize: after commit":
            raise KeyboardInterrupt

    crashpoints.arm(die)
    with pytest.raises(KeyboardInterrupt):
        issue_final_invoice(tenant_id=tenant.pk)
    crashpoints.arm(None)
    issue_final_invoice(tenant_id=tenant.pk)
    [invoice] = Invoice.objects.all()
    assert OffboardingStep.objects.get(tenant=tenant, key="final_invoice").detail == {"invoices": [invoice.number]}


def test_a_void_last_invoice_is_replaced_over_the_same_period(world, october) -> None:
    tenant = world.tenant(since=datetime(2026, 10, 1, tzinfo=UTC))
    world.use(tenant, "input_tokens", 1_000_000)
    leave(tenant, world, datetime(2026, 10, 11, 9, 40, tzinfo=UTC))
    world.set_clock(datetime(2026, 11, 5, tzinfo=UTC))
    read_everything()
    [last] = issue_final_invoice(tenant_id=tenant.pk) or []
    assert queries.period_to_draft(tenant, october) == october
    void_invoice(invoice_id=last.pk, reason="wrong address", actor=TESTER)
    [again] = draft_invoices(tenant_ids=[tenant.pk], period=queries.period_to_draft(tenant, october), actor=TESTER)
    assert (again.state, again.period_end, again.total) == ("draft", last.period_end, last.total)


def test_a_departure_waits_for_its_resources(world) -> None:
    tenant = world.tenant()
    begin_offboarding(tenant_id=tenant.pk, reason="contract ended", actor=TESTER)
    assert issue_final_invoice(tenant_id=tenant.pk) is None
    assert "resources" in issue_final_invoices()[tenant.public_id]


def test_months_before_the_departure_are_invoiced_too(world, october) -> None:
    tenant = world.tenant(since=datetime(2026, 9, 15, tzinfo=UTC))
    leave(tenant, world, datetime(2026, 11, 2, tzinfo=UTC))
    world.set_clock(datetime(2026, 11, 6, tzinfo=UTC))
    read_everything()
    issued = issue_final_invoice(tenant_id=tenant.pk) or []
    assert [(invoice.period_start.month, invoice.state) for invoice in issued] == [
        (9, "finalized"),
        (10, "finalized"),
        (11, "finalized"),
    ]


def test_who_was_never_active_leaves_without_an_invoice(world) -> None:
    from tests.factories import make_tenant

    world.set_clock(datetime(2026, 10, 1, tzinfo=UTC))
    tenant = make_tenant()
    leave(tenant, world, datetime(2026, 10, 11, 9, 40, tzinfo=UTC))
    world.set_clock(datetime(2026, 10, 11, 11, tzinfo=UTC))
    assert issue_final_invoice(tenant_id=tenant.pk) == []
    assert OffboardingStep.objects.get(tenant=tenant, key="final_invoice").detail == {"invoices": []}


def test_finalizing_early_by_hand_is_allowed(world, october) -> None:
    world.tenant()
    drafted = close_due_periods(as_of=october.end + timedelta(hours=1)).drafted
    done = finalize_invoices(invoice_ids=[draft.pk for draft in drafted], actor=TESTER)
    assert {invoice.state for invoice in done} == {"finalized"}
