"""How long steps of operations usually take, from our own history, and what it means when one takes much longer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from provisioning.models import OperationStep
from provisioning.specs import KINDS
from provisioning.states import Phase

LAST = 50
# What takes three times as long as nearly all did is not late by chance; below a minute nobody minds.
FAR_ABOVE, LEAST_SECONDS = 3, 60
# Without history: the time after which an endpoint that is still Creating has never become anything.
WITHOUT_HISTORY_SECONDS = 45 * 60
STEP_KINDS = (
    *(f"{verb} {kind}" for verb in ("make", "delete") for kind in KINDS),
    *("publish", "activate", "withdraw", "probe", "route"),
)
_SQL = """
    SELECT kinds.kind, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY recent.seconds)
    FROM unnest(%s::text[]) AS kinds(kind)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM done_at - began_at)::float8 AS seconds
        FROM provisioning_operationstep
        WHERE kind = kinds.kind AND done_at IS NOT NULL AND began_at IS NOT NULL
        ORDER BY done_at DESC
        LIMIT %s
    ) AS recent
    GROUP BY kinds.kind
"""
_WHY: Mapping[str, str] = {
    Phase.CREATING: "usual causes are capacity, the execution role, and the network on the way to the image and the "
    "model.",
    Phase.UPDATING: "usual causes are capacity for the new instances beside the old, and a health check that fails.",
    Phase.DELETING: "usual causes are requests that are still being answered, and something that still runs on it.",
}


@dataclass(frozen=True, slots=True)
class Typical:
    """Half of the last steps of a kind took at most `p50_seconds`, 95 of 100 at most `p95_seconds`."""

    p50_seconds: float
    p95_seconds: float


def typical_times() -> dict[str, Typical]:
    """By the kind of step, over its last 50 that were seen from beginning to end; one query."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL, [list(STEP_KINDS), LAST])
        return {kind: Typical(*percentiles) for kind, percentiles in cursor.fetchall()}


def elapsed_seconds(step: OperationStep, at: datetime) -> float | None:
    """How long a step took, or takes by now; None while it has not begun or when nobody saw it begin."""
    if step.began_at is None:
        return None
    return max(((step.done_at or at) - step.began_at).total_seconds(), 0.0)


def diagnosis(step: OperationStep, typical: Typical | None, at: datetime) -> str:
    """A sentence about a step that takes far longer than its kind does; empty for all others.

    The phase has not moved since the step began, or it would be done.
    """
    elapsed = elapsed_seconds(step, at)
    if step.done_at is not None or elapsed is None:
        return ""
    bound = max(FAR_ABOVE * typical.p95_seconds, LEAST_SECONDS) if typical else WITHOUT_HISTORY_SECONDS
    if elapsed <= bound:
        return ""
    usually = f" It usually takes {spoken(typical.p50_seconds)}." if typical else ""
    if step.resource is None or step.resource.phase not in _WHY:
        return f"Waiting for {spoken(elapsed)} and nothing changed: look into the worker's log.{usually}"
    phase = step.resource.get_phase_display()
    return f"{phase} for {spoken(elapsed)} and nothing in AWS changed: {_WHY[step.resource.phase]}{usually}"


def spoken(seconds: float) -> str:
    """A duration as people say it: 40 s, 35 min, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
