"""Steps as pages draw them, whatever keeps them: operations, departures, uploads."""

from dataclasses import dataclass

from dashboard.words import word

_TONES = {"done": "done", "running": "running", "stuck": "failed", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a step list. `tone` is done, running, failed or waiting; `seconds` is how long it took or takes.

    `typical_seconds` is what such a step usually takes, `attempts` how often it was tried, and `diagnosis` what to
    think of one that takes far longer.
    """

    title: str
    word: str
    tone: str
    icon: str
    spin: str
    detail: str
    seconds: float | None
    typical_seconds: float | None
    diagnosis: str
    attempts: int = 0


def step(
    title: str,
    state: str,
    *,
    detail: str = "",
    seconds: float | None = None,
    typical_seconds: float | None = None,
    diagnosis: str = "",
    attempts: int = 0,
) -> Step:
    """A step in a state that `words` lists under the kind `step`."""
    known = word("step", state)
    tone = _TONES.get(state, "waiting")
    spin = "spin" if tone == "running" else ""
    return Step(title, known.label, tone, known.icon, spin, detail, seconds, typical_seconds, diagnosis, attempts)
