"""Reading what became of departures and of bulk operations. `tenant_ids` None means that the caller may see all."""

from collections.abc import Collection

from django.db.models import Count, Q, QuerySet

from core.errors import NotFound
from provisioning.models import BulkItem, BulkOperation, DeletionCertificate


def deletion_certificates(tenant_id: int, *, tenant_ids: Collection[int] | None) -> QuerySet[DeletionCertificate]:
    """What second reads after a tenant's departure found, newest first; a clean one is the last."""
    rows = DeletionCertificate.objects.visible_to(tenant_ids).filter(tenant_id=tenant_id)
    return rows.select_related("tenant").defer("pdf")


def deletion_certificate(ref: str, *, tenant_ids: Collection[int] | None) -> DeletionCertificate:
    """One by public id, with its PDF. Raises NotFound."""
    found = DeletionCertificate.objects.visible_to(tenant_ids).filter(public_id=ref).select_related("tenant").first()
    if found is None:
        raise NotFound(f"There is no deletion certificate {ref}.")
    return found


def bulk_operations(*, tenant_ids: Collection[int] | None) -> QuerySet[BulkOperation]:
    """Bulk operations, newest first, with how many tenants have which outcome: `total`, `ended` and `failed`.

    They touch many tenants, so they are for those who may see all; others find none.
    """
    ended = Q(items__state__in=["done", "skipped", "failed"])
    visible = BulkOperation.objects.all() if tenant_ids is None else BulkOperation.objects.none()
    return (
        visible.select_related("tier_version__tier")
        .annotate(
            total=Count("items"),
            ended=Count("items", filter=ended),
            failed=Count("items", filter=Q(items__state="failed")),
        )
        .order_by("-pk")
    )


def bulk_operation(ref: str, *, tenant_ids: Collection[int] | None) -> BulkOperation:
    """One by public id. Raises NotFound."""
    found = bulk_operations(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no bulk operation {ref}.")
    return found


def bulk_items(bulk_id: int) -> QuerySet[BulkItem]:
    """The tenants of a bulk operation with what became of each."""
    return BulkItem.objects.filter(bulk_id=bulk_id).select_related("tenant", "operation").order_by("pk")
