"""Random contracts, cards and months, invoiced by the product and by a second computation in fractions."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from billing.models import CreditGrant, Invoice
from billing.queries import content_is_unchanged
from billing.queries.issuers import the_issuer
from billing.services.discounts import DiscountDetails, agree_discount
from billing.services.invoicing import draft_invoices, finalize_invoices
from billing.services.rate_cards import RateDraft, draft_rate_card, price_tier, publish_rate_card
from billing.services.taxes import TaxDetails, define_tax, set_tax_profile
from billing.services.wallet import grant_credit
from tenants.models import TierVersion
from tests.factories import TESTER
from tests.support import billing_fractions as oracle

MONTH_SECONDS = 31 * 86_400
METERS = ("input_tokens", "output_tokens", "requests", "endpoint_seconds", "copy_seconds", "stored_byte_hours")


class Dice:
    """One random world, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.currency = self.dice.choice(["USD", "JPY", "KWD"])

    def money(self, most: int) -> str:
        digits = oracle.DIGITS[self.currency]
        return f"{self.dice.randint(1, most * 10**digits) / 10**digits:.{digits}f}"

    def unit_price(self) -> str:
        return f"{self.dice.randint(1, 10**7) / 10**6:.6f}"

    def bands(self) -> list[dict]:
        edges = sorted(self.dice.sample(range(1, 3_000_000), self.dice.randint(1, 4)))
        return [{"up_to": edge, "unit_price": self.unit_price()} for edge in [*edges, None]]

    def rates(self) -> list[RateDraft]:
        per = self.dice.choice([1_000, 1_000_000])
        models = {
            "input_tokens": self.dice.choice(["graduated", "volume", "allowance", "per_unit"]),
            "output_tokens": self.dice.choice(["graduated", "volume", "allowance", "per_unit"]),
            "requests": self.dice.choice(["package", "per_unit"]),
            "endpoint_seconds": "hourly",
            "copy_seconds": "monthly",
            "stored_byte_hours": "per_unit",
        }
        parameters = {
            "per_unit": lambda: {"unit_price": self.unit_price(), "per": per},
            "graduated": lambda: {"per": per, "bands": self.bands()},
            "volume": lambda: {"per": per, "bands": self.bands()},
            "allowance": lambda: {"included": self.dice.randint(0, 10**6), "per": per, "bands": self.bands()},
            "package": lambda: {"size": self.dice.randint(1, 5_000), "price": self.money(20)},
            "hourly": lambda: {"price": self.money(5)},
            "monthly": lambda: {"price": self.money(300)},
        }
        rates = [RateDraft("fee", "flat", {"amount": self.money(500)}, "Fee", tax_category=self.tax())]
        for meter, model in models.items():
            rates.append(
                RateDraft(
                    meter.replace("_", "-"), model, parameters[model](), meter, meter=meter, tax_category=self.tax()
                )
            )
        return rates

    def tax(self) -> str:
        return self.dice.choice(["standard", "standard", "reduced"])

    def discounts(self) -> list[dict]:
        found = []
        for _ in range(self.dice.randint(0, 3)):
            kind = self.dice.choice(["percent", "fixed"])
            value = f"{self.dice.randint(1, 6000) / 100:.2f}" if kind == "percent" else self.money(100)
            meters = self.dice.sample(METERS, self.dice.randint(0, 2))
            keys = ["fee"] if self.dice.random() < 0.3 else []
            found.append({"kind": kind, "value": value, "meters": meters, "keys": keys})
        return found


