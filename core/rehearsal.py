"""Dry runs: what a service would do is done by the service itself, and taken back before anybody else can see it.

So a dry run has the checks, the words and the figures of the real one, because it is the real one up to its last line.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from django.db import transaction

Answer = TypeVar("Answer")

_is_on = ContextVar("rehearsing", default=False)


@contextmanager
def rehearsable() -> Iterator[None]:
    """The transaction of a service that writes nowhere but to the database; durable, unless it is rehearsed."""
    with transaction.atomic(durable=not _is_on.get()):
        yield


def rehearse(act: Callable[[], Answer]) -> Answer:
    """What `act` answers, with all that it wrote taken back and nothing told to anybody.

    `act` must read what it answers before it returns. Its services say that they can be rehearsed by `rehearsable()`;
    RuntimeError from one that does not.
    """
    with transaction.atomic(durable=True):
        token = _is_on.set(True)
        try:
            answer = act()
        finally:
            _is_on.reset(token)
        transaction.set_rollback(True)
    return answer
