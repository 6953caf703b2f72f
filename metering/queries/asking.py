"""What every query of usage needs: whose rows, and the rows of a statement."""

from collections.abc import Collection
from typing import Any

from django.db import connection
from django.db.models import Q


def visible(tenant_ids: Collection[int] | None) -> Q:
    """The rows of the tenants named; None means all."""
    return Q() if tenant_ids is None else Q(tenant_id__in=tenant_ids)


def ids_of(tenant_ids: Collection[int] | None) -> list[int] | None:
    """The same for a statement: a list for `= ANY(%s)`, or NULL for all."""
    return None if tenant_ids is None else list(tenant_ids)


def rows_of(statement: str, asked: Any) -> list[tuple[Any, ...]]:
    """Every row that a statement answers."""
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
