"""How far usage has been read, in one chip; and the stretches that should be known and are not."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from core import clock
from metering import queries
from tenants.queries import list_tenants

LATE_AFTER = timedelta(hours=3)
MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Fresh:
    """The chip in the top bar: a tone, a few words, and a sentence for whoever asks."""

    tone: str
    words: str
    explanation: str


@dataclass(frozen=True, slots=True)
class KnownGap:
    """Time of a tenant about which nothing is known although it should be."""

    title: str
    why: str


def fresh() -> Fresh | None:
    """How far every tenant's usage has been read; None before metering has anything to read."""
    scopes = queries.freshness()
    if not scopes:
        return None
    slowest = min(scopes, key=lambda scope: scope.read_until)
    behind = clock.now() - slowest.read_until
    overdue = sum(scope.overdue_windows for scope in scopes)
    words = f"Metered to {slowest.read_until:%H:%M} UTC"
    if behind > timedelta(days=1):
        words = f"Metered to {slowest.read_until.day} {slowest.read_until:%b %H:%M} UTC"
    if slowest.problem and overdue:
        return Fresh("bad", words, f"The last read did not succeed: {slowest.problem}")
    if overdue or behind > LATE_AFTER:
        return Fresh("warn", words, f"{overdue} hours wait to be read. They are read again by themselves.")
    return Fresh("ok", words, "Every hour before that was read completely. Late points are looked for for three days.")


def known_gaps(tenant_ids: Collection[int] | None) -> list[KnownGap]:
    """The gaps of these tenants with names; tenants that miss the same hours for the same reason share one."""
    groups: dict[tuple[datetime, datetime, str], list[int]] = defaultdict(list)
    for gap in queries.gaps(tenant_ids=tenant_ids):
        groups[gap.start, gap.end, gap.problem].append(gap.tenant_id)
    if not groups:
        return []
    # Of a scope that is behind, thousands miss the same hours; only the first few are named.
    concerned = {tenant_id for group in groups.values() for tenant_id in group[:MOST_NAMES]}
    names = {tenant.pk: tenant.name for tenant in list_tenants(tenant_ids=concerned)}
    return [
        KnownGap(
            title=f"Metering gap: {_named([names[each] for each in group if each in names], len(group))}, "
            f"{_span(start, end)}",
            why=problem or "These hours have not been read completely; they count as unknown, not as zero.",
        )
        for (start, end, problem), group in groups.items()
    ]


def _named(names: list[str], count: int) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if count <= MOST_NAMES else f"{shown} and {count - MOST_NAMES} more"


def _span(start: datetime, end: datetime) -> str:
    until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%d %b %H:%M}"
    return f"{start:%d %b %H:%M} to {until} UTC"
