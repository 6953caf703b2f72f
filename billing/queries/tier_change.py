"""What a tier change would do to a tenant's money, by the engine that rates its invoices; nothing is saved."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.models import TierPrice
from billing.queries.cards import card_terms
from billing.queries.segments import NoRateCard, SegmentPlan, plan_segments
from billing.queries.usage import known_usage
from billing.rating.lines import CardTerms, RateTerms, Segment, rate_segment
from core import clock
from core.periods import Period, bucket_seconds, floor_to_bucket, month_containing
from tenants.models import Tenant, TierVersion


@dataclass(frozen=True, slots=True)
class RateDifference:
    """One price of either card, as both cards state it; empty where a card has none."""

    description: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PriceChange:
    """Amounts without tax and discounts, in `currency`.

    `this_month_*` are this billing month with the usage known now, if the tenant stays and if it changes at
    `effective_from`; fees are prorated. `per_month_*` are a whole month's fees and commitments without usage.
    """

    currency: str
    effective_from: datetime
    month: Period
    card_before: str
    card_after: str
    this_month_before: Decimal
    this_month_after: Decimal
    per_month_before: Decimal
    per_month_after: Decimal
    rates: Sequence[RateDifference]

    @property
    def this_month_difference(self) -> Decimal:
        """What this month's invoice would show more or, below zero, less."""
        return self.this_month_after - self.this_month_before

    @property
    def per_month_difference(self) -> Decimal:
        """What a whole month without usage costs more or less."""
        return self.per_month_after - self.per_month_before


def price_change(*, tenant_id: int, tier_version_id: int) -> PriceChange:
    """The money side of a dry run. Raises NoRateCard when either tier has no price in the tenant's currency."""
    tenant = Tenant.objects.get(pk=tenant_id)
    at = clock.now()
    month = month_containing(at, tenant.billing_timezone)
    bucket = bucket_seconds(tenant.billing_timezone, year=month.start.year)
    turn = max(floor_to_bucket(at, bucket), month.start)
    after = _card_of(tenant, tier_version_id, turn)
    plans = plan_segments([tenant], month)[tenant.pk]
    before = plans[-1].card if plans else after
    stays = [_segment(plan, plan.span, plan.card) for plan in plans]
    changes = [segment for plan in plans for segment in _turned(plan, turn, after)]
    return PriceChange(
        currency=tenant.currency,
        effective_from=turn,
        month=month,
        card_before=f"{before.name} #{before.number}",
        card_after=f"{after.name} #{after.number}",
        this_month_before=_total(stays),
        this_month_after=_total(changes),
        per_month_before=_total([Segment(month, month, month, before, ())]),
        per_month_after=_total([Segment(month, month, month, after, ())]),
        rates=_differences(before, after),
    )


def _card_of(tenant: Tenant, tier_version_id: int, at: datetime) -> CardTerms:
    price = TierPrice.objects.filter(
        tier_version_id=tier_version_id, currency=tenant.currency, effective__contains=at
    ).first()
    if price is None:
        version = TierVersion.objects.select_related("tier").get(pk=tier_version_id)
        raise NoRateCard(
            f"{version} has no price in {tenant.currency}.",
            hint="Publish a rate card in that currency and tie it to the version.",
        )
    return card_terms([price.rate_card_id])[price.rate_card_id]


def _segment(plan: SegmentPlan, span: Period, card: CardTerms) -> Segment:
    fees = plan.fee_span.overlap(span) if plan.fee_span else None
    return Segment(span, fees, plan.month, card, known_usage(plan.tenant_id, span))


def _turned(plan: SegmentPlan, turn: datetime, after: CardTerms) -> Iterable[Segment]:
    if plan.span.start < turn:
        yield _segment(plan, Period(plan.span.start, min(plan.span.end, turn)), plan.card)
    if plan.span.end > turn:
        yield _segment(plan, Period(max(plan.span.start, turn), plan.span.end), after)


def _total(segments: Iterable[Segment]) -> Decimal:
    return sum((line.amount for segment in segments for line in rate_segment(segment)), Decimal(0))


def _differences(before: CardTerms, after: CardTerms) -> list[RateDifference]:
    old = {(rate.key, rate.serving_line): rate for rate in before.rates}
    new = {(rate.key, rate.serving_line): rate for rate in after.rates}
    rows = []
    for key in [*old, *(key for key in new if key not in old)]:
        told = _told(old.get(key)), _told(new.get(key))
        if told[0] != told[1]:
            rows.append(RateDifference((new.get(key) or old[key]).description, *told))
    return rows


def _told(rate: RateTerms | None) -> str:
    """A rate's parameters in words: what the card says, without doing sums."""
    if rate is None:
        return ""
    told = []
    for name, value in rate.raw_parameters.items():
        if name == "bands" and isinstance(value, list):
            bands = [f"{band['unit_price']} up to {band['up_to'] or 'any number'}" for band in value]
            told.append(", ".join(bands))
        elif value not in (None, [], ""):
            told.append(f"{name.replace('_', ' ')} {value}")
    return f"{rate.model.replace('_', ' ')}: {'; '.join(told)}"
