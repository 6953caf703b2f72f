"""Short lines on the terminal: who, then what. Colour only for people."""

from __future__ import annotations

import os
import sys

COLOURS = {"postgres": 34, "valkey": 31, "aws": 33, "web": 32, "worker": 35, "beat": 36, "data": 33}


def is_person() -> bool:
    """Whether somebody watches and wants colour."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def say(who: str, what: str) -> None:
    """One line, with the speaker's name in its own colour."""
    name = f"{who:>9}"
    if is_person():
        name = f"\x1b[{COLOURS.get(who, 37)}m{name}\x1b[0m"
    print(f"{name} | {what}", flush=True)


def strong(text: str) -> str:
    """`text`, bold where somebody watches."""
    return f"\x1b[1m{text}\x1b[0m" if is_person() else text


def nothing(_who: str, _what: str) -> None:
    """Say nothing, for commands whose own output is what was asked for."""
