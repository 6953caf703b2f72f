"""List answers in pages: filters, order and tokens, the same for every kind of object."""

from collections.abc import Callable, Iterable
from typing import Any

from aws_emulator.objects import Resource
from aws_emulator.wire import invalid, open_token, seal_token
from aws_emulator.world import World

DEFAULT_PAGE = 10


def _sort_value(thing: Any, sort_by: str) -> Any:
    if sort_by == "Name":
        return thing.name
    return thing.status if sort_by == "Status" else thing.created_at


def _passes(thing: Any, request: dict[str, Any]) -> bool:
    return (
        request.get("NameContains", "").lower() in thing.name.lower()
        and request.get("StatusEquals") in (None, getattr(thing, "status", None))
        and request.get("EndpointNameEquals") in (None, getattr(thing, "endpoint_name", None))
        and request.get("VariantNameEquals") in (None, getattr(thing, "variant_name", None))
        and thing.created_at > request.get("CreationTimeAfter", float("-inf"))
        and thing.created_at < request.get("CreationTimeBefore", float("inf"))
        and thing.modified_at > request.get("LastModifiedTimeAfter", float("-inf"))
        and thing.modified_at < request.get("LastModifiedTimeBefore", float("inf"))
    )


def list_page(
    world: World,
    things: Iterable[Resource],
    request: dict[str, Any],
    member: str,
    row: Callable[[Any], dict[str, Any]],
) -> dict[str, Any]:
    """One page of the objects that pass the request's filters, as List* answers it.

    The token holds the last row given, not a position, so that objects which come and go between two pages never
    make the caller miss or repeat another one.
    """
    sort_by = request.get("SortBy", "CreationTime")
    descending = request.get("SortOrder", "Descending") == "Descending"
    found = [thing for thing in things if _passes(thing, request)]
    found.sort(key=lambda thing: (_sort_value(thing, sort_by), thing.name), reverse=descending)
    if "NextToken" in request:
        try:
            token_sort, value, name = open_token(request["NextToken"])
            if token_sort != [sort_by, descending]:
                raise ValueError("another order")
            after = (value, name)
        except (ValueError, TypeError) as error:
            raise invalid("Invalid NextToken.") from error
        if descending:
            found = [thing for thing in found if (_sort_value(thing, sort_by), thing.name) < after]
        else:
            found = [thing for thing in found if (_sort_value(thing, sort_by), thing.name) > after]
    size = request.get("MaxResults", DEFAULT_PAGE)
    page, rest = found[:size], found[size:]
    answer: dict[str, Any] = {member: [row(thing) for thing in page]}
    for thing in page:
        world.look(thing)
    if rest:
        last = page[-1]
        answer["NextToken"] = seal_token([[sort_by, descending], _sort_value(last, sort_by), last.name])
    return answer
