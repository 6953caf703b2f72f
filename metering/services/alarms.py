"""Alarms: what a person should look at now. Raised once, closed when it is over, both told as events."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from core import clock
from core.actors import SYSTEM
from core.locks import advisory_lock
from events.record import Happening, record_events
from metering import partitions, schedule
from metering.meters import METERS
from metering.models import MeteringAlarm, ParkedPoint, UnattributedUsage
from metering.queries.health import differences, source_settings
from tenants.models import Tenant

COMPARED = timedelta(days=35)
# CloudWatch takes points that are up to two weeks old; a reader that is ten days behind has four to be mended.
BEHIND_TOO_FAR = timedelta(days=10)
UNATTRIBUTED_FOR = timedelta(days=1)

UNSETTLED = """
SELECT s.key, s.bucket_seconds, min(w.starts_at), max(w.problem),
       count(*) FILTER (WHERE w.problem <> '' AND w.due_at IS NOT NULL),
       min(w.starts_at) FILTER (WHERE w.due_at IS NULL)
FROM metering_collectionwindow w JOIN metering_meteringscope s ON s.id = w.scope_id
WHERE w.state <> 'settled' AND w.starts_at >= s.settled_until
  AND EXISTS (SELECT 1 FROM metering_enrolment e WHERE e.scope_id = s.id AND e.starts_at <= w.starts_at
        AND (e.ends_at IS NULL OR e.ends_at > w.starts_at)
        AND NOT EXISTS (SELECT 1 FROM metering_usagegap g WHERE g.tenant_id = e.tenant_id AND g.state = 'accepted'
                        AND g.starts_at <= w.starts_at AND g.ends_at > w.starts_at))
GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason for an alarm; `key` is the same as long as it is the same trouble."""

    kind: str
    key: str
    text: str
    tenant_id: int | None = None


def watch(*, as_of: datetime | None = None) -> list[MeteringAlarm]:
    """Raise alarms for new troubles and close those that are over; return the open ones. Again changes nothing."""
    as_of = as_of or clock.now()
    troubles = {trouble.key: trouble for trouble in find_troubles(as_of)}
    with transaction.atomic(durable=True):
        advisory_lock("metering.alarms")
        standing = {alarm.key: alarm for alarm in MeteringAlarm.objects.filter(closed_at=None).select_related("tenant")}
        over = [alarm for key, alarm in standing.items() if key not in troubles]
        MeteringAlarm.objects.filter(pk__in=[alarm.pk for alarm in over]).update(closed_at=as_of)
        raised = []
        for key, trouble in troubles.items():
            if key not in standing:
                raised.append(
                    MeteringAlarm.objects.create(
                        kind=trouble.kind, key=key, text=trouble.text[:500], tenant_id=trouble.tenant_id
                    )
                )
            elif standing[key].text != trouble.text[:500]:
                MeteringAlarm.objects.filter(pk=standing[key].pk).update(text=trouble.text[:500])
        _tell("usage.alarm_raised", raised)
        _tell("usage.alarm_closed", over)
        return list(MeteringAlarm.objects.filter(closed_at=None).order_by("pk"))


def find_troubles(as_of: datetime) -> list[Trouble]:
    """Everything that is wrong at `as_of`."""
    return [
        *_late_scopes(as_of), *_differing(as_of), *_parked(), *_nobodys(as_of), *_months(as_of),
    ]  # fmt: skip


def _late_scopes(as_of: datetime) -> list[Trouble]:
    found = []
    with connection.cursor() as cursor:
        cursor.execute(UNSETTLED)
        rows = cursor.fetchall()
    for key, seconds, oldest, problem, failing, lost in rows:
        if lost is not None:
            text = f"{key}: hours from {lost:%Y-%m-%d %H:%M}Z are lost: {problem}. Accept the gap, or report events."
            found.append(Trouble("lost", f"lost:{key}", text))
        forgotten_at = oldest + schedule.RETENTION[seconds]
        if lost is None and oldest < as_of - BEHIND_TOO_FAR:
            text = (
                f"{key} is not read since {oldest:%Y-%m-%d %H:%M}Z; CloudWatch forgets it on {forgotten_at:%Y-%m-%d}."
            )
            found.append(Trouble("retention", f"retention:{key}", text))
        if failing:
            found.append(Trouble("unread", f"unread:{key}", f"{failing} hours of {key} cannot be read: {problem}"))
    return found


def _differing(as_of: datetime) -> list[Trouble]:
    end = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    tolerance = {setting.meter: setting.tolerance_ppm for setting in source_settings()}
    found = [
        row
        for row in differences(tenant_ids=None, start=end - COMPARED, end=end)
        if row.is_settled and row.parts_per_million > tolerance[row.meter]
    ]
    names = dict(Tenant.objects.filter(pk__in={row.tenant_id for row in found}).values_list("pk", "name"))
    return [
        Trouble(
            "difference",
            f"difference:{row.tenant_id}:{row.meter}:{row.day}",
            f"{names[row.tenant_id]}, {METERS[row.meter].title} on {row.day}: CloudWatch says {row.cloudwatch:,}, "
            f"usage events {row.events:,}",
            row.tenant_id,
        )
        for row in found
    ]


def _parked() -> list[Trouble]:
    found = {}
    for point in ParkedPoint.objects.select_related("tenant").order_by("-bucket_start"):
        where = f"{point.tenant.name}: {point.meter} at {point.bucket_start:%Y-%m-%d %H:%M}Z"
        text = f"{where} cannot be a count: {point.reason}"
        found[point.tenant_id] = Trouble("parked", f"parked:{point.tenant_id}", text, point.tenant_id)
    return list(found.values())


def _nobodys(as_of: datetime) -> list[Trouble]:
    recent = UnattributedUsage.objects.filter(fetched_at__gte=as_of - UNATTRIBUTED_FOR)
    places = recent.order_by("region", "namespace").values_list("region", "namespace").distinct()
    return [
        Trouble(
            "unattributed",
            f"unattributed:{region}:{namespace}",
            f"Somebody puts usage that is nobody's: {region} {namespace}",
        )
        for region, namespace in places
    ]


def _months(as_of: datetime) -> list[Trouble]:
    month = partitions.month_after(partitions.month_of(as_of))
    if month in partitions.existing_months():
        return []
    return [Trouble("months", "months", f"There is no partition for {month:%Y-%m}: its usage cannot be written")]


def _tell(name: str, alarms: list[MeteringAlarm]) -> None:
    record_events(
        name,
        [
            Happening(tenant=alarm.tenant, subject=alarm, data={"kind": alarm.kind, "text": alarm.text})
            for alarm in alarms
        ],
        actor=SYSTEM,
    )
