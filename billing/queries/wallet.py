"""Reading prepaid credit. `tenant_ids` has no default: None means that the caller may see all tenants."""

from collections.abc import Collection

from django.db.models import Q, QuerySet

from billing.models import CreditEntry, CreditGrant
from core import clock
from core.errors import NotFound


def list_grants(
    *, tenant_ids: Collection[int] | None, tenant: str | None = None, is_open: bool = False
) -> QuerySet[CreditGrant]:
    """Grants with their tenants, newest first; of a tenant by public id; `is_open` those that can be drawn from."""
    rows = CreditGrant.objects.select_related("tenant").order_by("-id")
    if tenant_ids is not None:
        rows = rows.filter(tenant_id__in=tenant_ids)
    if tenant:
        rows = rows.filter(tenant__public_id=tenant)
    if is_open:
        rows = rows.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now()), remaining__gt=0)
    return rows


def get_grant(ref: str, *, tenant_ids: Collection[int] | None) -> CreditGrant:
    """By public id. Raises NotFound when absent or invisible."""
    found = list_grants(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no credit grant {ref}.")
    return found


def list_entries(*, tenant_ids: Collection[int] | None, grant: CreditGrant | None = None) -> QuerySet[CreditEntry]:
    """The ledger, newest first; of one grant if one is named."""
    rows = CreditEntry.objects.select_related("grant", "tenant", "invoice").order_by("-id")
    if tenant_ids is not None:
        rows = rows.filter(tenant_id__in=tenant_ids)
    return rows if grant is None else rows.filter(grant=grant)
