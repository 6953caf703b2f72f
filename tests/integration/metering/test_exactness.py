"""Many points, late, doubled and revised, end exact: against sums made here, and against each other."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Model, Sum

from core import clock
from core.periods import Period
from metering import partitions, queries
from metering.models import UsageBucket, UsageDay, UsageHour, UsageRevision
from metering.queries.conservation import breaches
from metering.services.rollups import roll_up_hours
from metering.services.sealing import seal_usage
from metering.store import Reading, write_readings
from tests.factories import TESTER, make_tenant
from tests.support.billing_world import read_everything

OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)
METERS = ("input_tokens", "output_tokens", "requests")
AT_ONCE = 10_000


def points(count: int, tenants: list[int], source: random.Random) -> list[Reading]:
    """Readings in a random order of arrival: three in ten are said twice, three in ten change, some come last."""
    made: list[tuple[float, Reading]] = []
    while len(made) < count:
        at = OCTOBER.start + source.randrange(744) * HOUR
        key = (source.choice(tenants), source.choice(METERS), "pooled", f"adv_{source.randrange(8)}", at, 3600)
        arrival = source.random()
        made.append((arrival, Reading(*key, source.randrange(10**6), "cloudwatch:r:n", clock.now(), "q")))
        if source.random() < 0.3:
            made.append((arrival + source.random(), made[-1][1]))
        if source.random() < 0.3:
            late = arrival + source.choice((0.1, 2.0))
            made.append((late, made[-1][1]._replace(quantity=source.randrange(10**6))))
    return [reading for _, reading in sorted(made[:count], key=lambda each: each[0])]


@pytest.mark.parametrize(
    "count",
    [100_000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
    ids=["100,000", "1,000,000"],
)
def test_late_doubled_and_revised_points_end_exact(db: None, clock_file: Any, count: int) -> None:
    # Before the first statement: making them takes longer than a transaction may idle.
    stream = points(count, [0, 1, 2], random.Random(2026))
    clock_file.write_text(str(int((OCTOBER.start - datetime.now(UTC)).total_seconds())))
    tenants = [make_tenant(billing_timezone=zone).pk for zone in ("UTC", "Asia/Tokyo", "America/New_York")]
    clock_file.write_text(str(int((OCTOBER.end + 80 * HOUR - datetime.now(UTC)).total_seconds())))
    partitions.make_months([OCTOBER.start])
    truth: dict[tuple[Any, ...], int] = {}
    seals: Counter[tuple[int, str, str]] = Counter()
    first = True
    for begin in range(0, count, AT_ONCE):
        named = (each._replace(tenant_id=tenants[each.tenant_id]) for each in stream[begin : begin + AT_ONCE])
        batch = {reading[:5]: reading for reading in named}
        truth |= {key: reading.quantity for key, reading in batch.items()}
        write_readings(list(batch.values()))
        if begin >= count * 0.7 and first:
            first = False
            read_everything()
            seals += claimed(tenants)
    read_everything()
    seals.update(claimed(tenants))
    expected: Counter[tuple[int, str, str]] = Counter()
    for (tenant, meter, _line, version, _at), quantity in truth.items():
        expected[tenant, meter, version] += quantity
    assert UsageBucket.objects.count() == len(truth)
    assert seals == expected, "what seals claim, first and late, is what was last said"
    assert UsageRevision.objects.count() == total(UsageBucket, "revision") - len(truth)
    assert total(UsageDay) == sum(truth.values())
    roll_up_hours()
    assert total(UsageHour) == sum(truth.values())
    assert breaches() == []


def total(model: type[Model], column: str = "quantity") -> int:
    """The sum of a column over all rows."""
    return int(model._default_manager.aggregate(total=Sum(column))["total"])


def claimed(tenants: list[int]) -> Counter[tuple[int, str, str]]:
    """What one sealing claims."""
    made = seal_usage(tenant_ids=tenants, period_start=OCTOBER.start, period_end=OCTOBER.end, actor=TESTER)
    found: Counter[tuple[int, str, str]] = Counter()
    for row in queries.summarise([seal.pk for seal in made]):
        found[row.tenant_id, row.meter, row.adapter_version] += row.quantity
    return found


def test_a_sum_that_is_off_is_found(db: None) -> None:
    tenant = make_tenant()
    write_readings(
        [Reading(tenant.pk, "requests", "pooled", "base", OCTOBER.start, 3600, 5, "cloudwatch:r:n", clock.now(), "q")]
    )
    assert breaches() == []
    UsageDay.objects.filter(tenant=tenant).update(quantity=6)
    [breach] = breaches()
    assert (breach.rule, breach.rows) == ("days are the sums of their buckets", 1)
