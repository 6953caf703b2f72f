"""Gaps as rows: found, told, closed when their hours were read after all, or accepted on purpose by somebody."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db import transaction

from core import clock
from core.actors import SYSTEM, Actor
from core.errors import Invalid, NotFound
from core.locks import advisory_lock
from core.states import move
from events.record import Happening, record_event, record_events
from metering import queries, schedule
from metering.models import UsageGap
from metering.queries import Gap
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
        new = [gap for gap in found if not _follow(gap, standing[gap.tenant_id])]
        for row in (row for rows in standing.values() for row in rows):
            move(row, to=GapState.FILLED, table=GAP_MOVES, closed_at=as_of)
            _tell("usage.gap_filled", [row], SYSTEM)
        made = [
            UsageGap.objects.create(
                tenant_id=gap.tenant_id, starts_at=gap.start, ends_at=gap.end, problem=gap.problem[:1000]
            )
            for gap in new
        ]
        _tell("usage.gap_detected", made, SYSTEM)
    return len(found)


def accept_gap(*, gap_id: int, reason: str, actor: Actor) -> UsageGap:
    """Decide that what is known of these hours is all that is billed; sealing goes on.

    Should the hours be read later after all, what they hold is late usage. Raises ReasonMissing, NotFound, and
    IllegalMove when the gap is not open any more.
    """
    if not reason.strip():
        raise ReasonMissing("Say why these hours are billed as they are.", hint="It is shown with the invoice.")
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
        facts = {"starts_at": gap.starts_at.isoformat(), "ends_at": gap.ends_at.isoformat()}
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


def _follow(gap: Gap, rows: list[UsageGap]) -> bool:
    """Whether an open row overlaps the gap; it then takes its edges and leaves `rows`."""
    for row in rows:
        if row.starts_at <= gap.end and gap.start <= row.ends_at:
            rows.remove(row)
            if (row.starts_at, row.ends_at, row.problem) != (gap.start, gap.end, gap.problem[:1000]):
                row.starts_at, row.ends_at, row.problem = gap.start, gap.end, gap.problem[:1000]
                row.save(update_fields=["starts_at", "ends_at", "problem"])
            return True
    return False


def _tell(name: str, gaps: list[UsageGap], actor: Actor) -> None:
    happenings = []
    for gap in gaps:
        facts = {"starts_at": gap.starts_at.isoformat(), "ends_at": gap.ends_at.isoformat(), "problem": gap.problem}
        happenings.append(Happening(tenant=gap.tenant, subject=gap, after=facts, data=facts))
    record_events(name, happenings, actor=actor)
