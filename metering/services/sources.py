"""Which source of a meter is billed, from when on; and how far two sources may differ before somebody is told."""

from datetime import datetime

from django.db import connection, transaction

from core.actors import Actor
from core.errors import Conflict, Invalid
from core.locks import advisory_lock
from core.periods import HOUR_SECONDS, floor_to_bucket
from events.record import record_event
from metering.meters import EVENT_METERS
from metering.models import MeterSource, MeterTolerance, Seal
from metering.models.rollups import SOURCE_KINDS
from metering.services.rollups import ROLLUP_LOCK, rebuild_days

SOURCE_NAMES = dict(SOURCE_KINDS)
MILLION = 1_000_000
TENANTS_AT_ONCE = 500

CONCERNED = "SELECT DISTINCT tenant_id FROM metering_usagebucket WHERE meter = %s AND bucket_start >= %s ORDER BY 1"
HOURS_CONCERNED = """
INSERT INTO metering_hourdue (hour) SELECT DISTINCT date_trunc('hour', bucket_start, 'UTC') FROM metering_usagebucket
WHERE meter = %s AND bucket_start >= %s
"""


class SourceUnknown(Invalid):
    """The meter has no such source to choose."""

    code = "meter_source_unknown"


class SourceSealed(Conflict):
    """Usage after that instant was sealed for an invoice; what was billed from one source is not billed anew."""

    code = "meter_source_sealed"
    title = "Sealed usage keeps its source"


class ToleranceInvalid(Invalid):
    """A tolerance is 0 to 1,000,000 parts per million."""

    code = "tolerance_invalid"


def choose_source(*, meter: str, kind: str, starts_at: datetime, reason: str, actor: Actor) -> MeterSource:
    """Bill a meter from `kind` (cloudwatch or events) for usage from `starts_at` on, a whole hour.

    What was chosen for later than that is dropped. Raises SourceUnknown, and SourceSealed when any tenant's usage after
    `starts_at` is sealed.
    """
    if meter not in EVENT_METERS or kind not in SOURCE_NAMES:
        raise SourceUnknown(
            f"{meter} has no source {kind}.", hint=f"Two sources have: {', '.join(sorted(EVENT_METERS))}."
        )
    if floor_to_bucket(starts_at, HOUR_SECONDS) != starts_at:
        raise SourceUnknown("A source begins on a whole hour.")
    with transaction.atomic(durable=True):
        advisory_lock("metering.sources")
        sealed = Seal.objects.filter(period_end__gt=starts_at).order_by("-period_end").first()
        if sealed is not None:
            raise SourceSealed(
                f"Usage up to {sealed.period_end.isoformat()} is sealed.", hint="Choose an hour from then on."
            )
        before = _kind_at(meter, starts_at)
        MeterSource.objects.filter(meter=meter, starts_at__gte=starts_at).delete()
        MeterSource.objects.filter(meter=meter, ends_at=None).update(ends_at=starts_at)
        MeterSource.objects.filter(meter=meter, ends_at__gt=starts_at).update(ends_at=starts_at)
        chosen = MeterSource.objects.create(meter=meter, kind=kind, starts_at=starts_at)
        _sum_anew(meter, starts_at)
        record_event(
            "meter.source_chosen", tenant=None, subject=chosen, actor=actor, reason=reason,
            before={"meter": meter, "source": before},
            after={"meter": meter, "source": kind, "starts_at": starts_at.isoformat()},
        )  # fmt: skip
    return chosen


def set_tolerance(*, meter: str, parts_per_million: int, actor: Actor) -> MeterTolerance:
    """Set how far a day's sums of two sources may differ before an alarm. Raises SourceUnknown, ToleranceInvalid."""
    if meter not in EVENT_METERS:
        raise SourceUnknown(f"{meter} has one source.")
    if not 0 <= parts_per_million <= MILLION:
        raise ToleranceInvalid("A tolerance is 0 to 1,000,000 parts per million.")
    with transaction.atomic(durable=True):
        before = MeterTolerance.objects.filter(meter=meter).first()
        row, _ = MeterTolerance.objects.update_or_create(meter=meter, defaults={"parts_per_million": parts_per_million})
        record_event(
            "meter.tolerance_set", tenant=None, subject=row, actor=actor,
            before={"parts_per_million": before.parts_per_million if before else None},
            after={"meter": meter, "parts_per_million": parts_per_million},
        )  # fmt: skip
    return row


def _kind_at(meter: str, at: datetime) -> str:
    row = MeterSource.objects.filter(meter=meter, starts_at__lte=at).order_by("-starts_at").first()
    return row.kind if row else "cloudwatch"


def _sum_anew(meter: str, since: datetime) -> None:
    # Before looking who is concerned: a collector that has summed by the old source and not committed is waited for.
    advisory_lock(ROLLUP_LOCK)
    with connection.cursor() as cursor:
        cursor.execute(CONCERNED, [meter, since])
        tenants = [tenant_id for (tenant_id,) in cursor.fetchall()]
        cursor.execute(HOURS_CONCERNED, [meter, since])
    for first in range(0, len(tenants), TENANTS_AT_ONCE):
        rebuild_days(tenant_ids=tenants[first : first + TENANTS_AT_ONCE], since=since)
