"""Compares what AWS holds under our tags with what our rows say. Reads only."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from django.conf import settings

from aws import connect, errors
from aws.gateway import HostingKind
from provisioning.models import ManagedResource, ServingLine
from provisioning.reconciler.observe import INSTALL_TAG, RESOURCE_TAG
from provisioning.specs import HOSTING_KINDS
from provisioning.states import Phase

HOSTED: tuple[HostingKind, ...] = ("model", "endpoint_config", "endpoint", "component")


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: where, what and why it is one."""

    region: str
    kind: str
    name: str
    resource: str
    tenant: str
    detail: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """`orphans` exist in AWS under our tags without a living row, `missing` serve by our rows and are not in AWS,
    `stuck` wait for somebody, `foreign` have names like ours and other owners. `counts` are AWS's, by kind."""

    counts: dict[str, int]
    orphans: list[Found] = field(default_factory=list)
    missing: list[Found] = field(default_factory=list)
    stuck: list[Found] = field(default_factory=list)
    foreign: list[Found] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether AWS and rows agree and nothing waits for a person."""
        return not (self.orphans or self.missing or self.stuck)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def take_inventory() -> Inventory:
    """List every region that a line or a resource is in. Raises AwsError: half an inventory would mislead."""
    regions = set(ServingLine.objects.values_list("region", flat=True))
    regions |= set(ManagedResource.objects.living().values_list("region", flat=True))
    inventory = Inventory(counts={})
    for region in sorted(regions):
        _of_region(region, inventory)
    for row in ManagedResource.objects.exclude(stuck_reason="").select_related("tenant").order_by("pk"):
        inventory.stuck.append(_found(row, f"{row.get_stuck_reason_display()}: {row.detail}"))
    return inventory


def _of_region(region: str, inventory: Inventory) -> None:
    hosting, install = connect.hosting(region), settings.INSTALL_NAME
    rows = {
        (HOSTING_KINDS[row.kind], row.name): row
        for row in ManagedResource.objects.filter(region=region).select_related("tenant")
    }
    seen: set[tuple[HostingKind, str]] = set()
    counts: Counter[str] = Counter(inventory.counts)
    for kind in HOSTED:
        for name, sighting in hosting.list(kind, name_contains=f"{install}-").items():
            row = rows.get((kind, name))
            if row is not None and row.phase != Phase.GONE and row.arn:
                seen.add((kind, name))
                counts[kind] += 1
                continue
            try:
                tags = hosting.tags(sighting.arn)
            except errors.Missing:
                continue  # it went while we looked
            if tags.get(INSTALL_TAG) == install:
                counts[kind] += 1
                seen.add((kind, name))
                if row is None or row.phase == Phase.GONE or tags.get(RESOURCE_TAG) != row.public_id:
                    inventory.orphans.append(_orphan(region, kind, name, tags, sighting.status))
            elif row is not None or name.startswith(f"{install}-"):
                inventory.foreign.append(Found(region, kind, name, "", "", "It does not carry our tags."))
    inventory.counts.update(counts)
    for key, row in rows.items():
        if row.phase in (Phase.READY, Phase.UPDATING) and key not in seen:
            inventory.missing.append(_found(row, "Our row says that it serves; AWS does not list it."))


def _orphan(region: str, kind: str, name: str, tags: dict[str, str], status: str) -> Found:
    resource, tenant = tags.get(RESOURCE_TAG, ""), tags.get("cp:tenant", "")
    return Found(region, kind, name, resource, tenant, f"AWS says {status or 'that it exists'}; no living row of ours.")


def _found(row: ManagedResource, detail: str) -> Found:
    tenant = row.tenant.public_id if row.tenant else "pool"
    return Found(row.region, row.kind, row.name, row.public_id, tenant, detail)
