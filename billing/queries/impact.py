"""What a rate card would have changed: the last three closed periods of everybody whom it would price, re-rated."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.models import Invoice, RateCard, TierPrice
from billing.queries.what_if import Otherwise, Rerated, rerate
from billing.states import IN_FORCE, InvoiceKind
from core import clock
from tenants.models import Tenant, TierAssignment

PERIODS = 3
# A preview is looked at by a person; whoever has more tenants than this sees the first of them and the sums of those.
TENANTS_SHOWN = 500


@dataclass(frozen=True, slots=True)
class TenantImpact:
    """One tenant's closed periods, newest first, and what they come to together."""

    tenant: Tenant
    periods: tuple[Rerated, ...]

    @property
    def billed(self) -> Decimal:
        """As billed, without tax."""
        return sum((period.billed for period in self.periods), Decimal(0))

    @property
    def would_be(self) -> Decimal:
        """Under the card, without tax."""
        return sum((period.would_be for period in self.periods), Decimal(0))

    @property
    def difference(self) -> Decimal:
        """What the tenant would have paid more."""
        return self.would_be - self.billed


@dataclass(frozen=True, slots=True)
class Impact:
    """What a card does to whom, the biggest difference first; `is_cut` when there are more tenants than are shown."""

    card: RateCard
    tenants: tuple[TenantImpact, ...]
    is_cut: bool

    @property
    def billed(self) -> Decimal:
        """All of it as billed."""
        return sum((tenant.billed for tenant in self.tenants), Decimal(0))

    @property
    def would_be(self) -> Decimal:
        """All of it under the card."""
        return sum((tenant.would_be for tenant in self.tenants), Decimal(0))

    @property
    def difference(self) -> Decimal:
        """What all of them would have paid more."""
        return self.would_be - self.billed


def impact_of(card: RateCard) -> Impact:
    """Re-rate the last three closed periods of the tenants whom cards of this name and currency price today."""
    now = clock.now()
    prices = TierPrice.objects.filter(rate_card__name=card.name, currency=card.currency, effective__contains=now)
    stays = TierAssignment.objects.filter(tier_version__in=prices.values("tier_version"), period__contains=now)
    concerned = Tenant.objects.filter(currency=card.currency, pk__in=stays.values("tenant")).order_by("pk")
    tenants = list(concerned[: TENANTS_SHOWN + 1])
    shown = tenants[:TENANTS_SHOWN]
    chosen = _last_periods([tenant.pk for tenant in shown], card.currency)
    by_tenant: dict[int, list[Rerated]] = {tenant.pk: [] for tenant in shown}
    for each in rerate(Invoice.objects.filter(pk__in=chosen), Otherwise(card_id=card.pk)):
        by_tenant[each.invoice.tenant_id].append(each)
    found = [
        TenantImpact(tenant, tuple(sorted(by_tenant[tenant.pk], key=_start, reverse=True)))
        for tenant in shown
        if by_tenant[tenant.pk]
    ]
    found.sort(key=lambda each: (-abs(each.difference), each.tenant.pk))
    return Impact(card, tuple(found), len(tenants) > TENANTS_SHOWN)


def _last_periods(tenant_ids: Collection[int], currency: str) -> list[int]:
    rows = Invoice.objects.filter(
        kind=InvoiceKind.INVOICE, state__in=IN_FORCE, tenant__in=tenant_ids, currency=currency
    ).order_by("-period_start", "pk")
    taken: dict[int, int] = {}
    chosen = []
    for pk, tenant_id in rows.values_list("pk", "tenant_id"):
        if taken.setdefault(tenant_id, 0) < PERIODS:
            taken[tenant_id] += 1
            chosen.append(pk)
    return chosen


def _start(rerated: Rerated) -> datetime:
    return rerated.invoice.period_start
