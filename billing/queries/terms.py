"""What holds for tenants beside their rate cards: taxes and discounts, for many at once."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import QuerySet

from billing.assembly import CustomerTerms
from billing.models import Discount, Issuer
from billing.queries.issuers import tax_profiles, taxes_of
from billing.rating.discounts import DiscountTerms
from core.errors import NotFound
from core.periods import Period
from tenants.models import Tenant


def customer_terms(
    issuer: Issuer, tenants: Collection[Tenant], period: Period, *, agreed_by: datetime | None = None
) -> dict[int, CustomerTerms]:
    """The terms of every tenant for a period, in three queries.

    Taxes are those of the period's last instant. With `agreed_by` only discounts that were made until then count.
    """
    profiles = tax_profiles([tenant.pk for tenant in tenants])
    taxes = taxes_of(issuer, tenants, period.end - timedelta(microseconds=1), profiles=profiles)
    discounts = _discounts(tenants, period, agreed_by)
    return {
        tenant.pk: CustomerTerms(taxes[tenant.pk], tuple(discounts[tenant.pk]), profiles.get(tenant.pk))
        for tenant in tenants
    }


def _discounts(
    tenants: Collection[Tenant], period: Period, agreed_by: datetime | None
) -> dict[int, list[DiscountTerms]]:
    rows = Discount.objects.filter(
        tenant__any_of=[tenant.pk for tenant in tenants], effective__overlap=(period.start, period.end)
    )
    if agreed_by is not None:
        rows = rows.filter(created_at__lte=agreed_by)
    found: dict[int, list[DiscountTerms]] = defaultdict(list)
    currencies = {tenant.pk: tenant.currency for tenant in tenants}
    for row in rows.order_by("pk"):
        # An amount in another currency than the tenant is billed in now cannot be taken off.
        if row.kind == Discount.Kind.FIXED and row.currency != currencies[row.tenant_id]:
            continue
        found[row.tenant_id].append(discount_terms(row))
    return found


def discount_terms(row: Discount) -> DiscountTerms:
    """A row as the rating functions want it."""
    return DiscountTerms(
        public_id=row.public_id,
        name=row.name,
        name_ja=row.name_ja,
        kind=row.kind,
        value=row.value,
        meters=tuple(row.meters),
        rate_keys=tuple(row.rate_keys),
        start=row.effective.lower,
        end=row.effective.upper,
    )


def list_discounts(*, tenant_ids: Collection[int] | None) -> QuerySet[Discount]:
    """Discounts with their tenants, newest first; None means all tenants."""
    rows = Discount.objects.select_related("tenant").order_by("-pk")
    return rows if tenant_ids is None else rows.filter(tenant_id__in=tenant_ids)


def get_discount(ref: str, *, tenant_ids: Collection[int] | None) -> Discount:
    """By public id. Raises NotFound when absent or invisible."""
    found = list_discounts(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no discount {ref}.")
    return found
