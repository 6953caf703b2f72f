"""Shared lines as their tenants see them: who uses what, who suffers, and what somebody can do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from core import clock
from metering.queries.neighbours import Neighbour, neighbours
from provisioning.models import ServingLine
from provisioning.services.limits import Fullest, fullest_windows

SHOWN = 10
# Who uses this much of a line is named as the one to move when others are turned away.
DOMINANT_PERCENT = 50


@dataclass(frozen=True, slots=True)
class OnLine:
    """A tenant on a shared line; `fullest` is its fullest token limit at this moment, None without limits."""

    use: Neighbour
    fullest: Fullest | None


@dataclass(frozen=True, slots=True)
class SharedLine:
    """A shared line with those that use it most or suffer most; `tenants` is how many there are of them in all."""

    line: ServingLine
    tokens: int
    tenants: int
    on_it: list[OnLine]
    advice: list[str]


def shared_lines(lines: Sequence[ServingLine], *, hours: int) -> list[SharedLine]:
    """Each of these lines over the last full hours and the one that runs; two statements and one read of the counters.

    Usage is what metering has read so far, so the newest hour is usually missing.
    """
    end = clock.now()
    start = end.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
    found = neighbours(line_names=[line.name for line in lines], start=start, end=end, shown=SHOWN)
    fullest = fullest_windows(tenant_ids={each.tenant_id for each in found})
    shown = []
    for line in lines:
        own = [each for each in found if each.line == line.name]
        on_it = [OnLine(each, fullest.get(each.tenant_id)) for each in own]
        tokens, tenants = (own[0].line_tokens, own[0].among) if own else (0, 0)
        shown.append(SharedLine(line, tokens, tenants, on_it, advise(own)))
    return shown


def advise(found: Sequence[Neighbour]) -> list[str]:
    """What somebody can do for those who suffer on a line; empty when nobody does. Pure."""
    said = []
    suffering = sorted((each for each in found if each.turned_away), key=lambda each: -each.turned_away)
    heaviest = max(found, key=lambda each: each.tokens, default=None)
    if suffering and heaviest is not None:
        names = ", ".join(f"{each.name} ({each.turned_away:,} times)" for each in suffering[:3])
        if heaviest.share_percent >= DOMINANT_PERCENT:
            cause = (
                f"{heaviest.name} uses {heaviest.share_percent} % of it: move it to a tier with a line of its own, or "
                "lower its tokens per minute."
            )
        else:
            cause = "Nobody dominates it: give the line more copies or instances, or move some tenants to another tier."
        said.append(f"The line turned away {names}. {cause}")
    for each in sorted((each for each in found if each.refused), key=lambda each: -each.refused)[:3]:
        said.append(
            f"{each.name} was refused {each.refused:,} times by its own token limits, not by the line: a tier with "
            "higher limits helps, or requests that ask for fewer tokens."
        )
    return said
