"""Reading one row by something unique."""

from typing import TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def the_one(queryset: QuerySet[Row]) -> Row | None:
    """The only row that `queryset` can have; None without one.

    Unlike `first()` it sorts by nothing: for an ORDER BY Django hashes every selected column, which shows in
    the profile of a read with joins.
    """
    return next(iter(queryset.order_by()[:1]), None)
