"""Places where a test may let the process die. In production a crashpoint does nothing.

A boundary is an AWS call or a commit: dying before it or after it must lose nothing and double nothing, and a test
tries every one (tests/integration/provisioning/test_crashes.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_hook: Callable[[str], None] | None = None


def arm(hook: Callable[[str], None] | None) -> None:
    """Call `hook` with the name of every crashpoint that is passed; None disarms."""
    global _hook
    _hook = hook


def crashpoint(name: str) -> None:
    """Tell the hook, if one is armed, that the process has come this far."""
    if _hook is not None:
        _hook(name)


@contextmanager
def boundary(name: str) -> Iterator[None]:
    """A crashpoint before and, unless an exception passes, after an AWS call or a transaction."""
    crashpoint(f"before {name}")
    yield
    crashpoint(f"after {name}")
