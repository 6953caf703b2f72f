"""Lifecycles are tables; a move is a compare-and-set along one.

Of two workers that believe in the same state one wins, and the other is told.
"""

from collections.abc import Mapping
from typing import Any

from django.db import models
from django.db.models import F

from core.errors import Conflict

Moves = Mapping[str, frozenset[str]]


class StaleState(Conflict):
    """Somebody else moved the row since it was read."""

    code = "stale_state"
    title = "The object changed meanwhile"


class IllegalMove(Conflict):
    """The lifecycle has no such step."""

    code = "illegal_move"
    title = "Not possible in this state"


def move(row: models.Model, *, to: str, table: Moves, **changes: Any) -> None:
    """Move `row.state` along `table`, writing `changes` with it; the row in hand is brought up to date.

    A model with a `version` number (not a link of that name) gets it raised, so that an ETag read before the move is
    stale after it.
    Raises IllegalMove when the table has no such step and StaleState when the row is no longer in the state it was
    read in; nothing is written then.
    """
    state: str = row.state  # type: ignore[attr-defined]
    if to not in table.get(state, frozenset()):
        raise IllegalMove(
            f"{row._meta.verbose_name} is {state} and cannot become {to}.".capitalize(),
            hint=f"From {state} it can become: {', '.join(sorted(table.get(state, ()))) or 'nothing'}.",
        )
    updates: dict[str, Any] = {"state": to, **changes}
    if any(field.name == "version" and not field.is_relation for field in row._meta.concrete_fields):
        updates["version"] = F("version") + 1
    moved = type(row)._default_manager.filter(pk=row.pk, state=state).update(**updates)
    if not moved:
        raise StaleState(f"The {row._meta.verbose_name} is no longer {state}.", hint="Read it again, then decide.")
    row.refresh_from_db(fields=list(updates))
