"""Cursor pages: {"data": […], "next_cursor": "…", "has_more": true}, and the next page as a Link header.

A cursor is signed for its list, its filters and what its reader may see: another reader's cursor is refused.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.core import signing
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from api.authentication import principal_of_request
from core.paging import InvalidCursor, Page, keyset_page

WALKING = ("limit", "cursor")


def page_reply(
    queryset: QuerySet[Any],
    *,
    request: Request,
    query: Mapping[str, Any],
    show: Callable[[list[Any]], list[Any]],
    order: str = "-id",
) -> Response:
    """One page of `queryset`; `show` turns its rows into what the reply holds. Raises InvalidCursor."""
    return reply_with(partial(keyset_page, queryset, order=order), request=request, query=query, show=show)


def reply_with(
    read: Callable[..., Page[Any]],
    *,
    request: Request,
    query: Mapping[str, Any],
    show: Callable[[list[Any]], list[Any]],
) -> Response:
    """The page that `read` answers for a cursor and a limit. Raises InvalidCursor."""
    signer = signing.Signer(salt=_belongs_to(request, query))
    page = read(cursor=_opened(signer, query.get("cursor")), limit=query["limit"])
    next_cursor = signer.sign(page.next_cursor) if page.next_cursor else None
    response = Response(
        {"data": show(page.items), "next_cursor": next_cursor, "has_more": next_cursor is not None},
    )
    if next_cursor is not None:
        parameters = {**request.query_params.dict(), "cursor": next_cursor}
        response["Link"] = f'<{request.build_absolute_uri(request.path)}?{urlencode(parameters)}>; rel="next"'
    return response


def _belongs_to(request: Request, query: Mapping[str, Any]) -> str:
    principal = principal_of_request(request)
    sees = None if principal.tenant_ids is None else sorted(principal.tenant_ids)
    filters = {name: str(value) for name, value in sorted(query.items()) if name not in WALKING}
    return "api.cursor:" + json.dumps([request.path, filters, sees])


def _opened(signer: signing.Signer, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        return signer.unsign(cursor)
    except signing.BadSignature as error:
        raise InvalidCursor(
            "The cursor was not made by this list with these filters.", hint="Start again without a cursor."
        ) from error
