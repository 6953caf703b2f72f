"""Named PostgreSQL advisory locks, held until the transaction ends, or for a piece of work without one."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def advisory_lock(name: str) -> None:
    """Wait for the lock called `name` and hold it until the surrounding transaction ends.

    Raises RuntimeError outside a transaction, where the lock would be gone at once.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(f"advisory_lock({name!r}) needs a transaction")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_key(name)])


def shared_lock(name: str) -> None:
    """Like `advisory_lock`, beside others who share it; only who takes the lock alone waits, and is waited for."""
    if not connection.in_atomic_block:
        raise RuntimeError(f"shared_lock({name!r}) needs a transaction")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_key(name)])


@contextmanager
def one_at_a_time(name: str) -> Iterator[bool]:
    """Whether this process got the lock called `name`, which it then holds until the block ends or it dies.

    For work that talks to others and must not hold a transaction meanwhile. The lock lives in the database session: it
    spares doubled work, and correctness must not rest on it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_key(name)])
        got = bool(cursor.fetchone()[0])
    try:
        yield got
    finally:
        if got:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_key(name)])


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
