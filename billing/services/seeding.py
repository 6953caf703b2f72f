"""The example price list that an installation starts with: three tiers in two currencies, an issuer, Japan's tax."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.models import RateCard, TaxRule, TierPrice
from billing.services.issuers import IssuerDetails, define_issuer
from billing.services.rate_cards import RateDraft, draft_rate_card, price_tier, publish_rate_card
from billing.services.taxes import TaxDetails, define_tax
from billing.states import RateCardState
from core.actors import Actor
from core.errors import NotFound
from tenants.models import TierVersion

# Before anything that this product can have measured.
FOREVER = datetime(2020, 1, 1, tzinfo=UTC)
MILLION = 1_000_000

EXAMPLE_ISSUER = IssuerDetails(
    name="Example Cloud K.K.",
    address="1-1-1 Marunouchi, Chiyoda-ku\nTokyo 100-0005, Japan",
    email="billing@example.com",
    registration_number="T1234567890123",
    payment_details="Example Bank, Head Office\nAccount 1234567, Example Cloud K.K.",
)

# Prices per tier and currency, in the order: USD, JPY.
PRICES: dict[str, dict[str, dict[str, str]]] = {
    "basic": {
        "USD": {"fee": "29.00", "input": "0.60", "output": "2.40"},
        "JPY": {"fee": "4500", "input": "90", "output": "360"},
    },
    "advanced": {
        "USD": {"fee": "199.00", "input": "0.50", "input_high": "0.40", "output": "2.00", "output_high": "1.60"},
        "JPY": {"fee": "30000", "input": "75", "input_high": "60", "output": "300", "output_high": "240"},
    },
    "premium": {
        "USD": {"hour": "1.95", "commitment": "900.00", "input": "0.10", "output": "0.40"},
        "JPY": {"hour": "290", "commitment": "135000", "input": "15", "output": "60"},
    },
    "advanced-api": {
        "USD": {"fee": "99.00", "strong": "4.50/22.50", "cheap": "0.40/1.90"},
        "JPY": {"fee": "15000", "strong": "675/3375", "cheap": "60/285"},
    },
    "premium-choice": {
        "USD": {"hour": "1.95", "commitment": "900.00", "input": "0.10", "output": "0.40", "strong": "4.50/22.50"},
        "JPY": {"hour": "290", "commitment": "135000", "input": "15", "output": "60", "strong": "675/3375"},
    },
}


WITH_API_LINES = ("advanced-api", "premium-choice")


def seed_rate_cards(*, actor: Actor) -> list[RateCard]:
    """Make what is missing of the example price list; what is there stays. Answers the cards.

    Raises NotFound when the hosted tiers are not there yet; tiers with API lines are priced where they are.
    """
    issuer = define_issuer(key="default", details=EXAMPLE_ISSUER)
    if not TaxRule.objects.filter(issuer=issuer).exists():
        # By currency for whom nothing else is known, by country for whom a tax profile states it.
        tax = TaxDetails(name="Consumption tax", name_ja="消費税", rate=Decimal("0.10"))
        for details in (replace(tax, currency="JPY"), replace(tax, country="JP")):
            define_tax(issuer_id=issuer.pk, details=details, since=FOREVER)
    return [
        _seed(tier, currency, prices, actor)
        for tier, currencies in PRICES.items()
        if tier not in WITH_API_LINES or TierVersion.objects.filter(tier__key=tier).exists()
        for currency, prices in currencies.items()
    ]


def _seed(tier: str, currency: str, prices: dict[str, str], actor: Actor) -> RateCard:
    version = TierVersion.objects.filter(tier__key=tier, number=1).first()
    if version is None:
        raise NotFound(f"There is no tier {tier}.", hint="Seed the tiers first: `manage.py seed_catalogue`.")
    name = tier.replace("-", " ").title()
    card = RateCard.objects.filter(name=name, currency=currency).order_by("number").first()
    if card is None:
        card = draft_rate_card(name=name, currency=currency, rates=RATES[tier](prices), actor=actor)
    if card.state != RateCardState.PUBLISHED:
        card = publish_rate_card(card_id=card.pk, actor=actor)
    if not TierPrice.objects.filter(tier_version=version, currency=currency).exists():
        price_tier(tier_version_id=version.pk, card_id=card.pk, effective_from=FOREVER, actor=actor)
    return card


def _tokens(prices: dict[str, str], direction: str) -> RateDraft:
    return RateDraft(
        key=f"{direction}-tokens",
        model="per_unit",
        meter=f"{direction}_tokens",
        parameters={"unit_price": prices[direction], "per": MILLION},
        description=f"{direction.title()} tokens",
        description_ja={"input": "入力トークン", "output": "出力トークン"}[direction],
    )


def _overage(prices: dict[str, str], direction: str, included: int, first: int) -> RateDraft:
    bands: list[dict[str, Any]] = [
        {"up_to": first, "unit_price": prices[direction]},
        {"up_to": None, "unit_price": prices[f"{direction}_high"]},
    ]
    return RateDraft(
        key=f"{direction}-tokens",
        model="allowance",
        meter=f"{direction}_tokens",
        parameters={"included": included, "per": MILLION, "bands": bands},
        description=f"{direction.title()} tokens",
        description_ja={"input": "入力トークン", "output": "出力トークン"}[direction],
    )


def _fee(amount: str, name: str, name_ja: str) -> RateDraft:
    return RateDraft(
        key="platform-fee", model="flat", parameters={"amount": amount}, description=name, description_ja=name_ja
    )


def _basic(prices: dict[str, str]) -> list[RateDraft]:
    fee = _fee(prices["fee"], "Basic platform fee", "ベーシック基本料金")
    return [fee, _tokens(prices, "input"), _tokens(prices, "output")]


def _advanced(prices: dict[str, str]) -> list[RateDraft]:
    return [
        _fee(prices["fee"], "Advanced platform fee", "アドバンスト基本料金"),
        _overage(prices, "input", 5 * MILLION, 20 * MILLION),
        _overage(prices, "output", 100_000, MILLION),
    ]


def _premium(prices: dict[str, str]) -> list[RateDraft]:
    hours = RateDraft(
        key="endpoint-hours",
        model="hourly",
        meter="endpoint_seconds",
        parameters={"price": prices["hour"]},
        description="Dedicated endpoint",
        description_ja="専用エンドポイント",
    )
    commitment = RateDraft(
        key="minimum-commitment",
        model="minimum_commitment",
        parameters={"amount": prices["commitment"], "meters": ["endpoint_seconds"]},
        description="Minimum commitment for the dedicated endpoint",
        description_ja="専用エンドポイント最低利用料との差額",
    )
    return [hours, commitment, _tokens(prices, "input"), _tokens(prices, "output")]


def _of_line(prices: dict[str, str], line: str) -> list[RateDraft]:
    """What tokens of one serving line cost; `prices` has them as "input/output" under the line's first word."""
    asked, answered = prices[line.partition("-")[0]].split("/")
    return [
        RateDraft(
            key=f"{line}-{direction}-tokens",
            model="per_unit",
            meter=f"{direction}_tokens",
            parameters={"unit_price": price, "per": MILLION},
            description=f"{direction.title()} tokens, {line}",
            description_ja={"input": f"入力トークン（{line}）", "output": f"出力トークン（{line}）"}[direction],
            serving_line=line,
        )
        for direction, price in (("input", asked), ("output", answered))
    ]


def _advanced_api(prices: dict[str, str]) -> list[RateDraft]:
    fee = _fee(prices["fee"], "Advanced API platform fee", "アドバンストAPI基本料金")
    return [fee, *_of_line(prices, "strong-api"), *_of_line(prices, "cheap-api")]


def _premium_choice(prices: dict[str, str]) -> list[RateDraft]:
    return [*_premium(prices), *_of_line(prices, "strong-api")]


RATES = {
    "basic": _basic,
    "advanced": _advanced,
    "premium": _premium,
    "advanced-api": _advanced_api,
    "premium-choice": _premium_choice,
}
