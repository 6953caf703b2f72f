"""Sealed usage is complete, fixed, and claimed once; what comes late is a correction beside it."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError, InternalError

from core.errors import DomainError
from core.periods import Period, billing_month, bucket_seconds
from events.models import Event
from metering import queries
from metering.models import Seal, SealedBucket, UsageBucket
from metering.services.backfill import read_again
from metering.services.collection import collect_usage
from metering.services.sealing import PeriodOffGrid, SealOverlaps, UsageIncomplete, seal_usage
from provisioning.models import ManagedResource, ResourceInterval, ServingLine
from tests.factories import TESTER, make_tenant
from tests.integration.metering.meterage import HOUR, METRICS, Meterage

if TYPE_CHECKING:
    from tenants.models import Tenant

VERSION = "adv_" + "0" * 25 + "1"


def seal(meterage: Meterage, *tenants: Tenant, hours: int = 24) -> list[Seal]:
    return seal_usage(
        tenant_ids=[tenant.pk for tenant in tenants],
        period_start=meterage.start,
        period_end=meterage.after(hours=hours),
        actor=TESTER,
    )


def used(meterage: Meterage, tenant: Tenant) -> None:
    """Three hours of one day with usage of two versions, settled."""
    meterage.move_to(meterage.after(hours=24))
    for hour, value in ((0, 100), (7, 20), (23, 3)):
        for meter in METRICS:
            meterage.put(tenant, value, meterage.start + hour * HOUR, meter=meter)
    meterage.put(tenant, 1000, meterage.start, version=VERSION)
    meterage.put(tenant, 77, meterage.after(hours=24))
    meterage.settle(meterage.after(hours=24))


def test_a_seal_claims_its_period_and_nothing_beside_it(meterage: Meterage) -> None:
    tenant = meterage.tenant("base", VERSION)
    used(meterage, tenant)
    [sealed] = seal(meterage, tenant)
    found = {(row.meter, row.adapter_version): row.quantity for row in queries.summarise([sealed.pk])}
    assert found == {
        ("input_tokens", "base"): 123,
        ("input_tokens", VERSION): 1000,
        ("output_tokens", "base"): 123,
        ("requests", "base"): 123,
    }
    assert (sealed.revision, sealed.bucket_count) == (1, 10)
    assert Event.objects.filter(name="usage.sealed", subject_ref=sealed.public_id).count() == 1
    behind = queries.sealed_buckets(seal_id=sealed.pk, tenant_ids=None, meter="input_tokens", adapter_version="base")
    assert [bucket.claimed for bucket in behind] == [100, 20, 3]
    assert all(bucket.request_id and bucket.query for bucket in behind)


def test_the_digest_is_that_of_the_claimed_rows(meterage: Meterage) -> None:
    tenant = meterage.tenant("base", VERSION)
    used(meterage, tenant)
    [sealed] = seal(meterage, tenant)
    rows = UsageBucket.objects.filter(tenant=tenant, bucket_start__lt=meterage.after(hours=24))
    lines = [
        f"{b.meter},{b.line},{b.adapter_version},{int(b.bucket_start.timestamp())},3600,{b.source},1,{b.quantity}"
        for b in sorted(rows, key=lambda b: (b.bucket_start, b.meter, b.line, b.adapter_version, b.source))
    ]
    assert sealed.sha256 == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_sealing_again_gives_the_same_seal(meterage: Meterage) -> None:
    tenant = meterage.tenant("base", VERSION)
    used(meterage, tenant)
    assert seal(meterage, tenant) == seal(meterage, tenant)
    assert Seal.objects.count() == 1
    assert Event.objects.filter(name="usage.sealed").count() == 1


def test_a_period_without_usage_is_sealed_empty(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.settle(meterage.after(hours=24))
    [sealed] = seal(meterage, tenant)
    assert sealed.bucket_count == 0
    assert sealed.sha256 == hashlib.sha256(b"").hexdigest()
    assert seal(meterage, tenant) == [sealed]


def test_an_unread_hour_is_named_and_nothing_is_sealed(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.collect(meterage.after(hours=10))
    meterage.move_to(meterage.after(hours=30))
    with pytest.raises(UsageIncomplete) as refused:
        seal(meterage, tenant)
    told = [error.detail for error in refused.value.errors]
    edges = [f"{meterage.after(hours=hours):%Y-%m-%d %H:%M}Z" for hours in (0, 9, 10, 24)]
    assert told == [
        f"{edges[0]} to {edges[1]}: not final yet",
        f"{edges[1]} to {edges[2]}: not read yet",
        f"{edges[2]} to {edges[3]}: not opened yet",
    ]
    assert not Seal.objects.exists()
    assert not SealedBucket.objects.exists()


def test_a_period_that_has_not_ended_a_stranger_and_a_parked_value_are_refused(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    with pytest.raises(UsageIncomplete, match="ends only at"):
        seal(meterage, tenant)
    meterage.put(tenant, 0.5, meterage.start)
    meterage.settle(meterage.after(hours=24))
    with pytest.raises(UsageIncomplete, match="not a whole number"):
        seal(meterage, tenant)
    with pytest.raises(UsageIncomplete, match="not metered yet"):
        seal(meterage, make_tenant())
    assert not Seal.objects.exists()


def test_one_incomplete_tenant_seals_none_of_the_set(meterage: Meterage) -> None:
    good, bad = meterage.tenant(), meterage.tenant()
    meterage.put(bad, 0.5, meterage.start)
    meterage.settle(meterage.after(hours=24))
    with pytest.raises(UsageIncomplete):
        seal(meterage, good, bad)
    assert not Seal.objects.exists()
    assert [found.tenant_id for found in seal(meterage, good)] == [good.pk]


def test_edges_between_buckets_and_overlapping_periods_are_refused(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.settle(meterage.after(hours=24))
    with pytest.raises(PeriodOffGrid):
        seal_usage(
            tenant_ids=[tenant.pk],
            period_start=meterage.start,
            period_end=meterage.after(hours=1.5),
            actor=TESTER,
        )
    seal(meterage, tenant)
    with pytest.raises(SealOverlaps):
        seal(meterage, tenant, hours=23)


def test_late_usage_becomes_a_correction_and_the_seal_stays(meterage: Meterage) -> None:
    tenant = meterage.tenant("base", VERSION)
    used(meterage, tenant)
    [first] = seal(meterage, tenant)
    before = queries.summarise([first.pk])
    meterage.put(tenant, 5, meterage.start)
    meterage.put(tenant, 8, meterage.after(hours=3), meter="requests")
    collect_usage()
    assert queries.corrections(tenant_ids=[tenant.pk]) == []
    # Nobody has to ask: each hour is looked at once more after the last moment at which points can appear.
    meterage.collect(meterage.after(days=18, hours=2))
    assert queries.summarise([first.pk]) == before
    late = {(row.meter, row.adapter_version): row.quantity for row in queries.corrections(tenant_ids=[tenant.pk])}
    assert late == {("input_tokens", "base"): 5, ("requests", "base"): 8}
    assert queries.corrections(tenant_ids=[]) == []
    [second] = seal(meterage, tenant)
    assert (second.revision, second.bucket_count) == (2, 2)
    claimed = {row.meter: row.quantity for row in queries.summarise([second.pk])}
    assert claimed == {"input_tokens": 5, "requests": 8}
    assert queries.summarise([first.pk]) == before
    assert queries.corrections(tenant_ids=None) == []
    assert seal(meterage, tenant) == [second]


def test_everything_claimed_adds_up_to_everything_used(meterage: Meterage) -> None:
    tenant = meterage.tenant("base", VERSION)
    used(meterage, tenant)
    seal(meterage, tenant)
    meterage.put(tenant, 11, meterage.after(hours=2))
    read_again(start=meterage.after(hours=2), end=meterage.after(hours=3))
    collect_usage()
    seal(meterage, tenant)
    in_period = UsageBucket.objects.filter(tenant=tenant, bucket_start__lt=meterage.after(hours=24))
    for bucket in in_period:
        assert sum(claim.quantity for claim in bucket.claims.all()) == bucket.quantity == bucket.sealed_quantity
    assert sum(b.quantity for b in in_period) == sum(c.quantity for c in SealedBucket.objects.all())


@pytest.mark.parametrize("table", ["metering_seal", "metering_sealedbucket"])
def test_seals_and_claims_cannot_be_changed_or_removed(meterage: Meterage, table: str) -> None:
    tenant = meterage.tenant("base", VERSION)
    used(meterage, tenant)
    seal(meterage, tenant)
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
        with pytest.raises((InternalError, IntegrityError)), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_many_at_once_seal_once(real_meterage: Meterage) -> None:
    tenant = real_meterage.tenant("base", VERSION)
    used(real_meterage, tenant)
    answers: list[object] = []

    def run() -> None:
        try:
            answers.append(seal(real_meterage, tenant)[0].pk)
        except DomainError as error:
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(answers)) == 1, answers
    assert Seal.objects.count() == 1
    assert SealedBucket.objects.count() == 10


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe"],
)
def test_a_billing_month_begins_and_ends_on_buckets_in_its_zone(meterage: Meterage, zone: str) -> None:
    tenant = meterage.tenant(billing_timezone=zone)
    month = billing_month((meterage.start + timedelta(days=40)).year, (meterage.start + timedelta(days=40)).month, zone)
    edges = [
        (month.start - timedelta(seconds=1), 1),
        (month.start, 10),
        (month.end - timedelta(seconds=1), 100),
        (month.end, 1000),
    ]
    for at, value in edges:
        meterage.move_to(at + HOUR)
        meterage.put(tenant, value, at)
    meterage.settle(month.end + 2 * HOUR)
    [sealed] = seal_usage(tenant_ids=[tenant.pk], period_start=month.start, period_end=month.end, actor=TESTER)
    assert [row.quantity for row in queries.summarise([sealed.pk])] == [110]
    assert set(UsageBucket.objects.values_list("bucket_seconds", flat=True)) == {bucket_seconds(zone)}
    days = queries.usage_by_day(tenant_ids=[tenant.pk], start=month.start, end=month.end, timezone=zone)
    assert [row.day.day for row in days] == [1, (month.end - timedelta(hours=12)).day]
    assert sum(row.quantity for row in days) == 110


def test_endpoint_time_comes_from_the_ledger(meterage: Meterage) -> None:
    from core.actors import SYSTEM
    from provisioning.services.catalogue import seed_catalogue

    seed_catalogue(actor=SYSTEM)
    tenant, other = meterage.tenant(), meterage.tenant()
    line = ServingLine.objects.get(name="dedicated")
    for kind in ("endpoint", "base_component"):
        row = ManagedResource.objects.create(
            tenant=tenant, line=line, kind=kind, slot=f"{tenant.public_id}/{kind}", slug="x", account="1", region="r",
            name=f"n-{kind}", incarnation=1, identity={}, identity_digest="d", digest="d",
        )  # fmt: skip
        during = (meterage.after(minutes=30), meterage.after(hours=3, minutes=10))
        ResourceInterval.objects.create(resource=row, during=during, copies=2 if kind == "base_component" else 1)
    meterage.settle(meterage.after(hours=24))
    assert list(meterage.by_bucket(tenant, "endpoint_seconds").items()) == [
        (meterage.start, 1800),
        (meterage.after(hours=1), 3600),
        (meterage.after(hours=2), 3600),
        (meterage.after(hours=3), 600),
    ]
    assert meterage.total(other, "endpoint_seconds") == 0
    [sealed] = seal(meterage, tenant)
    rows = [(row.meter, row.line, row.adapter_version, row.quantity) for row in queries.summarise([sealed.pk])]
    assert rows == [("copy_seconds", "dedicated", "", 2 * 9600), ("endpoint_seconds", "dedicated", "", 9600)]


def test_a_zone_that_needs_smaller_buckets_takes_them_from_the_next_hour_on(meterage: Meterage) -> None:
    tenant = meterage.tenant()
    meterage.collect(meterage.after(hours=2.5))
    type(tenant).objects.filter(pk=tenant.pk).update(billing_timezone="Asia/Kathmandu")
    collect_usage()
    meterage.move_to(meterage.after(hours=6))
    for hour in range(6):
        meterage.put(tenant, 10**hour, meterage.after(hours=hour, minutes=20))
    meterage.settle(meterage.after(hours=6))
    assert meterage.total(tenant) == 111_111
    sizes = dict(UsageBucket.objects.values_list("bucket_start", "bucket_seconds"))
    assert [size for _, size in sorted(sizes.items())] == [3600, 3600, 3600, 900, 900, 900]


def test_periods_and_seals_are_shown_to_their_own_tenant_only(meterage: Meterage) -> None:
    mine, other = meterage.tenant(), meterage.tenant()
    meterage.put(mine, 1, meterage.start)
    meterage.put(other, 2, meterage.start)
    meterage.settle(meterage.after(hours=24))
    seal(meterage, mine, other)
    span = Period(meterage.start, meterage.after(hours=24))
    assert [row.quantity for row in queries.buckets(tenant_ids=[mine.pk], start=span.start, end=span.end)] == [1]
    assert [row.quantity for row in queries.usage_by_day(
        tenant_ids=[mine.pk], start=span.start, end=span.end, timezone="UTC"
    )] == [1]  # fmt: skip
    assert [found.tenant_id for found in queries.seals(tenant_ids=[mine.pk])] == [mine.pk]
    theirs = Seal.objects.get(tenant=other)
    assert queries.sealed_buckets(seal_id=theirs.pk, tenant_ids=[mine.pk], meter="input_tokens") == []
    assert len(queries.buckets(tenant_ids=None, start=span.start, end=span.end)) == 2
