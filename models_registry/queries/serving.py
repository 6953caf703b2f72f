"""What served when, without holes: every stretch of time is either a version or a gap with its reason.

The intervals are the truth; a gap's reason is read from what ended the interval before it. A withdrawal and a departure
leave a release or an event at that instant, a suspension does not: what was released stays released meanwhile.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from core.errors import Invalid
from models_registry.models import Adapter, AdapterVersion, Release, ServedInterval
from tenants.states import TenantState

MOST_INTERVALS = 20_000
"""In one export; an adapter that changes every ten minutes has as many in four months."""
NOT_RELEASED, WITHDRAWN, SUSPENDED, LEFT = "not_released", "withdrawn", "suspended", "left"


class TooMuchToExport(Invalid):
    """The range holds more than one export gives."""

    code = "range_too_large"
    status = 400
    title = "The range is too large"


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when until when a version of an adapter answered, or none did and why; `until` is None for now."""

    adapter: Adapter
    since: datetime
    until: datetime | None
    version: AdapterVersion | None = None
    release: Release | None = None
    gap: str = ""


@dataclass(frozen=True, slots=True)
class ServedThen:
    """What one adapter answered with at an instant; without a version, why nothing did."""

    adapter: Adapter
    served: ServedInterval | None
    gap: str


def served_stretches(
    adapters: Iterable[Adapter], *, start: datetime | None = None, end: datetime | None = None
) -> Iterator[Stretch]:
    """Every stretch of these adapters within [start, end), each adapter's in order, from when it was made.

    Read as it goes, two statements per adapter; `adapters` come with their tenants. Call `refuse_too_much` first.
    """
    for adapter in adapters:
        for stretch in _of_adapter(adapter):
            since = max(stretch.since, start) if start else stretch.since
            until = min(stretch.until or end, end) if end else stretch.until
            if until is None or since < until:
                yield Stretch(adapter, since, until, stretch.version, stretch.release, stretch.gap)


def refuse_too_much(adapter_ids: Collection[int], *, start: datetime | None, end: datetime | None) -> None:
    """Raises TooMuchToExport when the range holds more intervals than one export gives."""
    intervals = ServedInterval.objects.filter(adapter_id__in=adapter_ids)
    if start:
        intervals = intervals.filter(Q(during__endswith__gt=start) | Q(during__endswith__isnull=True))
    if end:
        intervals = intervals.filter(during__startswith__lt=end)
    if intervals[: MOST_INTERVALS + 1].count() > MOST_INTERVALS:
        raise TooMuchToExport(
            f"The range holds more than {MOST_INTERVALS:,} intervals.", hint="Ask for a shorter range, or one adapter."
        )


def adapters_of(tenant_id: int) -> QuerySet[Adapter]:
    """A tenant's adapters by name, with the tenant."""
    return Adapter.objects.filter(tenant_id=tenant_id).select_related("tenant").order_by("name")


def served_then(adapters: Collection[Adapter], at: datetime) -> list[ServedThen]:
    """What each adapter answered with at an instant, in three statements; `adapters` come with their tenants."""
    begun = (
        ServedInterval.objects.filter(adapter__in=adapters, during__startswith__lte=at)
        .select_related("version", "release")
        .order_by("adapter_id", "-during")
        .distinct("adapter_id")
    )
    last = {interval.adapter_id: interval for interval in begun}
    withdrawals: dict[int, list[datetime]] = {}
    withdrawn = Release.objects.filter(adapter__in=adapters, kind=Release.Kind.WITHDRAW, live_at__lte=at)
    for release in withdrawn.only("adapter_id", "live_at"):
        if release.live_at is not None:
            withdrawals.setdefault(release.adapter_id, []).append(release.live_at)
    later = ServedInterval.objects.filter(adapter__in=adapters, during__startswith__gt=at)
    served_later = set(later.values_list("adapter_id", flat=True).distinct())
    found = []
    for adapter in adapters:
        interval = last.get(adapter.pk)
        if interval is None:
            found.append(ServedThen(adapter, None, NOT_RELEASED))
        elif interval.during.upper is None or interval.during.upper > at:
            found.append(ServedThen(adapter, interval, ""))
        else:
            was_withdrawn = any(live_at >= interval.during.upper for live_at in withdrawals.get(adapter.pk, ()))
            is_last = adapter.pk not in served_later
            found.append(ServedThen(adapter, None, WITHDRAWN if was_withdrawn else _unsaid(adapter, is_last=is_last)))
    return found


def _of_adapter(adapter: Adapter) -> Iterator[Stretch]:
    withdrawn = Release.objects.filter(adapter=adapter, kind=Release.Kind.WITHDRAW).order_by("live_at")
    withdrawals = [at for at in withdrawn.values_list("live_at", flat=True) if at is not None]
    intervals = (
        ServedInterval.objects.filter(adapter=adapter).select_related("version", "release").order_by("during")
    ).iterator(chunk_size=500)
    ended: datetime | None = adapter.created_at
    has_served = False
    for interval in intervals:
        since, until = interval.during.lower, interval.during.upper
        if ended is not None and ended < since:
            yield from _gaps(adapter, ended, since, withdrawals, has_served=has_served)
        yield Stretch(adapter, since, until, interval.version, interval.release)
        ended, has_served = until, True
    if ended is not None:
        yield from _gaps(adapter, ended, None, withdrawals, has_served=has_served)


def _gaps(
    adapter: Adapter, since: datetime, until: datetime | None, withdrawals: Iterable[datetime], *, has_served: bool
) -> Iterator[Stretch]:
    """One gap, or two where a suspended tenant's adapter was withdrawn meanwhile."""
    if not has_served:
        yield Stretch(adapter, since, until, gap=NOT_RELEASED)
        return
    withdrawn = next((at for at in withdrawals if at >= since and (until is None or at < until)), None)
    if withdrawn is None or withdrawn > since:
        yield Stretch(adapter, since, withdrawn or until, gap=_unsaid(adapter, is_last=(withdrawn or until) is None))
    if withdrawn is not None:
        yield Stretch(adapter, withdrawn, until, gap=WITHDRAWN)


def _unsaid(adapter: Adapter, *, is_last: bool) -> str:
    has_left = is_last and adapter.tenant.state in (TenantState.OFFBOARDING, TenantState.OFFBOARDED)
    return LEFT if has_left else SUSPENDED
