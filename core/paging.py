"""Keyset pages: the cursor names the last row seen, so a page costs the same at row 10 and at row 10 million."""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q, QuerySet

from core.errors import Invalid

MAX_LIMIT = 500

Row = TypeVar("Row", bound=Model)


class InvalidCursor(Invalid):
    """The cursor was not made by this list."""

    code = "invalid_cursor"
    status = 400
    title = "Invalid cursor"


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """One page of rows, and the cursor of the next one; None on the last."""

    items: list[Row]
    next_cursor: str | None


def keyset_page(queryset: QuerySet[Row], *, cursor: str | None, limit: int, order: str = "-id") -> Page[Row]:
    """Up to `limit` rows of `queryset` after `cursor`, ordered by one column and then by id.

    `order` is a column of the model, with `-` for descending; it must not be NULL in any row. Raises InvalidCursor
    for a cursor that another order made or nobody made, and ValueError for a limit outside 1..500.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit must be 1..{MAX_LIMIT}")
    column, descending = order.removeprefix("-"), order.startswith("-")
    sign = "-" if descending else ""
    rows = queryset.order_by(f"{sign}{column}", *([] if column == "id" else [f"{sign}id"]))
    if cursor:
        rows = rows.filter(_after(queryset, column, descending, *_decode(cursor, order)))
    items = list(rows[: limit + 1])
    if len(items) <= limit:
        return Page(items, None)
    last = items[limit - 1]
    return Page(items[:limit], _encode(order, last.pk if column == "id" else getattr(last, column), last.pk))


def newest_page(read: Callable[[int | None, int], list[Any]], *, cursor: str | None, limit: int) -> Page[Any]:
    """As `keyset_page` by falling id, of what `read` answers: so many rows, from the first or after this key.

    Its rows name their key `pk`. Raises InvalidCursor.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit must be 1..{MAX_LIMIT}")
    items = read(_decode(cursor, "-id")[1] if cursor else None, limit + 1)
    if len(items) <= limit:
        return Page(items, None)
    last = items[limit - 1].pk
    return Page(items[:limit], _encode("-id", last, last))


def _after(queryset: QuerySet[Row], column: str, descending: bool, value: str, pk: int) -> Q:
    compare = "lt" if descending else "gt"
    if column == "id":
        return Q(**{f"id__{compare}": pk})
    field = queryset.model._meta.get_field(column)
    if not isinstance(field, Field):
        raise TypeError(f"{column} is no column of {queryset.model.__name__}")
    try:
        typed: Any = field.to_python(value)
    except ValidationError as error:
        raise InvalidCursor("The cursor does not fit this list.", hint="Start again without a cursor.") from error
    return Q(**{f"{column}__{compare}": typed}) | Q(**{column: typed, f"id__{compare}": pk})


def _encode(order: str, value: object, pk: int) -> str:
    text = json.dumps([order, str(value), pk], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, order: str) -> tuple[str, int]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        made_for, value, pk = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if made_for == order and isinstance(value, str) and type(pk) is int and abs(pk) < 2**63:
            return value, pk
    except (binascii.Error, ValueError, TypeError):
        pass
    raise InvalidCursor("The cursor was not made by this list.", hint="Start again without a cursor.")
