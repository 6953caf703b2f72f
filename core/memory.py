"""Work that makes very many objects at once, and frees them all by itself when it is done."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Python's search for unreachable cycles rests meanwhile; objects outside of cycles are freed as ever.

    It starts again with every few hundred new objects and goes through all that live: a batch of an invoice run, which
    keeps a hundred thousand until they are written, spent a quarter of its time so. For work of bounded size only.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:  # of several threads the one that came first turns it on again
            gc.enable()
