"""Turns for calls that change AWS: AWS throttles by account, region and operation, so we keep below that by the same.

A bucket holds up to `burst` tokens and gains `rate` a second; a changing call costs one. Workers share the bucket by a
conditional UPDATE and hold no transaction while they call. Who finds no token is told when to come back.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import F

from core.clock import real_now
from core.crashpoints import boundary
from provisioning.models import ManagedResource
from provisioning.models.call_buckets import CallBucket
from provisioning.reconciler.plan import Action
from provisioning.specs import HOSTING_KINDS

# Others can take from the bucket between our look and our UPDATE; who loses this often waits like the rest.
TRIES = 8


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second, and how many may come at once."""

    per_second: float
    burst: int


def share(tokens: float, elapsed_seconds: float, rate: Rate, wanted: int) -> tuple[int, float]:
    """Pure: how many of `wanted` tokens a bucket gives, and what is left in it. A clock set back refills nothing."""
    available = min(float(rate.burst), tokens + max(elapsed_seconds, 0.0) * rate.per_second)
    granted = min(wanted, int(available))
    return granted, available - granted


def waits(rows: Iterable[ManagedResource], actions: Mapping[int, Action]) -> dict[int, float]:
    """After how many seconds each row's call has its turn; zero: now, its token is taken. Longest due come first."""
    rate = Rate(settings.ENV.aws_changes_per_second, settings.ENV.aws_changes_burst)
    queues: dict[tuple[str, str, str], list[ManagedResource]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.look_again_at, row.pk)):
        queues[(row.account, row.region, f"{actions[row.pk]} {HOSTING_KINDS[row.kind]}")].append(row)
    found: dict[int, float] = {}
    for (account, region, operation), queue in queues.items():
        granted = _take(account, region, operation, wanted=len(queue), rate=rate, at=real_now())
        for place, row in enumerate(queue, start=1):
            found[row.pk] = max(place - granted, 0) / rate.per_second
    return found


def _take(account: str, region: str, operation: str, *, wanted: int, rate: Rate, at: datetime) -> int:
    """Take up to `wanted` tokens; how many it were."""
    key = {"account": account, "region": region, "operation": operation}
    for _ in range(TRIES):
        bucket, _ = CallBucket.objects.get_or_create(**key, defaults={"tokens": rate.burst, "refilled_at": at})
        elapsed = (at - bucket.refilled_at).total_seconds()
        granted, left = share(bucket.tokens, elapsed, rate, wanted)
        if not granted:
            return 0
        unchanged = CallBucket.objects.filter(pk=bucket.pk, version=bucket.version)
        with boundary("commit tokens"):
            taken = unchanged.update(tokens=left, refilled_at=max(at, bucket.refilled_at), version=F("version") + 1)
        if taken:
            return granted
    return 0
