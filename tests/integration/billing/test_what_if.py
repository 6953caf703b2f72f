"""What a closed period would have cost otherwise: exact, and nothing is touched."""

import hashlib
from decimal import Decimal

import pytest
from django.db import connection

from billing.queries.impact import impact_of
from billing.queries.what_if import CurrencyDiffers, NotClosed, Otherwise, what_if
from billing.services.invoicing import draft_invoices, finalize_invoices
from billing.services.late_usage import correct_late_usage
from billing.services.rate_cards import (
    CardPublished,
    PriceInThePast,
    RateDraft,
    StaleCard,
    draft_rate_card,
    edit_rate_card,
    price_tier,
    publish_rate_card,
)
from core.periods import billing_month
from tenants.models import TierVersion
from tests.factories import TESTER

D = Decimal
MILLION = 1_000_000


def rates(fee: str, price: str, *, pooled: str | None = None) -> list[RateDraft]:
    made = [
        RateDraft("fee", "flat", {"amount": fee}, "Fee"),
        RateDraft("in", "per_unit", {"unit_price": price, "per": MILLION}, "Input tokens", meter="input_tokens"),
    ]
    if pooled is not None:
        terms = {"unit_price": pooled, "per": MILLION}
        made.append(
            RateDraft("in-pool", "per_unit", terms, "Input, pooled", meter="input_tokens", serving_line="pooled")
        )
    return made


def card(fee: str, price: str, *, name: str = "Basic", currency: str = "USD", pooled: str | None = None):
    return draft_rate_card(name=name, currency=currency, rates=rates(fee, price, pooled=pooled), actor=TESTER)


@pytest.fixture
def invoice(world, october):
    """29.00 and 2 M tokens at 0.60."""
    tenant = world.tenant()
    world.use(tenant, "input_tokens", 2 * MILLION)
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    [invoice] = finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    return invoice


def everything() -> dict[str, str]:
    """A digest of every row of every table, with the transaction that wrote it."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT xmin::text || t::text FROM {table} t ORDER BY 1")
            found[table] = hashlib.sha256(repr(cursor.fetchall()).encode()).hexdigest()
    return found


def test_another_card_is_rated_exactly_and_no_row_changes(invoice) -> None:
    draft = card("20.00", "1.50")
    before = everything()
    seen = what_if(invoice.pk, Otherwise(card_id=draft.pk))
    assert (seen.billed, seen.would_be, seen.difference) == (D("30.20"), D("23.00"), D("-7.20"))
    assert [(line.description, line.amount) for line in seen.lines] == [("Fee", D(20)), ("Input tokens", D(3))]
    assert everything() == before


def test_another_tier_and_another_route(invoice) -> None:
    assert what_if(invoice.pk, Otherwise(tier="advanced")).would_be == D("199.00")  # within its allowance
    draft = card("0", "5", pooled="1")
    assert what_if(invoice.pk, Otherwise(card_id=draft.pk)).would_be == D(2)
    assert what_if(invoice.pk, Otherwise(card_id=draft.pk, serving_line="dedicated")).would_be == D(10)


def test_late_usage_counts_on_both_sides(invoice, world) -> None:
    world.use(invoice.tenant, "input_tokens", 3 * MILLION)
    correct_late_usage(invoice_id=invoice.pk, actor=TESTER)
    seen = what_if(invoice.pk, Otherwise())
    assert (seen.billed, seen.would_be) == (D("30.80"), D("30.80"))


def test_only_a_closed_period_in_the_cards_currency(world, october, invoice) -> None:
    [draft] = draft_invoices(tenant_ids=[world.tenant().pk], period=october, actor=TESTER)
    with pytest.raises(NotClosed):
        what_if(draft.pk, Otherwise(tier="basic"))
    with pytest.raises(CurrencyDiffers):
        what_if(invoice.pk, Otherwise(card_id=card("1", "1", currency="JPY").pk))


def test_the_read_only_transaction_ends_with_the_question(invoice) -> None:
    what_if(invoice.pk, Otherwise())
    card("1", "1")  # would be refused by PostgreSQL otherwise


def test_impact_of_a_draft_on_everybody_it_would_price(world, october, invoice) -> None:
    quiet = world.tenant()
    [draft] = draft_invoices(tenant_ids=[quiet.pk], period=october, actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    september = billing_month(2026, 9, "UTC")
    [earlier] = draft_invoices(tenant_ids=[invoice.tenant_id], period=september, actor=TESTER)
    finalize_invoices(invoice_ids=[earlier.pk], actor=TESTER)
    world.tenant(tier="advanced")  # on another card
    impact = impact_of(card("39.00", "0.60"))
    assert [(each.tenant.pk, len(each.periods)) for each in impact.tenants] == [(invoice.tenant_id, 2), (quiet.pk, 1)]
    assert impact.tenants[1].difference == D(10)
    [october_of_first, september_of_first] = impact.tenants[0].periods
    assert (october_of_first.invoice.pk, october_of_first.difference) == (invoice.pk, D(10))
    assert impact.difference == D(20) + september_of_first.difference
    assert not impact.is_cut


def test_a_draft_is_edited_until_it_is_published(world) -> None:
    draft = card("1.00", "1")
    edited = edit_rate_card(card_id=draft.pk, rates=rates("2.00", "1"), expected_version=1, actor=TESTER)
    assert (edited.version, edited.rates.get(key="fee").parameters) == (2, {"amount": "2.00"})
    with pytest.raises(StaleCard):
        edit_rate_card(card_id=draft.pk, rates=rates("3.00", "1"), expected_version=1, actor=TESTER)
    publish_rate_card(card_id=draft.pk, actor=TESTER)
    with pytest.raises(CardPublished):
        edit_rate_card(card_id=draft.pk, rates=rates("3.00", "1"), expected_version=3, actor=TESTER)
    assert draft.rates.get(key="fee").parameters == {"amount": "2.00"}


def test_what_was_billed_is_never_repriced(world, october, invoice) -> None:
    new = card("1.00", "1")
    publish_rate_card(card_id=new.pk, actor=TESTER)
    tier = TierVersion.objects.get(tier__key="basic", number=1)
    with pytest.raises(PriceInThePast, match="has billed"):
        price_tier(tier_version_id=tier.pk, card_id=new.pk, effective_from=october.start, actor=TESTER)
    price_tier(tier_version_id=tier.pk, card_id=new.pk, effective_from=october.end, actor=TESTER)
