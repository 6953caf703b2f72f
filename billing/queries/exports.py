"""Reading exports. `tenant_ids` has no default: None means that the caller may see all of them."""

from collections.abc import Collection

from django.db.models import QuerySet

from accounts.access import Principal, can
from billing.models import Export
from core.errors import NotFound

# Datasets that a caller needs another permission for, beside the one to read exports.
GUARDED = {"events": "audit.view"}


def hidden_from(principal: Principal) -> list[str]:
    """The datasets that the caller may not see exports of."""
    return [dataset for dataset, permission in GUARDED.items() if not can(principal, permission)]


def list_exports(*, tenant_ids: Collection[int] | None, without: Collection[str]) -> QuerySet[Export]:
    """Exports, newest first, without those of the datasets in `without`.

    Who may see some tenants sees the exports that hold the data of one of them; a file over all is for who sees all.
    """
    exports = Export.objects.select_related("tenant").exclude(dataset__in=without).order_by("-id")
    return exports if tenant_ids is None else exports.filter(tenant_id__in=tenant_ids)


def get_export(ref: str, *, tenant_ids: Collection[int] | None, without: Collection[str]) -> Export:
    """By public id. Raises NotFound when absent or invisible."""
    found = list_exports(tenant_ids=tenant_ids, without=without).filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no export {ref}.")
    return found
