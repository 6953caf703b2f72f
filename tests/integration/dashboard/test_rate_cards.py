"""Drafting, reading, publishing and scheduling a rate card, and granting credit, as a billing person does it."""

import json
from decimal import Decimal

import pytest

from billing.models import CreditGrant, Discount, Invoice, RateCard, TaxProfile
from billing.rating.parameters import RATE_MODELS, parse_parameters
from dashboard.billing_forms import EXAMPLES
from tests.factories import make_tenant
from tests.integration.api.making import MAKERS
from tests.integration.billing.conftest import seed_prices

RATES = [{"key": "fee", "model": "flat", "parameters": {"amount": "39.00"}, "description": "Fee"}]


@pytest.fixture
def priced(db: None) -> None:
    seed_prices()


def test_a_card_from_the_form_to_a_tier(priced, admin) -> None:
    refused = admin.post("/billing/rate-cards/draft/", {"name": "Basic", "currency": "USD", "rates": "[1]"})
    assert refused.status_code == 422 and b"no list of rates" in refused.content
    typed = {"name": "Basic", "currency": "USD", "rates": json.dumps(RATES)}
    assert admin.post("/billing/rate-cards/draft/", typed).status_code == 302
    card = RateCard.objects.get(name="Basic", currency="USD", number=2)
    page = admin.get(f"/billing/rate-cards/{card.public_id}/")
    assert b"Edit rates" in page.content and b"closed period yet" in page.content
    edited = {"rates": json.dumps([{**RATES[0], "description": "Monthly fee"}]), "version": 1}
    assert admin.post(f"/billing/rate-cards/{card.public_id}/edit/", edited).status_code == 302
    assert card.rates.get().description == "Monthly fee"
    assert admin.post(f"/billing/rate-cards/{card.public_id}/publish/").status_code == 302
    when = {"tier": "basic 1", "effective_from": "2027-01-01T00:00"}
    assert admin.post(f"/billing/rate-cards/{card.public_id}/schedule/", when).status_code == 302
    assert card.tier_prices.get().effective.lower.year == 2027


def test_credit_is_granted_once_per_payment(priced, admin) -> None:
    tenant = make_tenant()
    typed = {"tenant": tenant.slug, "amount": "100", "reference": "SEPA-1", "reason": "prepaid"}
    for _ in range(2):
        assert admin.post("/billing/credits/grant/", typed).status_code == 302
    assert CreditGrant.objects.get().remaining == 100
    assert tenant.name.encode() in admin.get("/billing/credits/").content


def test_a_discount_and_a_tax_profile(furnished, admin) -> None:
    tenant = furnished.final.tenant
    typed = {
        "tenant": tenant.slug, "name": "Partner", "kind": "percent", "value": "12.5", "starts_at": "2026-10-01T00:00",
        "meters": ["input_tokens"], "reason": "signed",
    }  # fmt: skip
    assert admin.post("/billing/discounts/agree/", {**typed, "value": "120"}).status_code == 422
    assert not Discount.objects.filter(name="Partner").exists()
    assert admin.post("/billing/discounts/agree/", typed).status_code == 302
    made = Discount.objects.get(name="Partner")
    assert (made.value, made.meters, made.tenant_id) == (Decimal("12.5"), ["input_tokens"], tenant.pk)
    shown = admin.get("/billing/discounts/").content.decode()
    assert "12.5 %" in shown and f"/billing/discounts/{made.public_id}/end/" in shown
    ending = {"ends_at": "2030-01-01T00:00", "reason": "over"}
    assert admin.post(f"/billing/discounts/{made.public_id}/end/", ending).status_code == 302
    made.refresh_from_db()
    assert made.effective.upper.year == 2030
    taxed = {"country": "DE", "tax_number": "DE123456789", "exempt_reason": "", "version": ""}
    assert admin.post(f"/billing/tax-profiles/{tenant.slug}/", taxed).status_code == 302
    assert admin.post(f"/billing/tax-profiles/{tenant.slug}/", taxed).status_code == 409  # somebody was first
    assert TaxProfile.objects.get(tenant=tenant).country == "DE"


def test_what_if_an_adjustment_and_a_refund(furnished, admin) -> None:
    final, draft = furnished.final, furnished.draft
    before = list(Invoice.objects.order_by("pk").values())
    page = admin.get(f"/billing/invoices/{final.public_id}/what-if/", {"tier": "premium"})
    assert page.status_code == 200 and b"Nothing was changed" in page.content
    assert list(Invoice.objects.order_by("pk").values()) == before
    refused = admin.get(f"/billing/invoices/{draft.public_id}/what-if/", {"tier": "premium"})
    assert b"Period not closed" in refused.content
    typed = {"description": "Goodwill", "amount": "-1.00", "reason": "slow week"}
    assert admin.post(f"/billing/invoices/{draft.public_id}/adjust/", typed).status_code == 302
    assert draft.lines.get(kind="adjustment").amount == -1
    grant = CreditGrant.objects.get(public_id=MAKERS["credit_grant"](final.tenant))
    left = grant.remaining
    assert (
        admin.post(f"/billing/credits/{grant.public_id}/refund/", {"amount": "1", "reason": "asked"}).status_code == 302
    )
    grant.refresh_from_db()
    assert grant.remaining == left - 1


@pytest.mark.parametrize("model", RATE_MODELS)
def test_the_example_of_every_pricing_model_fits_it(model: str) -> None:
    parse_parameters(model, EXAMPLES[model])
