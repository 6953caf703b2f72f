"""What one operation declares about itself. Apart from `api.endpoint`, so that permissions can read it.

(DRF imports the permission classes while it defines APIView, so they cannot import anything that needs APIView.)
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rest_framework import serializers

from api.bodies import Body, Query
from api.idempotency import KeyRule

Out = serializers.Serializer[Any]


class _Writers(threading.local):
    """Each thread's own."""

    def __init__(self) -> None:
        self.kept: dict[type[Out], Out] = {}


_writers = _Writers()


@dataclass(frozen=True, slots=True)
class Door:
    """What one operation asks for and answers. `name` is the operationId; `many` says that it answers pages.

    `fact` is the event that its success leaves in the audit trail, by which a crashed attempt is recognized.
    """

    name: str
    scope: str
    summary: str
    query: type[Query]
    body: type[Body] | None
    reply: type[Out] | None
    many: bool
    status: int
    idempotency: KeyRule
    if_match: bool
    fact: str = ""
    uploads: Mapping[str, Any] = field(default_factory=dict)
    media_type: str = ""
    request_example: Any = None
    reply_example: Any = None


def door_of(view: object, method: str) -> Door | None:
    """The declaration of a view's method; None when it has none."""
    door = getattr(getattr(view, method.lower(), None), "door", None)
    return door if isinstance(door, Door) else None


def writer(kind: type[Out], context: dict[str, Any]) -> Out:
    """This thread's serializer of a kind, with `context` until it is asked for again.

    DRF copies every declared field for each new serializer, nested ones too.
    """
    found = _writers.kept.get(kind)
    if found is None:
        found = _writers.kept[kind] = kind()
    found._context = context
    return found
