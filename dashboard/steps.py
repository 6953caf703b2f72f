"""Steps as pages draw them, whatever keeps them: operations, departures, uploads."""

from dataclasses import dataclass

from dashboard.words import word

_TONES = {"done": "done", "running": "running", "stuck": "failed", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a step list. `tone` is done, running, failed or waiting; `seconds` counts from the start."""

    title: str
    word: str
    tone: str
    icon: str
    spin: str
    detail: str
    seconds: float | None


def step(title: str, state: str, *, detail: str = "", seconds: float | None = None) -> Step:
    """A step in a state that `words` lists under the kind `step`."""
    known = word("step", state)
    tone = _TONES.get(state, "waiting")
    return Step(title, known.label, tone, known.icon, "spin" if tone == "running" else "", detail, seconds)
