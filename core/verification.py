"""Checks of what must always hold: each has a name, what it promises, and a way to find rows that break it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import connection

# Enough to see what is wrong; a broken invariant is looked into row by row, not read from a terminal.
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Check:
    """`violations` answers a sentence for each row that breaks the promise; none when it holds."""

    name: str
    promise: str
    violations: Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: the first violations, and whether there are more."""

    check: Check
    violations: tuple[str, ...]
    is_cut: bool

    @property
    def holds(self) -> bool:
        """Whether nothing breaks the promise."""
        return not self.violations


def sql_check(name: str, promise: str, statement: str, parameters: Sequence[Any] = ()) -> Check:
    """A check whose `statement` selects one text per violation; it runs over whole tables, so without a time limit."""

    def violations() -> Iterable[str]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({statement}) broken LIMIT {SHOWN + 1}", list(parameters))
            return [str(row[0]) for row in cursor.fetchall()]

    return Check(name, promise, violations)


def run(checks: Iterable[Check]) -> list[Verdict]:
    """Run checks one after the other."""
    verdicts = []
    for check in checks:
        found = tuple(islice(check.violations(), SHOWN + 1))
        verdicts.append(Verdict(check, found[:SHOWN], len(found) > SHOWN))
    return verdicts
