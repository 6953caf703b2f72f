"""Looks after releases in steps: reads what CloudWatch counted for both versions, decides, and says so.

The reading is a fresh one of the share's own whole minutes, not sealed usage: an alarm must not wait for an invoice.
What is decided is done by the registry; the tenant is converged for it like for any wish.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from aws import connect
from aws.errors import AwsError
from aws.gateway import SeriesQuery
from core.actors import SYSTEM
from core.clock import now
from core.crashpoints import boundary
from models_registry.canary import ADVANCE, HOLD, ROLL_BACK, Decision, Seen, decide
from models_registry.models import Canary
from models_registry.queries import canaries_under_way
from models_registry.services import canaries, releases
from provisioning import queries
from provisioning.runtime_config import targets_of

log = logging.getLogger(__name__)

MINUTE = 60
# A share that bakes or is paused for longer is judged by its last hours.
LONGEST_LOOK = timedelta(hours=6)
METRICS = {"answered": "Requests", "failed": "Errors", "busy_milliseconds": "BusyMilliseconds"}
P90 = "p90"
UNKNOWN = "metrics_unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tenant's data planes count, and on which lines."""

    tenant: str
    namespace: str
    region: str
    lines: tuple[str, ...]


def watch_canaries(*, tenant_id: int | None = None) -> int:
    """Look at every share that data planes were told of, or at those of one tenant; how many decisions changed one.

    What CloudWatch does not tell now is looked at again by the next sweep.
    """
    changed = 0
    for canary in canaries_under_way(tenant_id):
        try:
            changed += _watch(canary)
        except AwsError as error:
            log.warning("the canary %s was not looked at: %s", canary.release.public_id, error)
    return changed


def _watch(canary: Canary) -> bool:
    release, since = canary.release, canary.step_since
    live, new = release.adapter.live_version, release.version
    place = _place_of(release.adapter.tenant_id, release.adapter.name)
    if place is None or live is None or new is None or since is None:
        return False
    at = now()
    start = max(_next_minute(since), at - LONGEST_LOOK)
    seen = _read(place, {"new": new.public_id, "old": live.public_id}, start, at) if start < at else {}
    decision = _decide(canary, seen, is_baked=at >= since + timedelta(minutes=canary.bake_minutes))
    evidence = {
        "percent": canary.percent,
        "since": since.astimezone(UTC).isoformat(),
        "until": at.astimezone(UTC).isoformat(),
        "decision": decision.what,
        "code": decision.code,
        "detail": decision.detail,
        **{who: {"version": version, **each.as_evidence()} for who, (version, each) in seen.items()},
    }
    return _act(canary, decision, evidence)


def _decide(canary: Canary, seen: Mapping[str, tuple[str, Seen]], *, is_baked: bool) -> Decision:
    if not seen:
        return Decision(HOLD, UNKNOWN, "CloudWatch has not told everything about this share yet.")
    new, old = seen["new"][1], seen["old"][1]
    return decide(canary.plan, new=new, old=old, is_baked=is_baked, is_paused=canary.paused_at is not None)


def _act(canary: Canary, decision: Decision, evidence: Mapping[str, Any]) -> bool:
    release_id = canary.release_id
    if decision.what == ROLL_BACK:
        with boundary("commit canary rolled back"):
            releases.refuse(
                release_id=release_id,
                code=decision.code,
                detail=f"Rolled back at {canary.percent} %. {decision.detail}",
                evidence=dict(evidence),
                actor=SYSTEM,
            )
        return True
    if decision.what == ADVANCE:
        with boundary("commit canary advanced"):
            return canaries.take_next_step(
                release_id=release_id, from_step=canary.step, evidence=evidence, actor=SYSTEM
            )
    canaries.note_look(release_id=release_id, step=canary.step, evidence=evidence)
    return False


def _place_of(tenant_id: int, route: str) -> Place | None:
    """By the config that data planes follow; None while they follow none that answers."""
    config = queries.current_config(tenant_id)
    if config is None or config.document["status"] != "active":
        return None
    lines = dict.fromkeys(target.line for name, _, target in targets_of(config.document) if name == route)
    document = config.document
    return Place(document["tenant"], document["metrics_namespace"], document["region"], tuple(lines))


def _read(place: Place, versions: Mapping[str, str], start: datetime, end: datetime) -> dict[str, tuple[str, Seen]]:
    """By `new` and `old`: the version's id and what became of its requests. Empty when CloudWatch did not tell all.

    Raises AwsError.
    """
    keys = [(who, field, line) for who in versions for field in (*METRICS, P90) for line in place.lines]
    wanted: Sequence[SeriesQuery] = [
        SeriesQuery(
            id=f"q{number}",
            namespace=place.namespace,
            metric=METRICS["busy_milliseconds" if field == P90 else field],
            dimensions={"TenantId": place.tenant, "AdapterVersion": versions[who], "Line": line},
            period_seconds=MINUTE,
            statistic=P90 if field == P90 else "Sum",
        )
        for number, (who, field, line) in enumerate(keys)
    ]
    with boundary("read canary metrics"):
        reading = connect.metrics(place.region).read_series(wanted, start, _next_minute(end))
    if not reading.is_complete:
        return {}
    points = {key: dict(reading.series[f"q{number}"].points) for number, key in enumerate(keys)}
    found = {}
    for who, version in versions.items():
        sums = {field: round(sum(sum(points[who, field, line].values()) for line in place.lines)) for field in METRICS}
        by_line = [(points[who, "answered", line], points[who, P90, line]) for line in place.lines]
        found[who] = (version, Seen(**sums, p90_milliseconds=_weighted(by_line)))
    return found


def _weighted(by_line: Sequence[tuple[Mapping[int, float], Mapping[int, float]]]) -> Decimal | None:
    """The percentiles of minutes weighted by what was answered in each; None where one has none, or none answered.

    CloudWatch gives a percentile of a period, never of a range of its own choosing.
    """
    weighted = answered = Decimal(0)
    for counts, percentiles in by_line:
        for minute, count in counts.items():
            if count and minute not in percentiles:
                return None
            weighted += Decimal(count) * Decimal(percentiles.get(minute, 0))
            answered += Decimal(count)
    return weighted / answered if answered else None


def _next_minute(at: datetime) -> datetime:
    """The first whole minute at or after: CloudWatch counts by them, and one that had begun was another share's too."""
    floor = at.replace(second=0, microsecond=0)
    return floor if floor == at else floor + timedelta(minutes=1)
