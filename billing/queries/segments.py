"""Which card prices which part of a period, for many tenants at once.

Changes of tier and of price are snapped down to the usage bucket they fall into, so every bucket is priced once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from billing.models import TierPrice
from billing.queries.cards import card_terms
from billing.rating.lines import CardTerms, Segment, Usage
from billing.rating.proration import split
from core.errors import Conflict, Invalid
from core.periods import Period, bucket_seconds, floor_to_bucket, month_containing
from tenants.models import Tenant, TierAssignment

# The rest of the row of a tenant would only cost time.
PLANNED = ("name", "currency", "billing_timezone", "activated_at")


class NoRateCard(Conflict):
    """A tenant's tier has no price in its currency for a part of the period."""

    code = "no_rate_card"
    title = "No rate card"


class PeriodSpansMonths(Invalid):
    """A billing period lies within one billing month of its tenant: fees and allowances belong to a month."""

    code = "period_spans_months"
    title = "Not within one billing month"


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A part of a period under one card, before its usage is known. `fee_span` is its part since activation."""

    tenant_id: int
    span: Period
    fee_span: Period | None
    month: Period
    card: CardTerms

    def used(self, usage: Sequence[Usage]) -> Segment:
        """What the rating engine takes: this part with what was used in it."""
        return Segment(self.span, self.fee_span, self.month, self.card, tuple(usage))


@dataclass(frozen=True, slots=True)
class _Stay:
    start: datetime
    end: datetime | None
    target: int


def tenants_to_plan(tenant_ids: Collection[int]) -> QuerySet[Tenant]:
    """Tenants in order of their keys, with what planning their segments reads of them."""
    return Tenant.objects.filter(pk__any_of=tenant_ids).only(*PLANNED).order_by("pk")


def plan_segments(tenants: Collection[Tenant], period: Period) -> dict[int, list[SegmentPlan]]:
    """The segments of `period` per tenant, in order; a tenant that was on no tier in it has none.

    Raises NoRateCard, and PeriodSpansMonths when the period is not within one billing month of a tenant's zone.
    """
    stays = _assignments(tenants, period)
    prices = _prices({stay.target for found in stays.values() for stay in found}, {t.currency for t in tenants})
    terms = card_terms({price.target for found in prices.values() for price in found})
    return {tenant.pk: _plan(tenant, period, stays[tenant.pk], prices, terms) for tenant in tenants}


def _plan(
    tenant: Tenant,
    period: Period,
    stays: list[_Stay],
    prices: dict[tuple[int, str], list[_Stay]],
    terms: dict[int, CardTerms],
) -> list[SegmentPlan]:
    month = month_containing(period.start, tenant.billing_timezone)
    if period.end > month.end:
        raise PeriodSpansMonths(
            f"{period.start.isoformat()} to {period.end.isoformat()} is not within one month of "
            f"{tenant.billing_timezone}, the billing time zone of {tenant.name}.",
            hint="Invoice each billing month by itself.",
        )
    bucket = bucket_seconds(tenant.billing_timezone, year=period.start.year)
    since_activation = _since(tenant.activated_at, bucket, period)
    plans = []
    for span, version_id in _pieces(stays, bucket, period):
        priced = prices.get((version_id, tenant.currency), [])
        for part in split(span, [floor_to_bucket(price.start, bucket) for price in priced]):
            card_id = _target_at(priced, part.start, bucket)
            if card_id is None:
                raise NoRateCard(
                    f"The tier of {tenant.name} has no price in {tenant.currency} on {part.start.isoformat()}.",
                    hint="Publish a rate card in that currency and tie it to the tier's version.",
                )
            fee_span = since_activation.overlap(part) if since_activation else None
            plans.append(SegmentPlan(tenant.pk, part, fee_span, month, terms[card_id]))
    return plans


def _since(activated_at: datetime | None, bucket: int, period: Period) -> Period | None:
    if activated_at is None:
        return None
    start = floor_to_bucket(activated_at, bucket)
    return Period(start, period.end) if start < period.end else None


def _pieces(stays: list[_Stay], bucket: int, period: Period) -> Iterable[tuple[Period, int]]:
    """The stays within the period on the bucket grid: each lasts until the next begins, or until it ended."""
    starts = [floor_to_bucket(stay.start, bucket) for stay in stays]
    for position, stay in enumerate(stays):
        if position + 1 < len(stays):
            end = starts[position + 1]
        else:
            end = period.end if stay.end is None else _ceiling(stay.end, bucket)
        if starts[position] < end:
            part = Period(starts[position], end).overlap(period)
            if part is not None:
                yield part, stay.target


def _ceiling(at: datetime, bucket: int) -> datetime:
    floor = floor_to_bucket(at, bucket)
    return floor if floor == at else floor + timedelta(seconds=bucket)


def _target_at(stays: list[_Stay], at: datetime, bucket: int) -> int | None:
    for stay in reversed(stays):
        ends_after = stay.end is None or floor_to_bucket(stay.end, bucket) > at
        if floor_to_bucket(stay.start, bucket) <= at and ends_after:
            return stay.target
    return None


def _assignments(tenants: Collection[Tenant], period: Period) -> dict[int, list[_Stay]]:
    found: dict[int, list[_Stay]] = defaultdict(list)
    rows = TierAssignment.objects.filter(
        tenant__any_of=[tenant.pk for tenant in tenants], period__overlap=(period.start, period.end)
    )
    wanted = rows.order_by("tenant_id", "period").values_list("tenant_id", "tier_version_id", "period")
    for tenant_id, version_id, during in wanted:
        found[tenant_id].append(_Stay(during.lower, during.upper, version_id))
    return found


def _prices(version_ids: Collection[int], currencies: Collection[str]) -> dict[tuple[int, str], list[_Stay]]:
    found: dict[tuple[int, str], list[_Stay]] = defaultdict(list)
    rows = TierPrice.objects.filter(tier_version_id__in=version_ids, currency__in=currencies)
    for row in rows.order_by("tier_version_id", "currency", "effective"):
        stay = _Stay(row.effective.lower, row.effective.upper, row.rate_card_id)
        found[row.tier_version_id, row.currency].append(stay)
    return found
