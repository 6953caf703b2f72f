"""Runs the loop over whatever is due."""

import time
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Min

from core.clock import real_now
from core.locks import one_at_a_time
from provisioning.models import ManagedResource
from provisioning.reconciler.loop import PassReport, run_pass

# A pass has what it costs whatever it takes on, and this many calls are sent well within half a lease.
ROWS_PER_PASS = 200
PACING = "provisioning: waiting for turns"
# Turns at two calls a second are half a second apart; what comes later is found by the next sweep. Shorter pauses would
# make a pass for every single row.
LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS = 1.0, 0.1


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """Sums over the passes of one call; `is_more_due` when time was up before the work was."""

    passes: int
    claimed: int
    changes: int
    recorded: int
    is_more_due: bool = False


def reconcile_due(*, limit: int = ROWS_PER_PASS) -> ReconcileReport:
    """Reconcile due resources, `limit` a pass, until none is due or a sixth of the lease is over.

    One worker at a time also waits, a second at most, for those whose turn at AWS comes next: sweeps alone would leave
    most of the calls unused that AWS allows between them.

    The bound keeps a call inside its task's time limit (5/6 of the lease) even when its last pass meets an AWS that
    hangs; what is left is due at the next sweep.
    """
    stop_at = time.monotonic() + settings.ENV.lease_seconds / 6
    reports = _until_none_is_due(limit, stop_at)
    if any(report.waiting for report in reports):
        with one_at_a_time(PACING) as is_mine:
            while is_mine and time.monotonic() < stop_at and (pause := _until_next()) is not None:
                time.sleep(max(pause, SHORTEST_PAUSE_SECONDS))
                reports += _until_none_is_due(limit, stop_at)
    is_late = time.monotonic() >= stop_at
    return ReconcileReport(
        passes=len(reports),
        claimed=sum(report.claimed for report in reports),
        changes=sum(report.changes for report in reports),
        recorded=sum(report.recorded for report in reports),
        is_more_due=is_late and any(report.claimed for report in reports[-2:]),
    )


def _until_none_is_due(limit: int, stop_at: float) -> list[PassReport]:
    reports = [run_pass(limit=limit)]
    while reports[-1].claimed and time.monotonic() < stop_at:
        reports.append(run_pass(limit=limit))
    return reports


def _until_next() -> float | None:
    """Seconds until another resource falls due; None when that is not soon."""
    at = real_now()
    soon = at + timedelta(seconds=LONGEST_PAUSE_SECONDS)
    coming = ManagedResource.objects.living().filter(look_again_at__gt=at, look_again_at__lte=soon)
    following = coming.aggregate(at=Min("look_again_at"))["at"]
    return (following - at).total_seconds() if following else None
