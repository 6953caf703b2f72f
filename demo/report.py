"""What the demo says while it runs, and what it found not to agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from local_stack.terminal import is_person, strong


@dataclass
class Report:
    """Prints each step with its seconds, and remembers every disagreement."""

    disagreements: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the story; its seconds are printed when it ends."""
        print(strong(f"\n{title}"), flush=True)
        started = time.monotonic()
        yield
        print(f"  … {time.monotonic() - started:.1f} s", flush=True)

    def note(self, text: str) -> None:
        """Something that happened."""
        print(f"  {text}", flush=True)

    def skip(self, what: str, why: str) -> None:
        """A step that cannot be done here."""
        print(f"  - {what}: skipped, {why}", flush=True)
        self.skipped.append(what)

    def agree(self, what: str, *values: object) -> None:
        """All `values` must be equal; otherwise the demo fails, and says so."""
        self.hold(what, all(value == values[0] for value in values), f"{', '.join(map(str, values))}")

    def hold(self, what: str, is_true: bool, found: str) -> None:
        """`what` must be true; `found` is what was seen."""
        mark = "✓" if is_true else "✗"
        if is_person():
            mark = f"\x1b[{32 if is_true else 31}m{mark}\x1b[0m"
        print(f"  {mark} {what}: {found}", flush=True)
        if not is_true:
            self.disagreements.append(f"{what}: {found}")
