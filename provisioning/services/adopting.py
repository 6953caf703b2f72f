"""Adopts an orphan: a wish that has no object yet takes the one that AWS holds for the same wish, which then serves.

That is how a restored database gets its resources back. Nothing is asked of AWS here: the wish takes the id and the
name that the object carries, and the reconciler reads the tags and settles the row like any other.
"""

from django.db import transaction
from django.db.models import Q

from core.actors import Actor
from core.clock import real_now
from core.errors import Conflict
from core.locks import advisory_lock
from events.record import record_event
from provisioning.models import ManagedResource
from provisioning.models.findings import FindingKind, InventoryFinding
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.reconciler.observe import RESOURCE_TAG
from provisioning.services.findings import refuse_resolved
from provisioning.services.orphans import NAME_TAIL, refuse_uncertain
from provisioning.specs import POOL
from provisioning.states import Phase, StuckReason


class NotAdoptable(Conflict):
    """No wish, or more than one, is made for exactly what the orphan is."""

    code = "orphan_not_adoptable"
    title = "This cannot be adopted"


def adopt_orphan(*, finding_id: int, reason: str, actor: Actor) -> ManagedResource:
    """Give the orphan to the one wish for the same thing, in the same place and with the same digest; its row.

    Again is fine. Raises AlreadyResolved when the last inventory did not see it, and NotAdoptable, with nothing
    changed, when it was not seen twice, does not carry our tags, or there is no such wish without an object.
    """
    with transaction.atomic(durable=True):
        advisory_lock(WISHES_LOCK)
        finding = (
            InventoryFinding.objects.select_for_update(of=("self",), no_key=True)
            .select_related("resource__tenant")
            .get(pk=finding_id)
        )
        refuse_resolved(finding)
        if finding.kind != FindingKind.ORPHAN:
            raise NotAdoptable("It is no orphan.", hint="What has a row is settled by the reconciler.")
        if finding.resource is not None:
            if finding.is_adopted:
                return finding.resource
            raise NotAdoptable(
                f"The deletion of {finding.name} was ordered.", hint="A new one is made where one is due."
            )
        refuse_uncertain(finding, NotAdoptable)
        row = _wish_for(finding)
        before = {"resource": row.public_id, "name": row.name}
        _take_over(row, finding)
        InventoryFinding.objects.filter(pk=finding.pk).update(resource=row)
        after = {"resource": row.public_id, "name": row.name, "kind": row.kind, "finding": finding.public_id}
        record_event(
            "resource.taken_over",
            tenant=row.tenant,
            subject=row,
            actor=actor,
            reason=reason,
            before=before,
            after=after,
        )
    return row


def _wish_for(finding: InventoryFinding) -> ManagedResource:
    """The one wish that the orphan's kind, owner, place and digest are those of."""
    ref, owner = finding.tags[RESOURCE_TAG], finding.tags.get("cp:tenant", "")
    known = ManagedResource.objects.filter(public_id=ref).first()
    if known is not None:
        hint = "Delete it from here; where one is due, a new one is made."
        raise NotAdoptable(f"{finding.name} had its row, {known.name}, which is {known.phase}.", hint=hint)
    tail = NAME_TAIL.search(finding.name)
    whose = Q(tenant=None) if owner == POOL else Q(tenant__public_id=owner)
    wishes = ManagedResource.objects.filter(
        whose, kind=finding.tags["cp:kind"], account=finding.account, region=finding.region, is_wanted=True,
        phase=Phase.WISHED, arn="", identity_digest__startswith=tail[1] if tail else "none",
    )  # fmt: skip
    rows = list(wishes.select_for_update(of=("self",), no_key=True).select_related("tenant").order_by("pk"))
    if not rows:
        hint = "Delete it if nobody needs it. Where one like it is due, that one has an object of its own already."
        raise NotAdoptable(f"Nothing that is wished for and not made yet has the owner and digest of {finding.name}.",
                           hint=hint)  # fmt: skip
    if len(rows) > 1:
        names = ", ".join(row.name for row in rows)
        hint = "Take another inventory once one of them is made, or delete the orphan."
        raise NotAdoptable(f"More than one wish could be meant: {names}.", hint=hint)
    row = rows[0]
    if row.lease_owner is not None or row.is_held_up:
        hint = "Try again in a minute."
        raise NotAdoptable(f"{row.name} is being made at this moment, or may have been.", hint=hint)
    if ManagedResource.objects.filter(
        account=row.account, region=row.region, kind=row.kind, name=finding.name
    ).exclude(pk=row.pk).exists():  # fmt: skip
        raise NotAdoptable(f"The name {finding.name} belonged to another row.", hint="Delete the orphan.")
    return row


def _take_over(row: ManagedResource, finding: InventoryFinding) -> None:
    tail = NAME_TAIL.search(finding.name)
    row.public_id, row.name = finding.tags[RESOURCE_TAG], finding.name
    row.incarnation = int(tail[2]) if tail else row.incarnation
    row.stuck_reason, row.detail, row.failed_digest, row.failures = StuckReason.NONE, "", "", 0
    row.generation += 1
    row.look_again_at = real_now()
    row.save()
