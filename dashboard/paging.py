"""One page of a list, from the cursor in the address."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from core.paging import keyset_page

ROWS = 50

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """The rows of this page and the cursor of the next one, empty on the last."""

    rows: list[Row]
    next_cursor: str


def page_of(request: HttpRequest, queryset: QuerySet[Row], *, rows: int = ROWS, order: str = "-id") -> Listing[Row]:
    """The page that the address asks for. Raises InvalidCursor for a cursor that this list did not make."""
    page = keyset_page(queryset, cursor=request.GET.get("cursor") or None, limit=rows, order=order)
    return Listing(page.items, page.next_cursor or "")
