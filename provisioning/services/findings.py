"""Keeps what inventories found, and what people decide about it: delete an orphan, or leave something alone."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import F

from core.actors import Actor
from core.clock import real_now
from core.errors import Conflict
from core.locks import advisory_lock
from events.record import record_event
from provisioning.models import ManagedResource
from provisioning.models.findings import FindingKind, InventoryFinding, InventoryLook
from provisioning.services.inventory import Found, Inventory, take_inventory
from tenants.models import Tenant

INVENTORY_LOCK = "provisioning: inventory"


class AlreadyResolved(Conflict):
    """The last inventory did not see it any more."""

    code = "finding_resolved"
    title = "It is not there any more"


def keep_inventory() -> Inventory:
    """Take an inventory and keep it: new findings get rows, known ones another sighting, the rest are resolved.

    Raises AwsError, and changes nothing, when AWS cannot be listed completely.
    """
    began = real_now()
    inventory = take_inventory()
    with transaction.atomic(durable=True):
        advisory_lock(INVENTORY_LOCK)
        if not InventoryLook.objects.filter(at__gt=began).exists():
            _keep(inventory, began)
    return inventory


def ignore_finding(*, finding_id: int, reason: str, actor: Actor) -> InventoryFinding:
    """Leave it alone for as long as it stays; it makes no inventory fail any more.

    Raises AlreadyResolved for what is not there any more.
    """
    with transaction.atomic(durable=True):
        finding = (
            InventoryFinding.objects.select_for_update(of=("self",), no_key=True)
            .select_related("tenant")
            .get(pk=finding_id)
        )
        refuse_resolved(finding)
        finding.ignored_reason, finding.ignored_by = reason, actor.name
        finding.save(update_fields=["ignored_reason", "ignored_by"])
        facts = {"kind": finding.kind, "name": finding.name}
        record_event("finding.ignored", tenant=finding.tenant, subject=finding, actor=actor, reason=reason, after=facts)
    return finding


def unignore_finding(*, finding_id: int, actor: Actor) -> InventoryFinding:
    """Take back that it is left alone; again is fine. Raises AlreadyResolved for what is not there any more."""
    with transaction.atomic(durable=True):
        rows = InventoryFinding.objects.select_for_update(of=("self",), no_key=True).select_related("tenant")
        finding = rows.get(pk=finding_id)
        refuse_resolved(finding)
        if finding.ignored_reason:
            before = {"ignored_reason": finding.ignored_reason, "ignored_by": finding.ignored_by}
            finding.ignored_reason = finding.ignored_by = ""
            finding.save(update_fields=["ignored_reason", "ignored_by"])
            record_event("finding.unignored", tenant=finding.tenant, subject=finding, actor=actor, before=before)
    return finding


def refuse_resolved(finding: InventoryFinding) -> None:
    """Raise AlreadyResolved for what the last inventory did not see."""
    if finding.resolved_at is not None:
        raise AlreadyResolved(f"The last inventory did not find {finding.name} any more; nothing was changed.")


def _keep(inventory: Inventory, at: datetime) -> None:
    known = {
        (row.kind, row.account, row.region, row.aws_kind, row.name): row
        for row in InventoryFinding.objects.still_there().exclude(account__in=inventory.closed)
    }
    seen_again: list[InventoryFinding] = []
    for kind, found in _all(inventory):
        row = known.pop((kind, found.account, found.region, found.kind, found.name), None)
        if row is None and found.account in inventory.closed:
            row = (
                InventoryFinding.objects.still_there()
                .filter(kind=kind, account=found.account, region=found.region, aws_kind=found.kind, name=found.name)
                .first()
            )
        if row is None:
            # Resource and tenant of an orphan are claims of its tags.
            resource = None if kind == FindingKind.ORPHAN else _resource(found)
            row = InventoryFinding(
                kind=kind, account=found.account, region=found.region, aws_kind=found.kind, name=found.name,
                resource=resource, tenant=Tenant.objects.filter(public_id=found.tenant).first(),
                first_seen_at=at, last_seen_at=at,
            )  # fmt: skip
        else:
            seen_again.append(row)
            row.last_seen_at = at
        row.arn, row.tags, row.needs, row.detail = found.arn, dict(found.tags), list(found.needs), found.detail
        row.before, row.after, row.usd_per_hour = dict(found.before), dict(found.after), found.usd_per_hour
        row.save()
    InventoryFinding.objects.filter(pk__in=[row.pk for row in seen_again]).update(sightings=F("sightings") + 1)
    InventoryFinding.objects.filter(pk__in=[row.pk for row in known.values()]).update(resolved_at=at)
    for account, counts in {inventory.account: {}, **inventory.counts_of}.items():
        if account not in inventory.closed:
            InventoryLook.objects.update_or_create(account=account, defaults={"at": at, "counts": counts})


def _all(inventory: Inventory) -> Iterable[tuple[FindingKind, Found]]:
    yield from ((FindingKind.ORPHAN, found) for found in inventory.orphans)
    yield from ((FindingKind.MISSING, found) for found in inventory.missing)
    yield from ((FindingKind.DRIFT, found) for found in inventory.drift)
    yield from ((FindingKind.STUCK, found) for found in inventory.stuck)


def _resource(found: Found) -> ManagedResource | None:
    return ManagedResource.objects.filter(public_id=found.resource).first()
