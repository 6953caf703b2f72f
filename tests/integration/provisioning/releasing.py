"""A tenant with adapters to release, and what must be true of them whatever happened."""

import itertools
from collections.abc import Sequence

from models_registry.models import Adapter, AdapterVersion, CanaryInterval, ServedInterval
from models_registry.queries import canary_at, served_at
from models_registry.services.adapters import create_adapter
from models_registry.states import VersionState
from provisioning import queries
from provisioning.models import PublishedConfig
from provisioning.runtime_config import targets_of
from tenants.models import Tenant
from tests.factories import TESTER
from tests.integration.models_registry.uploading import upload


def adapter_for(tenant: Tenant, name: str = "support") -> Adapter:
    """A line of versions on the base that the tenant's line serves."""
    profile = next(line.profile for line in queries.lines_of(tenant.pk) if line.profile is not None)
    base = profile.foundation_model_id
    return create_adapter(tenant_id=tenant.pk, name=name, foundation_model_id=base, actor=TESTER)


def versions_of(adapter: Adapter, count: int) -> list[AdapterVersion]:
    """Ready versions, the first by the gate and the others with its artifact."""
    first = upload(adapter, "ok-r8-qv")
    made = [first]
    for number in range(2, count + 1):
        Adapter.objects.filter(pk=adapter.pk).update(next_number=number + 1)
        made.append(
            AdapterVersion.objects.create(
                adapter=adapter,
                tenant_id=adapter.tenant_id,
                number=number,
                state=VersionState.READY,
                approval=first.approval,
                sha256=first.sha256,
                artifact_key=first.artifact_key,
                size_bytes=first.size_bytes,
                rank=first.rank,
                alpha=first.alpha,
                uploaded_by=first.uploaded_by,
            )
        )
    return made


def told(config: PublishedConfig, name: str) -> list[tuple[str, int | None]]:
    """What a config tells data planes of a route: version ids with their weights; nothing unless it is active."""
    if config.document["status"] != "active":
        return []
    targets = [target for route, _, target in targets_of(config.document) if route == name]
    return [(target.adapter_version, target.weight) for target in targets if target.line == targets[0].line]


def check_history(tenant: Tenant, adapters: Sequence[Adapter]) -> int:
    """The ledger says of every instant what the config in force then told; how many instants were asked."""
    written = list(PublishedConfig.objects.filter(tenant=tenant, written_at__isnull=False).order_by("version"))
    for config, following in itertools.pairwise(written):
        at = config.written_at + (following.written_at - config.written_at) * 0.9
        for adapter in adapters:
            routed = told(config, adapter.name)
            whole = [version for version, weight in routed if weight is None]
            shared = [(version, weight) for version, weight in routed if weight is not None]
            served, share = served_at(adapter.pk, at), canary_at(adapter.pk, at)
            assert [served.version.public_id if served else None] == (whole or [None]), (config.version, routed)
            found = [(share.version.public_id, share.percent)] if share else []
            assert found == shared, (config.version, routed)
    return len(written[1:]) * len(adapters)


def open_intervals(adapter: Adapter) -> tuple[int, int]:
    """How many versions serve, and how many have a share, by the ledger."""
    still = {"adapter": adapter, "during__endswith__isnull": True}
    return ServedInterval.objects.filter(**still).count(), CanaryInterval.objects.filter(**still).count()
