"""Rate cards: drafted, published once, tied to tiers from an instant on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Max

from billing.models import Invoice, Rate, RateCard, TierPrice
from billing.rating.parameters import METERED, TIMED, MinimumCommitment, Parameters, parse_parameters
from billing.states import CARD_MOVES, InvoiceKind, RateCardState
from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid
from core.locks import advisory_lock
from core.states import move
from events.record import record_event
from metering.meters import METERS
from tenants.models import TierAssignment


@dataclass(frozen=True, slots=True)
class RateDraft:
    """One price to be put on a card; `parameters` as in `rating.parameters`, `meter` empty for fees and commitments.

    With a `serving_line` it is the price of what was used on that line.
    """

    key: str
    model: str
    parameters: dict[str, Any]
    description: str
    description_ja: str = ""
    meter: str = field(default="")
    serving_line: str = ""
    tax_category: str = "standard"


class InvalidRateCard(Invalid):
    """The rates do not make a card; `errors` names each one that is wrong."""

    code = "invalid_rate_card"
    title = "Invalid rate card"


class CardNotPublished(Conflict):
    """Only a published card can price a tier: a draft could still change."""

    code = "rate_card_not_published"
    title = "Rate card not published"


class CardPublished(Conflict):
    """A published card never changes."""

    code = "rate_card_published"
    title = "Rate card published"


class StaleCard(Conflict):
    """Somebody else edited the draft meanwhile."""

    code = "rate_card_changed"
    title = "Rate card changed"


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
        _write_rates(card, rates)
        record_event("rate_card.drafted", tenant=None, subject=card, actor=actor, data=_data(card))
    return card


def edit_rate_card(*, card_id: int, rates: Sequence[RateDraft], expected_version: int, actor: Actor) -> RateCard:
    """Put other rates on a draft.

    Raises CardPublished, StaleCard when somebody else edited it meanwhile, InvalidRateCard and InvalidParameters.
    """
    _check(rates)
    with transaction.atomic(durable=True):
        card = RateCard.objects.select_for_update(no_key=True).get(pk=card_id)
        if card.state != RateCardState.DRAFT:
            raise CardPublished(f"{card} is published.", hint="Draft its next number; a published card never changes.")
        if card.version != expected_version:
            raise StaleCard(f"{card} is at version {card.version} by now.", hint="Read it again, then decide.")
        card.rates.all().delete()
        _write_rates(card, rates)
        card.version += 1
        card.save(update_fields=["version"])
        record_event("rate_card.edited", tenant=None, subject=card, actor=actor, data=_data(card))
    return card


def publish_rate_card(*, card_id: int, actor: Actor) -> RateCard:
    """Close a card to change; quiet when it is published already."""
    with transaction.atomic(durable=True):
        card = RateCard.objects.select_for_update(no_key=True).get(pk=card_id)
        if card.state != RateCardState.PUBLISHED:
            move(card, to=RateCardState.PUBLISHED, table=CARD_MOVES, published_at=clock.now())
            record_event("rate_card.published", tenant=None, subject=card, actor=actor, data=_data(card))
    return card


def price_tier(*, tier_version_id: int, card_id: int, effective_from: datetime, actor: Actor) -> TierPrice:
    """Let a card price a tier version from an instant on; the price before it in that currency ends there.

    Quiet when the card is the current price already. Raises CardNotPublished and PriceInThePast, also when an invoice
    or a draft has billed the tier after that instant.
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
            _refuse_billed(tier_version_id, card.currency, effective_from)
            ended = DateTimeTZRange(current.effective.lower, effective_from, "[)")
            TierPrice.objects.filter(pk=current.pk).update(effective=ended)
        price = TierPrice.objects.create(
            tier_version_id=tier_version_id,
            rate_card=card,
            currency=card.currency,
            effective=DateTimeTZRange(effective_from, None, "[)"),
        )
        data = {**_data(card), "tier": price.tier_version.tier.key, "effective_from": effective_from.isoformat()}
        record_event("rate_card.scheduled", tenant=None, subject=card, actor=actor, data=data)
    return price


def _refuse_billed(tier_version_id: int, currency: str, effective_from: datetime) -> None:
    """What was billed stays billed at its price, and a draft's usage is sealed by its spans: a new one begins after."""
    billed = Invoice.objects.standing().filter(
        kind=InvoiceKind.INVOICE,
        currency=currency,
        period_end__gt=effective_from,
        tenant__in=TierAssignment.objects.filter(tier_version_id=tier_version_id, period__endswith__isnull=True).values(
            "tenant"
        ),
    )
    last = billed.order_by("-period_end").first()
    if last is not None:
        raise PriceInThePast(
            f"{last} has billed this tier until {last.period_end.isoformat()}.",
            hint="Let the new price begin after that, and correct what was billed by credit notes.",
        )


def _write_rates(card: RateCard, rates: Sequence[RateDraft]) -> None:
    Rate.objects.bulk_create(
        Rate(
            card=card,
            position=position,
            key=rate.key,
            meter=rate.meter,
            serving_line=rate.serving_line,
            tax_category=rate.tax_category,
            model=rate.model,
            parameters=rate.parameters,
            description=rate.description,
            description_ja=rate.description_ja,
        )
        for position, rate in enumerate(rates, start=1)
    )


def _data(card: RateCard) -> dict[str, Any]:
    return {"id": card.public_id, "name": card.name, "number": card.number, "currency": card.currency}


def _check(rates: Sequence[RateDraft]) -> None:
    errors: list[FieldError] = []
    charged: set[tuple[str, str]] = set()
    keys: set[str] = set()
    committed: list[tuple[int, str]] = []
    for position, rate in enumerate(rates):
        parameters = parse_parameters(rate.model, rate.parameters)
        where = f"/rates/{position}"
        if rate.key in keys:
            errors.append(FieldError(f"{where}/key", "repeated", f"{rate.key} is on the card already"))
        errors += _check_meter(rate, parameters, where, charged)
        if isinstance(parameters, MinimumCommitment):
            committed.extend((position, meter) for meter in parameters.meters)
        keys.add(rate.key)
        charged.add((rate.meter, rate.serving_line))
    for position, meter in committed:
        if meter not in {charged_meter for charged_meter, _ in charged}:
            pointer = f"/rates/{position}/parameters/meters"
            errors.append(FieldError(pointer, "not_charged", f"the card has no rate for {meter}"))
    if not rates:
        errors.append(FieldError("/rates", "required", "a card has at least one rate"))
    if errors:
        raise InvalidRateCard(f"{errors[0].pointer}: {errors[0].detail}.", errors=errors)


def _check_meter(
    rate: RateDraft, parameters: Parameters, where: str, charged: set[tuple[str, str]]
) -> list[FieldError]:
    if not isinstance(parameters, METERED):
        if rate.meter or rate.serving_line:
            return [FieldError(f"{where}/meter", "not_metered", f"a {rate.model} rate has no meter")]
        return []
    if rate.meter not in METERS:
        known = ", ".join(METERS)
        return [FieldError(f"{where}/meter", "unknown", f"{rate.meter!r} is no meter; one of {known}")]
    errors = []
    if (rate.meter, rate.serving_line) in charged:
        on_line = f" on {rate.serving_line}" if rate.serving_line else ""
        errors.append(FieldError(f"{where}/meter", "repeated", f"{rate.meter}{on_line} has a rate already"))
    if isinstance(parameters, TIMED) and METERS[rate.meter].unit != "second":
        errors.append(FieldError(f"{where}/meter", "not_seconds", f"a rate {rate.model} needs a meter of seconds"))
    return errors
