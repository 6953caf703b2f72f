"""Which series can have been emitted in a span of time, from what was published; never from searching CloudWatch.

A data plane puts what a config routed. Bedrock counts by itself per inference profile, which belonged to one tenant
from its making to its end: names and ids are never used again.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Min

from metering.attribution import Emitter
from metering.meters import BASE_VERSION, BEDROCK_NAMESPACE
from provisioning.models import AwsAccount, ManagedResource, PublishedConfig
from provisioning.runtime_config import HOSTED, targets_of
from provisioning.specs import INFERENCE_PROFILE

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
        for _, _, target in targets_of(document):
            if target.kind != HOSTED:
                continue
            emitter = Emitter(
                tenant=public_id,
                adapter_version=target.adapter_version,
                line=target.line,
                region=document["region"],
                namespace=document["metrics_namespace"],
            )
            since.setdefault((tenant_id, emitter), created_at)
            components.setdefault((tenant_id, emitter), set()).add(target.component)
    gone_at = _gone_at({name for names in components.values() for name in names})
    return [
        Emission(tenant_id, emitter, begun, _last_end([gone_at.get(name) for name in components[tenant_id, emitter]]))
        for (tenant_id, emitter), begun in since.items()
    ] + _inference_profiles(tenant_ids)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tenant's usage is to be looked for, and since when. `account` is empty for the installation's own."""

    tenant_id: int
    account: str
    region: str
    since: datetime


def places() -> list[Place]:
    """Every account and region in which any tenant was ever routed or counted."""
    configs = PublishedConfig.objects.order_by().values_list("tenant_id", "document__region")
    found = [Place(tenant, "", region, since) for tenant, region, since in configs.annotate(Min("created_at"))]
    foreign = _foreign_accounts()
    profiles = ManagedResource.objects.filter(kind=INFERENCE_PROFILE, tenant__isnull=False).order_by()
    rows = profiles.values_list("tenant_id", "account", "region").annotate(Min("created_at"))
    found += [
        Place(tenant, account if account in foreign else "", region, since) for tenant, account, region, since in rows
    ]
    return found


def _inference_profiles(tenant_ids: Collection[int]) -> list[Emission]:
    foreign = _foreign_accounts()
    rows = ManagedResource.objects.filter(kind=INFERENCE_PROFILE, tenant_id__in=tenant_ids).exclude(arn="")
    rows = rows.select_related("tenant", "line").order_by("pk")
    found = []
    for row in rows:
        assert row.tenant is not None and row.line is not None  # a profile is a tenant's, on a line
        emitter = Emitter(
            tenant=row.tenant.public_id,
            adapter_version=BASE_VERSION,
            line=row.line.name,
            region=row.region,
            namespace=BEDROCK_NAMESPACE,
            account=row.account if row.account in foreign else "",
            profile=row.arn.rpartition("/")[2],
        )
        found.append(Emission(row.tenant.pk, emitter, row.created_at, row.gone_at))
    return found


def _foreign_accounts() -> set[str]:
    """Accounts that were ever registered beside our own."""
    return set(AwsAccount.objects.values_list("account_id", flat=True))


def _gone_at(names: Collection[str]) -> dict[str, datetime | None]:
    found = ManagedResource.objects.filter(name__in=names).values_list("name", "gone_at")
    return dict(found)


def _last_end(ends: list[datetime | None]) -> datetime | None:
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None
