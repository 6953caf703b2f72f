"""Rate cards: drafted, published once, tied to tiers from an instant on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Max

from billing.models import Rate, RateCard, TierPrice
from billing.rating.lines import UNITS
from billing.rating.parameters import METERED, Hourly, MinimumCommitment, parse_parameters
from billing.states import CARD_MOVES, RateCardState
from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.locks import advisory_lock
from core.states import move
from events.record import record_event


@dataclass(frozen=True, slots=True)
class RateDraft:
    """One price to be put on a card; `parameters` as in `rating.parameters`, `meter` empty for fees and commitments."""

    key: str
    model: str
    parameters: dict[str, Any]
    description: str
    description_ja: str = ""
    meter: str = field(default="")


class InvalidRateCard(Invalid):
    """The rates do not make a card; `errors` names each one that is wrong."""

    code = "invalid_rate_card"
    title = "Invalid rate card"


class CardNotPublished(Conflict):
    """Only a published card can price a tier: a draft could still change."""

    code = "rate_card_not_published"
    title = "Rate card not published"


class PriceInThePast(Conflict):
    """The tier already has a price that begins at or after this instant."""

    code = "price_not_after_current"
    title = "Price does not follow the current one"


def draft_rate_card(*, name: str, currency: str, rates: Sequence[RateDraft], actor: Actor) -> RateCard:
    """Write a card with the next number of its name and currency; its rates are checked already.

    Raises InvalidRateCard, or InvalidParameters for a rate whose parameters do not fit its model.
    """
    _check(rates)
    with transaction.atomic(durable=True):
        advisory_lock(f"rate-card:{name}:{currency}")
        last = RateCard.objects.filter(name=name, currency=currency).aggregate(last=Max("number"))["last"] or 0
        card = RateCard.objects.create(name=name, currency=currency, number=last + 1)
        Rate.objects.bulk_create(
            Rate(
                card=card,
                position=position,
                key=rate.key,
                meter=rate.meter,
                model=rate.model,
                parameters=rate.parameters,
                description=rate.description,
                description_ja=rate.description_ja,
            )
            for position, rate in enumerate(rates, start=1)
        )
    return card


def publish_rate_card(*, card_id: int, actor: Actor) -> RateCard:
    """Close a card to change; quiet when it is published already."""
    with transaction.atomic(durable=True):
        card = RateCard.objects.select_for_update(no_key=True).get(pk=card_id)
        if card.state != RateCardState.PUBLISHED:
            move(card, to=RateCardState.PUBLISHED, table=CARD_MOVES, published_at=clock.now())
            data = {"id": card.public_id, "name": card.name, "number": card.number, "currency": card.currency}
            record_event("rate_card.published", tenant=None, subject=card, actor=actor, data=data)
    return card


def price_tier(*, tier_version_id: int, card_id: int, effective_from: datetime, actor: Actor) -> TierPrice:
    """Let a card price a tier version from an instant on; the price before it in that currency ends there.

    Quiet when the card is the current price already. Raises CardNotPublished and PriceInThePast.
    """
    with transaction.atomic(durable=True):
        card = RateCard.objects.select_for_update(no_key=True).get(pk=card_id)
        if card.state != RateCardState.PUBLISHED:
            raise CardNotPublished(f"{card} is a draft.", hint="Publish it first; it cannot be changed after that.")
        prices = TierPrice.objects.select_for_update(no_key=True).filter(
            tier_version_id=tier_version_id, currency=card.currency
        )
        current = prices.filter(effective__endswith__isnull=True).first()
        if current is not None:
            if current.rate_card_id == card.pk:
                return current
            if current.effective.lower >= effective_from:
                raise PriceInThePast(
                    f"The current price of this tier begins at {current.effective.lower.isoformat()}.",
                    hint="Let the new price begin later.",
                )
            ended = DateTimeTZRange(current.effective.lower, effective_from, "[)")
            TierPrice.objects.filter(pk=current.pk).update(effective=ended)
        return TierPrice.objects.create(
            tier_version_id=tier_version_id,
            rate_card=card,
            currency=card.currency,
            effective=DateTimeTZRange(effective_from, None, "[)"),
        )


def _check(rates: Sequence[RateDraft]) -> None:
    errors: list[FieldError] = []
    charged: set[str] = set()
    keys: set[str] = set()
    committed: list[tuple[int, str]] = []
    for position, rate in enumerate(rates):
        parameters = parse_parameters(rate.model, rate.parameters)
        where = f"/rates/{position}"
        if rate.key in keys:
            errors.append(FieldError(f"{where}/key", "repeated", f"{rate.key} is on the card already"))
        if isinstance(parameters, METERED):
            if rate.meter not in UNITS:
                known = ", ".join(UNITS)
                errors.append(FieldError(f"{where}/meter", "unknown", f"{rate.meter!r} is no meter; one of {known}"))
            if rate.meter in charged:
                errors.append(FieldError(f"{where}/meter", "repeated", f"{rate.meter} has a rate already"))
        elif rate.meter:
            errors.append(FieldError(f"{where}/meter", "not_metered", f"a {rate.model} rate has no meter"))
        if isinstance(parameters, Hourly) and rate.meter != "endpoint_seconds":
            errors.append(FieldError(f"{where}/meter", "not_seconds", "an hourly rate needs a meter of seconds"))
        if isinstance(parameters, MinimumCommitment):
            committed.extend((position, meter) for meter in parameters.meters)
        keys.add(rate.key)
        charged.add(rate.meter)
    for position, meter in committed:
        if meter not in charged:
            pointer = f"/rates/{position}/parameters/meters"
            errors.append(FieldError(pointer, "not_charged", f"the card has no rate for {meter}"))
    if not rates:
        errors.append(FieldError("/rates", "required", "a card has at least one rate"))
    if errors:
        raise InvalidRateCard(f"{errors[0].pointer}: {errors[0].detail}.", errors=errors)
