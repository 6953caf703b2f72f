"""Prices, credit and contracts over REST, as a billing system uses them."""

import pytest

from tests.integration.api.client import Caller, caller, refused

RATES = [
    {"key": "fee", "model": "flat", "parameters": {"amount": "20.00"}, "description": "Fee"},
    {
        "key": "in",
        "meter": "input_tokens",
        "model": "per_unit",
        "parameters": {"unit_price": "1.50", "per": 1_000_000},
        "description": "Input tokens",
    },
]
NEW_CARD = {"name": "Basic", "currency": "USD", "rates": RATES}


@pytest.fixture
def tenant(world):
    tenant = world.tenant(external_id="CRM-42")
    world.use(tenant, "input_tokens", 2_000_000)
    return tenant


@pytest.fixture
def erp(tenant) -> Caller:
    return caller()


def finalized(erp: Caller) -> dict:
    made = erp.post("invoices", {"tenant": "ext:CRM-42", "month": "2026-10"}).json()
    done = erp.post(f"invoices/{made['id']}/finalize", {}, if_match="*")
    assert done.status_code == 200, done.content
    return done.json()


def test_a_card_from_draft_over_its_impact_to_its_tier(erp: Caller, tenant) -> None:
    invoice = finalized(erp)
    made = erp.post("rate-cards", NEW_CARD)
    assert made.status_code == 201, made.content
    card = made.json()
    assert (card["number"], card["state"], card["available_actions"]) == (2, "draft", ["edit", "publish"])
    here = f"rate-cards/{card['id']}"
    cheaper = [{**RATES[0], "parameters": {"amount": "10.00"}}, RATES[1]]
    edited = erp.call("PUT", here, {"rates": cheaper}, if_match='"v1"')
    assert edited.status_code == 200 and edited["ETag"] == '"v2"', edited.content
    refused(erp.call("PUT", here, {"rates": RATES}, if_match='"v1"'), 412, "precondition_failed")
    impact = erp.get(f"{here}/impact").json()
    assert impact["difference"] == {"amount": "-17.20", "currency": "USD"}
    assert [row["tenant"] for row in impact["tenants"]] == [tenant.public_id]
    assert erp.post(f"{here}/publish", {}, if_match='"v2"').json()["available_actions"] == ["schedule"]
    refused(erp.call("PUT", here, {"rates": RATES}, if_match="*"), 409, "rate_card_published")
    too_early = erp.post(f"{here}/prices", {"tier": "basic", "effective_from": "2026-10-15T00:00:00Z"})
    refused(too_early, 409, "price_not_after_current")
    priced = erp.post(f"{here}/prices", {"tier": "basic", "effective_from": "2026-11-01T00:00:00Z"})
    assert [price["effective_until"] for price in priced.json()["prices"]] == [None]
    seen = erp.get(f"invoices/{invoice['id']}/what-if?rate_card={card['id']}").json()
    assert (seen["billed"]["amount"], seen["would_be"]["amount"]) == ("30.20", "13.00")


def test_wrong_rates_are_pointed_at(erp: Caller) -> None:
    bad = [{**RATES[1], "meter": "smiles"}, {**RATES[1], "parameters": {"unit_price": 1.5, "per": 1}}]
    assert erp.post("rate-cards", {**NEW_CARD, "rates": bad}).status_code == 422
    problem = refused(erp.post("rate-cards", {**NEW_CARD, "rates": bad[:1]}), 422, "invalid_rate_card")
    assert problem["errors"][0]["pointer"] == "/rates/0/meter"


def test_credit_pays_an_invoice_and_its_ledger_says_so(erp: Caller, tenant) -> None:
    body = {"tenant": "ext:CRM-42", "amount": "10.00", "reference": "SEPA-1", "reason": "prepaid"}
    grant = erp.post("credit-grants", body).json()
    assert erp.post("credit-grants", body).json()["id"] == grant["id"]
    invoice = finalized(erp)
    assert (invoice["prepaid"]["amount"], invoice["amount_due"]["amount"]) == ("10.00", "20.20")
    seen = erp.get(f"credit-grants/{grant['id']}").json()
    assert (seen["remaining"]["amount"], seen["available_actions"]) == ("0.00", [])
    entries = erp.get(f"credit-grants/{grant['id']}/entries").json()["data"]
    assert [(row["kind"], row["amount"]["amount"], row["invoice"]) for row in entries] == [
        ("draw", "-10.00", invoice["id"]), ("grant", "10.00", None),
    ]  # fmt: skip
    refused(erp.post(f"credit-grants/{grant['id']}/refund", {"reason": "x"}), 409, "credit_exhausted")
    assert erp.get("credit-grants?is_open=true").json()["data"] == []
    refused(erp.post("credit-grants", {**body, "amount": "-1"}), 422, "invalid_body")


def test_discount_tax_profile_and_adjustment(erp: Caller, tenant) -> None:
    terms = {
        "tenant": "ext:CRM-42", "name": "Partner", "kind": "percent", "value": "10",
        "starts_at": "2026-10-01T00:00:00Z", "reason": "signed",
    }  # fmt: skip
    discount = erp.post("discounts", terms).json()
    profile = erp.call("PUT", f"tenants/{tenant.public_id}/tax-profile", {"country": "JP"}).json()
    assert profile == {"country": "JP", "tax_number": "", "exempt_reason": "", "version": 1}
    made = erp.post("invoices", {"tenant": "ext:CRM-42", "month": "2026-10"}).json()
    adjusted = erp.post(
        f"invoices/{made['id']}/adjustments", {"description": "Goodwill", "amount": "-7.18", "reason": "outage"}
    )
    assert adjusted.status_code == 201, adjusted.content
    # 30.20 less 3.02 less 7.18, and ten percent of Japanese tax
    assert [adjusted.json()[name]["amount"] for name in ("subtotal", "tax", "total")] == ["20.00", "2.00", "22.00"]
    gone = erp.post(f"discounts/{discount['id']}/end", {"ends_at": "2026-10-20T00:00:00Z", "reason": "x"})
    refused(gone, 409, "discount_ended")
    assert len(erp.get("discounts").json()["data"]) == 1


def test_a_tenants_own_key_sees_its_credit_and_no_prices(erp: Caller, tenant, world) -> None:
    grant = erp.post(
        "credit-grants", {"tenant": "ext:CRM-42", "amount": "1", "reference": "a", "reason": "gift"}
    ).json()
    own, other = caller("credits.view", tenant_id=tenant.pk), caller("credits.view", tenant_id=world.tenant().pk)
    assert own.get(f"credit-grants/{grant['id']}").status_code == 200
    refused(other.get(f"credit-grants/{grant['id']}"), 404, "not_found")
    refused(own.get("rate-cards"), 403, "permission_missing")
