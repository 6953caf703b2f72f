"""What served when, without holes: every stretch of time is either a version or a gap with its reason.

The intervals are the truth; a gap's reason is read from what ended the interval before it. A withdrawal and a departure
leave a release or an event at that instant, a suspension does not: what was released stays released meanwhile.
While a release goes in steps two versions share the requests: a new stretch begins with every share.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q, QuerySet

from core.errors import Invalid
from models_registry.models import Adapter, AdapterVersion, CanaryInterval, Release, ServedInterval
from models_registry.models.canaries import EVERYTHING
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
    """From when until when a version of an adapter answered, or none did and why; `until` is None for now.

    `beside` is the release in steps whose version had its share of the requests meanwhile, `version` had the rest.
    """

    adapter: Adapter
    since: datetime
    until: datetime | None
    version: AdapterVersion | None = None
    release: Release | None = None
    gap: str = ""
    beside: CanaryInterval | None = None

    @property
    def percent(self) -> int | None:
        """The share of the requests that `version` had; None in a gap."""
        if self.version is None:
            return None
        return EVERYTHING - (self.beside.percent if self.beside else 0)


@dataclass(frozen=True, slots=True)
class ServedThen:
    """What one adapter answered with at an instant; without a version, why nothing did.

    `canary` is the version that had a share of the requests beside it, if one did.
    """

    adapter: Adapter
    served: ServedInterval | None
    gap: str
    canary: CanaryInterval | None = None


def served_stretches(
    adapters: Iterable[Adapter], *, start: datetime | None = None, end: datetime | None = None
) -> Iterator[Stretch]:
    """Every stretch of these adapters within [start, end), each adapter's in order, from when it was made.

    Read as it goes, three statements per adapter; `adapters` come with their tenants. Call `refuse_too_much` first.
    """
    for adapter in adapters:
        for stretch in _of_adapter(adapter):
            since = max(stretch.since, start) if start else stretch.since
            until = min(stretch.until or end, end) if end else stretch.until
            if until is None or since < until:
                yield replace(stretch, since=since, until=until)


def refuse_too_much(adapter_ids: Collection[int], *, start: datetime | None, end: datetime | None) -> None:
    """Raises TooMuchToExport when the range holds more intervals than one export gives."""
    within = Q(adapter_id__in=adapter_ids)
    if start:
        within &= Q(during__endswith__gt=start) | Q(during__endswith__isnull=True)
    if end:
        within &= Q(during__startswith__lt=end)
    served = ServedInterval.objects.filter(within)[: MOST_INTERVALS + 1].count()
    shared = CanaryInterval.objects.filter(within)[: MOST_INTERVALS + 1].count()
    if served + shared > MOST_INTERVALS:
        raise TooMuchToExport(
            f"The range holds more than {MOST_INTERVALS:,} intervals.", hint="Ask for a shorter range, or one adapter."
        )


def adapters_of(tenant_id: int) -> QuerySet[Adapter]:
    """A tenant's adapters by name, with the tenant."""
    return Adapter.objects.filter(tenant_id=tenant_id).select_related("tenant").order_by("name")


def served_then(adapters: Collection[Adapter], at: datetime) -> list[ServedThen]:
    """What each adapter answered with at an instant, in four statements; `adapters` come with their tenants."""
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
    shares = CanaryInterval.objects.filter(adapter__in=adapters, during__contains=at)
    shared = {share.adapter_id: share for share in shares.select_related("version", "release")}
    found = []
    for adapter in adapters:
        interval = last.get(adapter.pk)
        if interval is None:
            found.append(ServedThen(adapter, None, NOT_RELEASED))
        elif interval.during.upper is None or interval.during.upper > at:
            found.append(ServedThen(adapter, interval, "", shared.get(adapter.pk)))
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
    shares = list(
        CanaryInterval.objects.filter(adapter=adapter).select_related("version", "release").order_by("during")
    )
    ended: datetime | None = adapter.created_at
    has_served = False
    for interval in intervals:
        since, until = interval.during.lower, interval.during.upper
        if ended is not None and ended < since:
            yield from _gaps(adapter, ended, since, withdrawals, has_served=has_served)
        yield from _shared(Stretch(adapter, since, until, interval.version, interval.release), shares)
        ended, has_served = until, True
    if ended is not None:
        yield from _gaps(adapter, ended, None, withdrawals, has_served=has_served)


def _shared(served: Stretch, shares: Iterable[CanaryInterval]) -> Iterator[Stretch]:
    """A stretch of one version, cut where another one's share of the requests began, changed or ended."""
    since: datetime | None = served.since
    for share in shares:
        begin, end = share.during.lower, share.during.upper
        if since is None or (end is not None and end <= since) or (served.until is not None and begin >= served.until):
            continue
        if since < begin:
            yield replace(served, since=since, until=begin)
            since = begin
        until = min((at for at in (end, served.until) if at is not None), default=None)
        yield replace(served, since=since, until=until, beside=share)
        since = until
    if since is not None and since != served.until:
        yield replace(served, since=since)


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
