"""Reading managed resources and how long they served."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from core import clock
from core.errors import NotFound
from core.periods import Period, floor_to_bucket
from provisioning.models import ManagedResource, ResourceInterval


def resources_of(tenant_ids: Collection[int] | None, *, include_gone: bool = False) -> QuerySet[ManagedResource]:
    """Resources of the tenants named, newest first; None means all, shared ones included."""
    rows = ManagedResource.objects.visible_to(tenant_ids)
    rows = rows if include_gone else rows.living()
    return rows.select_related("tenant", "line", "adapter_version__adapter").order_by("-pk")


def get_resource(ref: str, *, tenant_ids: Collection[int] | None) -> ManagedResource:
    """One resource by public id or AWS name. Raises NotFound when absent or invisible."""
    rows = resources_of(tenant_ids, include_gone=True).prefetch_related("needs")
    row = rows.filter(Q(public_id=ref) | Q(name=ref)).first()
    if row is None:
        raise NotFound(f"There is no resource {ref}.")
    return row


def stuck_resources(tenant_ids: Collection[int] | None) -> QuerySet[ManagedResource]:
    """Resources that wait for a quota, for capacity, or for a person."""
    return resources_of(tenant_ids).exclude(stuck_reason="")


def who_owned(*, account: str, region: str, kind: str, name: str) -> ManagedResource | None:
    """Whose AWS object this is or was; names are never reused, so no instant is needed."""
    rows = ManagedResource.objects.select_related("tenant", "line", "adapter_version")
    return rows.filter(account=account, region=region, kind=kind, name=name).first()


@dataclass(frozen=True, slots=True)
class UptimeRow:
    """Serving seconds of one kind of resource on one line within one bucket, summed over the tenant's resources."""

    kind: str
    line: str
    bucket_start: datetime
    seconds: float


def uptime(tenant_id: int, period: Period, *, bucket_seconds: int = 3600) -> list[UptimeRow]:
    """How long the tenant's own resources served, by kind, line and bucket, up to now; shared ones are nobody's.

    An interval that is still open counts up to the business clock.
    """
    intervals = ResourceInterval.objects.filter(
        resource__tenant_id=tenant_id, during__overlap=(period.start, period.end)
    ).select_related("resource__line")
    sums: dict[tuple[str, str, datetime], float] = {}
    for interval in intervals:
        end = min(interval.during.upper or clock.now(), period.end)
        start = max(interval.during.lower, period.start)
        line = interval.resource.line.name if interval.resource.line else ""
        for bucket, seconds in _by_bucket(start, end, bucket_seconds):
            key = (interval.resource.kind, line, bucket)
            sums[key] = sums.get(key, 0.0) + seconds
    return [UptimeRow(*key, seconds) for key, seconds in sorted(sums.items())]


def _by_bucket(start: datetime, end: datetime, bucket_seconds: int) -> Iterable[tuple[datetime, float]]:
    at = start
    while at < end:
        bucket = floor_to_bucket(at, bucket_seconds)
        following = datetime.fromtimestamp(bucket.timestamp() + bucket_seconds, bucket.tzinfo)
        yield bucket, (min(following, end) - at).total_seconds()
        at = following
