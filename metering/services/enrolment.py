"""Who is metered, and which hours there are to read."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Q

from core.locks import advisory_lock
from core.periods import HOUR_SECONDS, bucket_seconds, floor_to_bucket
from metering import emitters
from metering.models import CollectionWindow, Enrolment, MeteringScope
from metering.partitions import kept_since
from metering.schedule import READS, WINDOW
from metering.states import WindowState
from tenants.models import Tenant

TENANTS_PER_SCOPE = 200
# Nothing can emit once AWS holds nothing of a tenant; the extra hours cover clocks that are off.
AFTER_DEPARTURE = timedelta(hours=2)

OPEN_WINDOWS = """
INSERT INTO metering_collectionwindow (scope_id, starts_at, ends_at, state, due_at, reads, problem, request_ids, fence)
SELECT s.id, hour, hour + interval '1 hour', 'waiting', hour + interval '1 hour' + make_interval(secs => %s),
       0, '', '{}', 0
FROM metering_meteringscope s,
     generate_series(s.settled_until, %s::timestamptz - interval '1 hour', interval '1 hour') AS hour
WHERE NOT EXISTS (SELECT 1 FROM metering_collectionwindow w WHERE w.scope_id = s.id AND w.starts_at = hour)
ON CONFLICT (scope_id, starts_at) DO NOTHING
"""

# Compare-and-set on the watermark that was seen: an enrolment that put it back meanwhile wins.
ADVANCE_WATERMARKS = """
UPDATE metering_meteringscope s SET settled_until = r.reached
FROM (
    SELECT w.scope_id, seen.settled_until AS seen,
           coalesce(min(w.starts_at) FILTER (WHERE w.state <> 'settled'), max(w.ends_at)) AS reached
    FROM metering_collectionwindow w
    JOIN metering_meteringscope seen ON seen.id = w.scope_id AND w.starts_at >= seen.settled_until
    GROUP BY 1, 2
) r
WHERE s.id = r.scope_id AND s.settled_until = r.seen AND r.reached > r.seen
"""


def open_windows(*, as_of: datetime) -> int:
    """Enrol tenants that are new, end those that left, and open a window for every hour that closed before `as_of`.

    Returns how many windows were opened. Doing it again changes nothing.
    """
    with transaction.atomic(durable=True):
        advisory_lock("metering.enrolment")
        _enrol_new(as_of)
        _end_departed()
        _move_between_grids(as_of)
        with connection.cursor() as cursor:
            cursor.execute(OPEN_WINDOWS, [READS[0].total_seconds(), floor_to_bucket(as_of, HOUR_SECONDS)])
            return int(cursor.rowcount)


def _end_departed() -> None:
    for enrolment in Enrolment.objects.filter(ends_at=None, tenant__offboarded_at__isnull=False).select_related(
        "tenant"
    ):
        left_at = enrolment.tenant.offboarded_at or enrolment.starts_at
        enrolment.ends_at = _next_hour(left_at + AFTER_DEPARTURE)
        enrolment.save(update_fields=["ends_at"])


def _move_between_grids(as_of: datetime) -> None:
    """A tenant whose billing zone now needs another bucket changes scope at the next full hour."""
    running = Enrolment.objects.filter(ends_at=None, starts_at__lt=as_of)
    zones = running.order_by().values_list("tenant__billing_timezone", "scope__bucket_seconds").distinct()
    for zone, seconds in zones:
        wanted = bucket_seconds(zone, year=as_of.year)
        if wanted == seconds:
            continue
        for enrolment in running.filter(tenant__billing_timezone=zone, scope__bucket_seconds=seconds):
            enrolment.ends_at = _next_hour(as_of)
            enrolment.save(update_fields=["ends_at"])
            _enrol(enrolment.tenant_id, (enrolment.account, enrolment.region), wanted, enrolment.ends_at, as_of)


def _enrol_new(as_of: datetime) -> None:
    """Enrol new tenants at home, where our own books are read, and everybody wherever else they were routed since."""
    home = ("", settings.ENV.aws_region)
    new = Tenant.objects.filter(signed_up_at__lte=as_of).exclude(enrolments__account="", enrolments__region=home[1])
    for tenant in new.order_by("pk"):
        wanted = bucket_seconds(tenant.billing_timezone, year=as_of.year)
        _enrol(tenant.pk, home, wanted, floor_to_bucket(tenant.signed_up_at, HOUR_SECONDS), as_of)
    enrolled = set(Enrolment.objects.values_list("tenant_id", "account", "region"))
    for place in emitters.places():
        if (place.tenant_id, place.account, place.region) in enrolled:
            continue
        tenant = Tenant.objects.get(pk=place.tenant_id)
        wanted = bucket_seconds(tenant.billing_timezone, year=as_of.year)
        since = floor_to_bucket(max(tenant.signed_up_at, place.since - emitters.SLACK), HOUR_SECONDS)
        enrolled.add((place.tenant_id, place.account, place.region))
        _enrol(tenant.pk, (place.account, place.region), wanted, since, as_of)


def _enrol(tenant_id: int, place: tuple[str, str], seconds: int, starts_at: datetime, as_of: datetime) -> None:
    """Put a tenant into a scope with room. Hours that the scope read before without this tenant are read again."""
    account, region = place
    scopes = MeteringScope.objects.filter(bucket_seconds=seconds, account=account, region=region)
    roomy = scopes.annotate(members=Count("enrolments")).filter(members__lt=TENANTS_PER_SCOPE)
    scope = scopes.filter(pk__in=roomy.values("pk")).order_by("pk").first() or MeteringScope.objects.create(
        key="-".join(filter(None, (account, region, f"{seconds}s", f"{scopes.count() + 1:04d}"))),
        account=account,
        region=region,
        bucket_seconds=seconds,
        starts_at=starts_at,
        settled_until=starts_at,
    )
    Enrolment.objects.create(tenant_id=tenant_id, scope=scope, account=account, region=region, starts_at=starts_at)
    read_before = Q(reads__gt=0) | ~Q(lease_until=None)
    since = max(starts_at, kept_since())
    CollectionWindow.objects.filter(read_before, scope=scope, ends_at__gt=since).update(
        state=WindowState.WAITING, due_at=as_of, fence=F("fence") + 1, lease_until=None
    )
    MeteringScope.objects.filter(pk=scope.pk, starts_at__gt=starts_at).update(starts_at=starts_at)
    MeteringScope.objects.filter(pk=scope.pk, settled_until__gt=starts_at).update(settled_until=starts_at)


def advance_watermarks() -> None:
    """Move each scope's watermark over the windows that are settled without a gap."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(ADVANCE_WATERMARKS)


def _next_hour(at: datetime) -> datetime:
    hour = floor_to_bucket(at, HOUR_SECONDS)
    return hour if hour == at else hour + WINDOW
