"""Reading what became of departures and of bulk operations. `tenant_ids` None means that the caller may see all."""

from collections.abc import Collection

from django.db.models import Count, Q, QuerySet

from core.errors import NotFound
from provisioning.models import BulkItem, BulkOperation, DeletionCertificate


def deletion_certificates(tenant_id: int, *, tenant_ids: Collection[int] | None) -> QuerySet[DeletionCertificate]:
    """What second reads after a tenant's departure found, newest first; a clean one is the last."""
    rows = DeletionCertificate.objects.visible_to(tenant_ids).filter(tenant_id=tenant_id)
    return rows.select_related("tenant").defer("pdf")


def deletion_certificate(tenant_id: int, *, tenant_ids: Collection[int] | None) -> DeletionCertificate:
    """The newest one, with its PDF. Raises NotFound when there is none yet."""
    newest = deletion_certificates(tenant_id, tenant_ids=tenant_ids).defer(None).first()
    if newest is None:
        raise NotFound("There is no deletion certificate yet.", hint="It is issued after the departure has ended.")
    return newest


def bulk_operations() -> QuerySet[BulkOperation]:
    """Bulk operations, newest first, with how many tenants have which outcome: `total`, `ended` and `failed`."""
    ended = Q(items__state__in=["done", "skipped", "failed"])
    return (
        BulkOperation.objects.select_related("tier_version__tier")
        .annotate(
            total=Count("items"),
            ended=Count("items", filter=ended),
            failed=Count("items", filter=Q(items__state="failed")),
        )
        .order_by("-pk")
    )


def bulk_operation(ref: str) -> BulkOperation:
    """One by public id. Raises NotFound."""
    found = bulk_operations().filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no bulk operation {ref}.")
    return found


def bulk_items(bulk_id: int) -> QuerySet[BulkItem]:
    """The tenants of a bulk operation with what became of each."""
    return BulkItem.objects.filter(bulk_id=bulk_id).select_related("tenant", "operation").order_by("pk")
