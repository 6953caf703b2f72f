"""Runs the loop over whatever is due."""

import time
from dataclasses import dataclass

from django.conf import settings

from provisioning.reconciler.loop import run_pass


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """Sums over the passes of one call."""

    passes: int
    claimed: int
    changes: int
    recorded: int


def reconcile_due(*, limit: int = 100) -> ReconcileReport:
    """Reconcile due resources, `limit` a pass, until none is due or a sixth of the lease is over.

    The bound keeps a call inside its task's time limit (5/6 of the lease) even when its last pass meets an AWS that
    hangs; what is left is due at the next sweep.
    """
    stop_at = time.monotonic() + settings.ENV.lease_seconds / 6
    reports = [run_pass(limit=limit)]
    while reports[-1].claimed and time.monotonic() < stop_at:
        reports.append(run_pass(limit=limit))
    return ReconcileReport(
        passes=len(reports),
        claimed=sum(report.claimed for report in reports),
        changes=sum(report.changes for report in reports),
        recorded=sum(report.recorded for report in reports),
    )
