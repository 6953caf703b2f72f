"""Named places where a test lets a process die; nothing at all in production."""

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def arm(hook: Callable[[str], None] | None) -> None:
    """Call `hook(name)` at every crashpoint from now on; None disarms."""
    global _hook
    _hook = hook


def crashpoint(name: str) -> None:
    """Mark a boundary: before or after an AWS call or a commit."""
    if _hook is not None:
        _hook(name)
