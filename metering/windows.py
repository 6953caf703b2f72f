"""Windows being read: claiming a batch, and recording what became of it, in one statement each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from metering import schedule
from metering.states import WindowState

CLAIM = """
WITH due AS (
    SELECT id FROM metering_collectionwindow
    WHERE due_at <= %(as_of)s AND (lease_until IS NULL OR lease_until < %(now)s)
      AND scope_id = (
          SELECT scope_id FROM metering_collectionwindow
          WHERE due_at <= %(as_of)s AND (lease_until IS NULL OR lease_until < %(now)s)
          ORDER BY due_at, scope_id LIMIT 1)
    ORDER BY starts_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE metering_collectionwindow w SET fence = w.fence + 1, lease_until = %(until)s
FROM due WHERE w.id = due.id
RETURNING w.id, w.scope_id, w.fence, w.starts_at, w.ends_at, w.state
"""

STILL_OURS = """
SELECT w.id FROM metering_collectionwindow w
JOIN unnest(%s::bigint[], %s::bigint[]) AS claim(id, fence) ON claim.id = w.id AND claim.fence = w.fence
ORDER BY w.id FOR NO KEY UPDATE OF w
"""

RECORD = """
UPDATE metering_collectionwindow w
SET state = r.state, due_at = r.due_at, problem = r.problem, reads = w.reads + 1, lease_until = NULL,
    fetched_at = CASE WHEN r.problem = '' THEN %(fetched_at)s ELSE w.fetched_at END,
    request_ids = CASE WHEN r.problem = '' THEN %(request_ids)s::text[] ELSE w.request_ids END
FROM unnest(%(ids)s::bigint[], %(states)s::text[], %(dues)s::timestamptz[], %(problems)s::text[])
    AS r(id, state, due_at, problem)
WHERE w.id = r.id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A window that this worker may read now; what it writes names `fence`."""

    pk: int
    scope_id: int
    fence: int
    starts_at: datetime
    ends_at: datetime
    state: str


def claim(*, as_of: datetime, now: datetime, lease_until: datetime, limit: int) -> list[Claimed]:
    """Take the oldest due windows of one scope, in order; those under another worker's lease are left alone.

    `as_of` is business time, `now` and `lease_until` are real time. The caller holds the transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"as_of": as_of, "now": now, "until": lease_until, "limit": limit})
        return sorted((Claimed(*row) for row in cursor.fetchall()), key=lambda window: window.starts_at)


def runs(windows: Sequence[Claimed]) -> list[list[Claimed]]:
    """Split windows, in order, into stretches without a gap: each is one question to CloudWatch."""
    found: list[list[Claimed]] = []
    for window in windows:
        if found and found[-1][-1].ends_at == window.starts_at:
            found[-1].append(window)
        else:
            found.append([window])
    return found


def lock_ours(windows: Sequence[Claimed]) -> list[Claimed]:
    """Lock those windows whose fence is still ours, so that nobody can claim them before we commit."""
    with connection.cursor() as cursor:
        cursor.execute(STILL_OURS, [[w.pk for w in windows], [w.fence for w in windows]])
        ours = {row[0] for row in cursor.fetchall()}
    return [window for window in windows if window.pk in ours]


def record(
    windows: Sequence[Claimed],
    *,
    as_of: datetime,
    fetched_at: datetime,
    request_ids: Sequence[str],
    problem: str,
    is_lost: bool = False,
) -> int:
    """Write what became of a read of `windows`, which the caller has locked; return how many are newly settled.

    With a problem they stay as they were and are due again soon: what was not read completely is not known. What is
    lost is not due again: nobody has it any more.
    """
    states = [window.state if problem else _state_after(window, as_of) for window in windows]
    retry_at = None if is_lost else as_of + schedule.RETRY
    dues = [retry_at if problem else schedule.next_read(window.ends_at, as_of) for window in windows]
    with connection.cursor() as cursor:
        cursor.execute(
            RECORD,
            {
                "ids": [window.pk for window in windows],
                "states": states,
                "dues": dues,
                "problems": [problem[:1000]] * len(windows),
                "fetched_at": fetched_at,
                "request_ids": list(request_ids),
            },
        )
    return sum(state == WindowState.SETTLED != window.state for window, state in zip(windows, states, strict=True))


def _state_after(window: Claimed, as_of: datetime) -> str:
    if window.state == WindowState.SETTLED or schedule.is_settling(window.ends_at, as_of):
        return WindowState.SETTLED
    return WindowState.PROVISIONAL
