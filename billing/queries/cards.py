"""Rate cards, and which of them prices whom."""

from collections.abc import Collection

from django.db.models import QuerySet

from billing.models import Rate, RateCard
from billing.rating.lines import CardTerms, RateTerms
from billing.rating.parameters import parse_parameters
from core.errors import NotFound
from metering.meters import METERS
from tenants.models import TierVersion
from tenants.queries import current_tier_version


def list_rate_cards(*, currency: str | None = None, state: str | None = None) -> QuerySet[RateCard]:
    """Cards with their rates and the tiers they price; the newest first."""
    cards = RateCard.objects.prefetch_related("rates", "tier_prices__tier_version__tier").order_by("-id")
    if currency:
        cards = cards.filter(currency=currency)
    if state:
        cards = cards.filter(state=state)
    return cards


def get_rate_card(ref: str) -> RateCard:
    """By public id. Raises NotFound."""
    card = list_rate_cards().filter(public_id=ref).first()
    if card is None:
        raise NotFound(f"There is no rate card {ref}.")
    return card


def priceable_version(tier: str, number: int | None) -> TierVersion:
    """A published version of a tier by its number, the newest without one. Raises NotFound."""
    if number is None:
        return current_tier_version(tier)
    found = TierVersion.objects.filter(tier__key=tier, number=number, published_at__isnull=False).first()
    if found is None:
        raise NotFound(f"The tier {tier} has no published version {number}.")
    return found


def card_terms(card_ids: Collection[int]) -> dict[int, CardTerms]:
    """Cards as the rating functions want them, by pk."""
    cards = RateCard.objects.filter(pk__in=card_ids).prefetch_related("rates")
    return {
        card.pk: CardTerms(
            public_id=card.public_id,
            name=card.name,
            number=card.number,
            currency=card.currency,
            rates=tuple(_terms(rate) for rate in sorted(card.rates.all(), key=lambda rate: rate.position)),
        )
        for card in cards
    }


def _terms(rate: Rate) -> RateTerms:
    return RateTerms(
        id=rate.pk,
        key=rate.key,
        meter=rate.meter,
        model=rate.model,
        parameters=parse_parameters(rate.model, rate.parameters),
        raw_parameters=rate.parameters,
        description=rate.description,
        description_ja=rate.description_ja,
        unit=METERS[rate.meter].unit if rate.meter in METERS else "unit",
        serving_line=rate.serving_line,
        tax_category=rate.tax_category,
    )
