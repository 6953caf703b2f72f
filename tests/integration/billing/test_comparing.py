"""An invoice beside the period before it and beside what the engine says now; lists that say what they come to."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.models import Invoice
from billing.queries import compare_with_now, compare_with_previous, get_invoice, list_invoices, totals_of
from billing.services.credits import issue_credit_note
from billing.services.invoicing import draft_invoices, finalize_invoices
from core.periods import billing_month
from tests.factories import TESTER
from tests.integration.api.client import caller

D = Decimal


@pytest.fixture
def pair(world, october) -> list[Invoice]:
    """September and October of one tenant, both final; October used more input and no output."""
    tenant = world.tenant(since=datetime(2026, 8, 31, tzinfo=UTC))
    world.use(tenant, "input_tokens", 2_000_000, at=datetime(2026, 9, 10, tzinfo=UTC))
    world.use(tenant, "output_tokens", 1_000_000, at=datetime(2026, 9, 10, tzinfo=UTC))
    world.use(tenant, "input_tokens", 5_000_000)
    found = []
    for period in (billing_month(2026, 9, "UTC"), october):
        [draft] = draft_invoices(tenant_ids=[tenant.pk], period=period, actor=TESTER)
        found += finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    return found


def test_what_rose_since_the_period_before(pair: list[Invoice]) -> None:
    september, october = pair
    seen = compare_with_previous(october)
    assert seen is not None and seen.other == september
    assert [(line.description, line.before, line.after, line.change) for line in seen.lines] == [
        ("Output tokens", D("2.40"), D(0), D("-2.40")),
        ("Input tokens", D("1.20"), D("3.00"), D("1.80")),
        ("Basic platform fee", D("29.00"), D("29.00"), D(0)),
    ]
    assert (seen.before, seen.after, seen.change) == (september.subtotal, october.subtotal, D("-0.60"))
    assert compare_with_previous(september) is None


def test_a_final_invoice_differs_from_now_by_what_came_late(pair: list[Invoice], world) -> None:
    invoice = get_invoice(pair[1].public_id, tenant_ids=None)
    same = compare_with_now(invoice)
    assert same is not None and same.changed == []
    world.use(invoice.tenant, "input_tokens", 6_000_000)
    seen = compare_with_now(invoice)
    assert seen is not None
    [late] = seen.changed
    assert (late.quantity_before, late.quantity_after, late.change) == (D(5_000_000), D(6_000_000), D("0.60"))
    invoice.refresh_from_db()
    assert invoice.subtotal == D("32.00")


def test_the_api_compares(pair: list[Invoice]) -> None:
    erp = caller()
    seen = erp.get(f"invoices/{pair[1].public_id}/comparison").json()
    assert (seen["basis"], seen["other"], seen["change"]["amount"]) == ("previous", pair[0].public_id, "-0.60")
    assert seen["lines"][0]["change"] == {"amount": "-2.40", "currency": "USD"}
    assert erp.get(f"invoices/{pair[1].public_id}/comparison?basis=now").json()["change"]["amount"] == "0.00"
    assert erp.get(f"invoices/{pair[0].public_id}/comparison").json()["other"] is None


def test_a_list_says_what_it_comes_to(pair: list[Invoice]) -> None:
    line = pair[1].lines.exclude(meter="").first()
    issue_credit_note(invoice_id=pair[1].pk, amounts={line.public_id: D(1)}, reason="Outage", actor=TESTER)
    [sums] = totals_of(list_invoices(tenant_ids=None))
    wanted = pair[0].total + pair[1].total - D(1)
    assert (sums.currency, sums.documents, sums.total, sums.open) == ("USD", 3, wanted, wanted)
    assert totals_of(list_invoices(tenant_ids=[])) == []
