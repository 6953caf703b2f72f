"""A new version of a tier, put together from what three rooms hold: promises, serving lines, prices.

The parts are written one after the other, the publishing last: until then nobody can be placed on the version, so a
draft that lacks a part after a crash is seen and harms nobody.
"""

from collections.abc import Sequence

from billing.models import RateCard, TierPrice
from billing.services.rate_cards import price_tier
from billing.states import RateCardState
from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError
from core.periods import floor_to_bucket
from provisioning.models import ServingLine, TierRoute
from provisioning.services.catalogue import route_tier
from tenants.models import TierVersion
from tenants.services import tiers
from tenants.services.tiers import TierLimits, TierVersionInvalid, TokenLimit

HOUR = 3600


class TierVersionIncomplete(Conflict):
    """A version without a line or a price promises what nobody can keep."""

    code = "tier_version_incomplete"
    title = "The tier version is not complete"


def create_tier_version(
    *,
    tier_key: str,
    limits: TierLimits,
    tokens: Sequence[TokenLimit],
    lines: Sequence[str],
    rate_cards: Sequence[str],
    actor: Actor,
) -> TierVersion:
    """Draft the next version of a tier with its serving lines in order and its prices; tenants stay where they are.

    Without `rate_cards` (public ids) it costs what the tier's newest version costs now. Raises NotFound for an unknown
    tier, and TierVersionInvalid for limits, lines or cards that cannot be used; nothing is written then.
    """
    found = _lines(lines)
    cards = _cards(rate_cards) or _cards_of_newest(tier_key)
    version = tiers.draft_tier_version(tier_key=tier_key, limits=limits, tokens=tokens, actor=actor)
    route_tier(tier_version_id=version.pk, lines=found)
    since = floor_to_bucket(clock.now(), HOUR)
    for card in cards:
        price_tier(tier_version_id=version.pk, card_id=card.pk, effective_from=since, actor=actor)
    return version


def publish_tier_version(*, tier_version_id: int, actor: Actor) -> TierVersion:
    """Close the version to change; newcomers are placed on it. Raises TierVersionIncomplete."""
    missing = []
    if not TierRoute.objects.filter(tier_version_id=tier_version_id).exists():
        missing.append("a serving line")
    if not TierPrice.objects.filter(tier_version_id=tier_version_id).exists():
        missing.append("a price")
    if missing:
        raise TierVersionIncomplete(f"The version lacks {' and '.join(missing)}.", hint="Create the version anew.")
    return tiers.publish_tier_version(tier_version_id=tier_version_id, actor=actor)


def _lines(names: Sequence[str]) -> list[ServingLine]:
    there = {line.name: line for line in ServingLine.objects.filter(name__in=names)}
    unknown = [name for name in names if name not in there]
    if unknown or not names or len(set(names)) < len(names):
        known = ", ".join(ServingLine.objects.order_by("name").values_list("name", flat=True)[:20])
        detail = f"There is no line {', '.join(unknown)}." if unknown else "Name each line once, and at least one."
        raise TierVersionInvalid(detail, hint=f"Lines are: {known}.", errors=[FieldError("/lines", "unknown", detail)])
    return [there[name] for name in names]


def _cards(refs: Sequence[str]) -> list[RateCard]:
    cards = list(RateCard.objects.filter(public_id__in=refs, state=RateCardState.PUBLISHED))
    if len(cards) < len(set(refs)):
        detail = "Each rate card is named by its id and is published."
        raise TierVersionInvalid(detail, errors=[FieldError("/rate_cards", "unknown", detail)])
    return cards


def _cards_of_newest(tier_key: str) -> list[RateCard]:
    newest = TierVersion.objects.filter(tier__key=tier_key, published_at__isnull=False).order_by("-number").first()
    prices = TierPrice.objects.filter(tier_version=newest, effective__contains=clock.now())
    return [price.rate_card for price in prices.select_related("rate_card")] if newest else []
