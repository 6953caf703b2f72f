"""Degrades that data planes tell of become events, so that they stand in the log, the feed, and webhooks.

A data plane counts degrades by the minute: this tenant, this route, from this line to that one, because of this. The
first of such a chain is told at the next look, because that is news. While it goes on, what came since is told every
quarter of an hour, because a tenant at its limit would fill the log with what everybody knows by then. Each request is
in the count of exactly one event: events' `times` add up to what the data planes told, however often that is read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import Exists, F, OuterRef

from aws import connect
from aws.gateway import DegradeCount
from core import clock
from core.actors import SYSTEM
from core.locks import advisory_lock
from dataplane.ladder import QUEUE
from dataplane.reports import REFUSED
from events.record import Happening, record_events
from provisioning.models import DegradedMinute, DegradeReading
from tenants.models import Tenant

AGAIN_AFTER = timedelta(minutes=15)
# A data plane whose table was away tells later, of minutes that were read already.
LATE = timedelta(hours=1)
# How far back the first look at a tenant goes, and how long counts are kept; longer than LATE and AGAIN_AFTER.
KEPT = timedelta(days=1)
READ_AT_ONCE, TOLD_AT_ONCE = 500, 1000

Key = tuple[int, str, str, str, str]


def read_degrades(marks: Mapping[int, int]) -> None:
    """Read what data planes told, of those tenants whose mark, given by pk, is another than at the last look.

    One query to DynamoDB for each, of 500 items; what is beyond them is read at the next look. Raises AwsError.
    """
    marked = {pk: mark for pk, mark in marks.items() if mark}
    if not marked:
        return
    known = DegradeReading.objects.in_bulk(marked)
    changed = [pk for pk, mark in marked.items() if pk not in known or known[pk].mark != mark]
    for pk, public_id in Tenant.objects.filter(pk__in=changed).values_list("pk", "public_id"):
        now = clock.now()
        reading = known.get(pk) or DegradeReading(tenant_id=pk, mark=0, read_until=now - KEPT)
        since = max(reading.read_until - LATE, now - KEPT)  # of minutes before, it is forgotten what was told
        found = connect.limit_store().degrades_since(public_id, since, limit=READ_AT_ONCE)
        with transaction.atomic(durable=True):
            advisory_lock("provisioning.degrades")
            _keep(pk, found)
            if len(found) < READ_AT_ONCE:
                reading.mark, reading.read_until = marked[pk], now
            else:  # the mark stays as it was, so that the next look goes on from here
                reading.read_until = found[-1].minute + LATE
            reading.save()


def tell_degrades() -> int:
    """Record `route.degraded` for what is to be told now; how many events there were. Again tells nothing."""
    now = clock.now()
    with transaction.atomic(durable=True):
        advisory_lock("provisioning.degrades")
        same = {name: OuterRef(name) for name in ("tenant", "route", "line", "to", "reason")}
        told_lately = DegradedMinute.objects.filter(**same, told_at__gt=now - AGAIN_AFTER)
        untold = DegradedMinute.objects.filter(~Exists(told_lately), told__lt=F("times"))
        due = list(untold.select_related("tenant").order_by("pk")[:TOLD_AT_ONCE])
        chains = [list(chain) for _, chain in groupby(sorted(due, key=_by_key_and_minute), key=_key)]
        record_events("route.degraded", [_happening(chain) for chain in chains], actor=SYSTEM)
        DegradedMinute.objects.filter(pk__in=[row.pk for row in due]).update(told=F("times"), told_at=now)
        DegradedMinute.objects.filter(minute__lt=now - KEPT - LATE, told=F("times")).delete()
    return len(chains)


def _keep(tenant_id: int, found: Sequence[DegradeCount]) -> None:
    """Counts only grow: an older reading that comes later changes nothing."""
    standing = {
        (*_key(row), row.minute): row
        for row in DegradedMinute.objects.filter(tenant_id=tenant_id, minute__in={each.minute for each in found})
    }
    new, grown = [], []
    for each in found:
        row = standing.get((tenant_id, each.route, each.line, each.to, each.reason, each.minute))
        if row is None:
            words = {"route": each.route, "line": each.line, "to": each.to, "reason": each.reason}
            new.append(DegradedMinute(tenant_id=tenant_id, minute=each.minute, times=each.times, **words))
        elif each.times > row.times:
            row.times = each.times
            grown.append(row)
    DegradedMinute.objects.bulk_create(new)
    DegradedMinute.objects.bulk_update(grown, ["times"])


def _happening(chain: Sequence[DegradedMinute]) -> Happening:
    """One event of a chain's minutes, in their order."""
    first, last = chain[0], chain[-1]
    tenant, times = first.tenant, sum(row.times - row.told for row in chain)
    told = {
        "route": first.route,
        "line": first.line,
        "to": first.to,
        "reason": first.reason,
        "times": times,
        "first_minute": first.minute.isoformat(),
        "last_minute": last.minute.isoformat(),
    }
    data = {"tenant": tenant.public_id, "external_id": tenant.external_id, **told}
    return Happening(tenant, tenant, reason=_sentence(first, times), after=told, data=data)


def _sentence(row: DegradedMinute, times: int) -> str:
    """What the log says to people."""
    what = {REFUSED: "refused", QUEUE: "made to wait"}.get(row.to, f"passed on to {row.to}")
    return f"Requests of route {row.route} {what} by {row.line}, {times:,} times: {row.reason}."


def _key(row: DegradedMinute) -> Key:
    return row.tenant_id, row.route, row.line, row.to, row.reason


def _by_key_and_minute(row: DegradedMinute) -> tuple[Key, datetime]:
    return _key(row), row.minute
