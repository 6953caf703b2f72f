"""Which series can have been emitted in a span of time, from what was published; never from searching CloudWatch."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from metering.attribution import Emitter
from provisioning.models import ManagedResource, PublishedConfig

# A data plane's clock may be off, and a replay stamps by its own; a day too many costs a query, a day too few costs
# usage.
SLACK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Emission:
    """An emitter with its tenant's key, and from when until when it can have answered; `until` None: it still can."""

    tenant_id: int
    emitter: Emitter
    since: datetime
    until: datetime | None

    def can_emit_in(self, start: datetime, end: datetime) -> bool:
        """Whether usage stamped within [start, end) can be its."""
        return self.since - SLACK < end and (self.until is None or self.until + SLACK > start)


def emissions(tenant_ids: Collection[int]) -> list[Emission]:
    """Everything that was ever routed for these tenants, each once.

    A data plane may keep an old config for as long as the store is away, so a route ends with the component that
    answered on it, not with the next config.
    """
    configs = (
        PublishedConfig.objects.filter(tenant_id__in=tenant_ids)
        .order_by("tenant_id", "version")
        .values_list("tenant_id", "tenant__public_id", "created_at", "document")
    )
    since: dict[tuple[int, Emitter], datetime] = {}
    components: dict[tuple[int, Emitter], set[str]] = {}
    for tenant_id, public_id, created_at, document in configs.iterator():
        for route in document["routes"].values():
            emitter = Emitter(
                tenant=public_id,
                adapter_version=route["adapter_version"],
                line=route["line"],
                region=document["region"],
                namespace=document["metrics_namespace"],
            )
            since.setdefault((tenant_id, emitter), created_at)
            components.setdefault((tenant_id, emitter), set()).add(route["component"])
    gone_at = _gone_at({name for names in components.values() for name in names})
    return [
        Emission(tenant_id, emitter, begun, _last_end([gone_at.get(name) for name in components[tenant_id, emitter]]))
        for (tenant_id, emitter), begun in since.items()
    ]


def tenants_with_endpoints(tenant_ids: Collection[int]) -> list[int]:
    """Those among the tenants that have or had an endpoint of their own."""
    endpoints = ManagedResource.objects.filter(tenant_id__in=tenant_ids, kind="endpoint")
    return list(endpoints.order_by("tenant_id").values_list("tenant_id", flat=True).distinct())


def _gone_at(names: Collection[str]) -> dict[str, datetime | None]:
    found = ManagedResource.objects.filter(name__in=names).values_list("name", "gone_at")
    return dict(found)


def _last_end(ends: list[datetime | None]) -> datetime | None:
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None
