"""Gaps as rows: found, told, closed when their hours were read after all, or accepted on purpose by somebody."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from core import clock
from core.actors import SYSTEM, Actor
from core.errors import Invalid, NotFound
from core.locks import advisory_lock
from core.states import move
from events.record import Happening, record_event, record_events
from metering import queries, schedule
from metering.models import UsageEstimate, UsageGap
from metering.partitions import make_months, month_after, month_of
from metering.queries import Gap
from metering.services import estimates
from metering.states import GAP_MOVES, GapState, WindowState

# An hour that could have settled this long ago and has not is a gap too: its last reads did not succeed.
SETTLED_BY = schedule.SETTLES_AFTER + timedelta(hours=3)


class ReasonMissing(Invalid):
    """Accepting a gap needs a reason: an auditor will ask why these hours were billed as they were."""

    code = "reason_missing"


def note_gaps(*, as_of: datetime | None = None) -> int:
    """Bring the rows in line with what is unknown now; return how many gaps are open. Again changes nothing."""
    as_of = as_of or clock.now()
    with transaction.atomic(durable=True):
        advisory_lock("metering.gaps")
        found = _unknown_now(as_of)
        standing: dict[int, list[UsageGap]] = defaultdict(list)
        for row in UsageGap.objects.filter(state=GapState.OPEN).select_related("tenant").order_by("starts_at"):
            standing[row.tenant_id].append(row)
        moved: list[int] = []
        new = [gap for gap in found if not _follow(gap, standing[gap.tenant_id], moved)]
        for row in (row for rows in standing.values() for row in rows):
            move(row, to=GapState.FILLED, table=GAP_MOVES, closed_at=as_of)
            estimates.withdraw([row.pk])
            _tell("usage.gap_filled", [row], SYSTEM)
        made = [
            UsageGap.objects.create(
                tenant_id=gap.tenant_id, starts_at=gap.start, ends_at=gap.end, problem=gap.problem[:1000]
            )
            for gap in new
        ]
        if touched := [*moved, *(row.pk for row in made)]:
            estimates.propose(touched)
        _tell("usage.gap_detected", made, SYSTEM)
    return len(found)


def accept_gap(*, gap_id: int, reason: str, actor: Actor, bill_estimate: bool = False) -> UsageGap:
    """Decide that these hours are billed as known, or with `bill_estimate` as known and estimated; sealing goes on.

    Should the hours be read later after all, what they hold is late usage, less what was billed by estimate. Raises
    ReasonMissing, NotFound, and IllegalMove when the gap is not open any more.
    """
    if not reason.strip():
        raise ReasonMissing("Say why these hours are billed as they are.", hint="It is shown with the invoice.")
    if bill_estimate and (span := UsageGap.objects.filter(pk=gap_id).values_list("starts_at", "ends_at").first()):
        make_months(month_after(month_of(span[0]), count) for count in range(_months(*span)))
    with transaction.atomic(durable=True):
        gap = (
            UsageGap.objects.select_for_update(no_key=True, of=("self",))
            .select_related("tenant")
            .filter(pk=gap_id)
            .first()
        )
        if gap is None:
            raise NotFound("There is no such gap.")
        move(
            gap, to=GapState.ACCEPTED, table=GAP_MOVES, closed_at=clock.now(), closed_by=actor.name, reason=reason[:500]
        )
        facts: dict[str, Any] = {"starts_at": gap.starts_at.isoformat(), "ends_at": gap.ends_at.isoformat()}
        facts["estimated"] = _sums(estimates.bill(gap)) if bill_estimate else {}
        estimates.withdraw([gap.pk])
        record_event(
            "usage.gap_accepted",
            tenant=gap.tenant,
            subject=gap,
            actor=actor,
            reason=gap.reason,
            after=facts,
            data=facts,
        )
    return gap


def _unknown_now(as_of: datetime) -> list[Gap]:
    """Hours never read that should be, and hours read that should be final and are not."""
    unread = queries.gaps(tenant_ids=None, as_of=as_of)
    begins = datetime.min.replace(tzinfo=as_of.tzinfo)
    late = queries.unknown(tenant_ids=None, start=begins, end=as_of - SETTLED_BY, good=(WindowState.SETTLED,))
    return unread + [gap for gap in late if gap.state == WindowState.PROVISIONAL]


def _months(start: datetime, end: datetime) -> int:
    """How many months a span touches."""
    return (end.year - start.year) * 12 + end.month - start.month + 1


def _sums(billed: list[UsageEstimate]) -> dict[str, int]:
    """What estimates come to, per meter."""
    sums: dict[str, int] = defaultdict(int)
    for estimate in billed:
        sums[estimate.meter] += int(estimate.quantity)
    return dict(sums)


def _follow(gap: Gap, rows: list[UsageGap], moved: list[int]) -> bool:
    """Whether an open row overlaps the gap; it then takes its edges and leaves `rows`, and when they moved is noted."""
    for row in rows:
        if row.starts_at <= gap.end and gap.start <= row.ends_at:
            rows.remove(row)
            if (row.starts_at, row.ends_at, row.problem) != (gap.start, gap.end, gap.problem[:1000]):
                row.starts_at, row.ends_at, row.problem = gap.start, gap.end, gap.problem[:1000]
                row.save(update_fields=["starts_at", "ends_at", "problem"])
                moved.append(row.pk)
            return True
    return False


def _tell(name: str, gaps: list[UsageGap], actor: Actor) -> None:
    happenings = []
    for gap in gaps:
        facts = {"starts_at": gap.starts_at.isoformat(), "ends_at": gap.ends_at.isoformat(), "problem": gap.problem}
        happenings.append(Happening(tenant=gap.tenant, subject=gap, after=facts, data=facts))
    record_events(name, happenings, actor=actor)
