"""Columns of values as PostgreSQL reads arrays from text; pure.

psycopg dumps a list value by value in Python, which for a batch took longer than PostgreSQL needs to write it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

# Joins texts until they are quoted, all at once.
_BETWEEN = "\x1f"


def array(values: Sequence[int | Decimal | str | float | datetime]) -> str:
    """An array literal of values of one type."""
    if not values:
        return "{}"
    if isinstance(values[0], str):
        return _texts(values)  # type: ignore[arg-type]
    if isinstance(values[0], datetime):
        # The same few instants stand in many rows.
        shown = {value: f'"{value}"' for value in set(values)}
        return "{" + ",".join(map(shown.__getitem__, values)) + "}"
    return "{" + ",".join(map(str, values)) + "}"


def arrays(rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """The columns of `rows`; empty without rows."""
    return [array(column) for column in zip(*rows, strict=True)]


def _texts(values: Sequence[str]) -> str:
    joined = _BETWEEN.join(values)
    if joined.count(_BETWEEN) != len(values) - 1:
        return "{" + ",".join(f'"{_escaped(value)}"' for value in values) + "}"
    if "\\" in joined or '"' in joined:
        joined = _escaped(joined)
    return '{"' + joined.replace(_BETWEEN, '","') + '"}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