def run_one(world, october, seed: int) -> None:
    it = Dice(seed)
    tenant = world.tenant(currency=it.currency, tier=f"contract-{seed}")
    rates, discounts = it.rates(), it.discounts()
    card = draft_rate_card(name=f"Random {seed}", currency=it.currency, rates=rates, actor=TESTER)
    publish_rate_card(card_id=card.pk, actor=TESTER)
    tier = TierVersion.objects.get(tier__key=f"contract-{seed}")
    price_tier(tier_version_id=tier.pk, card_id=card.pk, effective_from=datetime(2020, 1, 1, tzinfo=UTC), actor=TESTER)
    rounding = it.dice.choice(["half_up", "down"])
    set_tax_profile(
        tenant_id=tenant.pk, country="XA", tax_number="", exempt_reason="", expected_version=None, actor=TESTER
    )
    shares = {"standard": it.dice.choice(["0.10", "0.077"]), "reduced": it.dice.choice(["0.08", "0.025"])}
    for category, share in shares.items():
        details = TaxDetails(
            name="Tax", rate=Decimal(share), country="XA", currency=it.currency, category=category, rounding=rounding
        )
        since = datetime(2026, 9, 1, tzinfo=UTC) + timedelta(minutes=seed)
        define_tax(issuer_id=the_issuer().pk, details=details, since=since)
    for discount in discounts:
        details = DiscountDetails(
            name="Off",
            kind=discount["kind"],
            value=Decimal(discount["value"]),
            starts_at=october.start - timedelta(days=1),
            meters=discount["meters"],
            rate_keys=discount["keys"],
        )
        agree_discount(tenant_id=tenant.pk, details=details, reason="agreed", actor=TESTER)
    used = {meter: it.dice.choice([0, it.dice.randint(1, 4_000_000)]) for meter in METERS}
    for meter, quantity in used.items():
        half = quantity // 2
        for day, part in ((3, half), (28, quantity - half)):
            if part:
                world.use(tenant, meter, part, at=datetime(2026, 10, day, 5, tzinfo=UTC))
    grants = [(it.dice.randint(1, 40), it.money(200)) for _ in range(it.dice.randint(0, 3))]
    now = october.end + timedelta(hours=73)
    for number, (days, amount) in enumerate(grants):
        grant_credit(
            tenant_id=tenant.pk,
            amount=Decimal(amount),
            expires_at=now + timedelta(days=days),
            reference=f"PAY-{number}",
            reason="prepaid",
            actor=TESTER,
        )

    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    invoice = Invoice.objects.get(pk=draft.pk)

    charges = []
    for rate in rates:
        quantity = used.get(rate.meter, 1)
        exact = oracle.price(rate.model, rate.parameters, quantity, MONTH_SECONDS, MONTH_SECONDS)
        if quantity:
            charges.append(oracle.Charge(rate.key, rate.meter, rate.tax_category, oracle.half_up(exact, it.currency)))
    off = oracle.take_off(charges, discounts, it.currency)
    terms = {category: (Fraction(share), rounding) for category, share in shares.items()}
    tax = oracle.taxes(charges, off, terms, it.currency)
    subtotal = sum((charge.amount for charge in charges), Fraction(0)) - sum(off.values(), Fraction(0))
    paid = oracle.pay(subtotal + tax, [(days, Fraction(amount)) for days, amount in grants])

    lines = list(invoice.lines.order_by("position"))
    seen = {line.rate.key: Fraction(line.amount) for line in lines if line.rate_id}
    assert seen == {charge.key: charge.amount for charge in charges}
    assert sorted(-Fraction(line.amount) for line in lines if line.kind == "discount") == sorted(off.values())
    assert (Fraction(invoice.subtotal), Fraction(invoice.tax), Fraction(invoice.total)) == (
        subtotal, tax, subtotal + tax,
    )  # fmt: skip
    assert Fraction(invoice.prepaid) == sum(paid, Fraction(0))
    left = [Fraction(grant.remaining) for grant in CreditGrant.objects.filter(tenant=tenant).order_by("pk")]
    assert left == [Fraction(amount) - part for (_, amount), part in zip(grants, paid, strict=True)]
    assert content_is_unchanged(invoice)


@pytest.mark.parametrize("block", range(3))
def test_random_contracts_agree_with_fractions(world, october, block) -> None:
    for seed in range(block * 8, block * 8 + 8):
        run_one(world, october, seed)


@pytest.mark.long
def test_many_random_contracts_agree_with_fractions(world, october) -> None:
    for seed in range(1_000, 1_300):
        run_one(world, october, seed)
