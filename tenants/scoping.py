"""Whose rows a caller may see: the one filter of every table that belongs to tenants."""

from collections.abc import Collection
from typing import Any, TypeVar

from django.db import models

Rows = TypeVar("Rows", bound=models.QuerySet[Any])


class TenantScoped:
    """For the queryset of a table with a `tenant`."""

    def visible_to(self: Rows, tenant_ids: Collection[int] | None) -> Rows:  # type: ignore[misc]  # a mixin, always beside a QuerySet
        """Those of the tenants named; None means all, those of no tenant included."""
        return self if tenant_ids is None else self.filter(tenant_id__in=tenant_ids)
