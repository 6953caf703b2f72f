"""Deletes an orphan by taking it into our books: a row that is not wanted, which the reconciler deletes in order.

Nothing is asked of AWS here. The reconciler reads the ownership tags once more before it deletes, and waits until
nothing runs on it.
"""

import re

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.actors import Actor
from core.clock import now, real_now
from core.errors import Conflict
from core.locks import advisory_lock
from events.record import record_event
from provisioning import queries
from provisioning.models import ManagedResource
from provisioning.models.findings import FindingKind, InventoryFinding
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.reconciler.observe import INSTALL_TAG, RESOURCE_TAG
from provisioning.services.findings import refuse_resolved
from provisioning.specs import HOSTING_KINDS, digest
from provisioning.states import Phase

# The tail of a derived name: identity digest and incarnation.
NAME_TAIL = re.compile(r"-([0-9a-f]{8})-(\d{1,6})$")
ASKED_FOR = "An inventory found it without a row; its deletion was ordered."


class NotDeletable(Conflict):
    """Deleting it could take something away that is used, or it is not certainly ours."""

    code = "orphan_not_deletable"
    title = "This cannot be deleted from here"


def delete_orphan(*, finding_id: int, reason: str, actor: Actor) -> list[ManagedResource]:
    """Order the deletion of an orphan and of the orphans that run on it; their rows, the orphan's own first.

    Again is fine: what was ordered stays ordered. Raises AlreadyResolved when the last inventory did not see it, and
    NotDeletable, with nothing changed, when it was not seen twice, does not carry our tags, or is used.
    """
    with transaction.atomic(durable=True):
        advisory_lock(WISHES_LOCK)
        finding = (
            InventoryFinding.objects.select_for_update(of=("self",), no_key=True)
            .select_related("resource")
            .get(pk=finding_id)
        )
        refuse_resolved(finding)
        if finding.kind != FindingKind.ORPHAN:
            raise NotDeletable("It is no orphan.", hint="What has a row is deleted by changing what is wished.")
        if finding.is_adopted:
            raise NotDeletable(f"{finding.name} was adopted.", hint="Take a new inventory.")
        chain = queries.orphans_with(finding)
        for each in chain:
            _refuse_used(each)
        rows = {each.name: each.resource or _adopt(each, reason, actor) for each in chain}
        for each in chain:
            rows[each.name].needs.add(*(rows[name] for name in each.needs if name in rows))
    return list(rows.values())


def refuse_uncertain(finding: InventoryFinding, refusal: type[Conflict]) -> None:
    """Raise `refusal` for an orphan that was not seen twice, or that is not certainly ours."""
    name, kind = finding.name, finding.tags.get("cp:kind", "")
    if not finding.is_confirmed:
        hint = "A listing can lag behind AWS. Decide once a later inventory has seen it again."
        raise refusal(f"{name} was not seen often enough.", hint=hint)
    is_ours = finding.tags.get(INSTALL_TAG) == settings.INSTALL_NAME and HOSTING_KINDS.get(kind) == finding.aws_kind
    if not is_ours or not finding.tags.get(RESOURCE_TAG):
        hint = "Find out in CloudTrail who made it; they can delete it in AWS."
        raise refusal(f"{name} does not carry all of this installation's tags.", hint=hint)


def _refuse_used(finding: InventoryFinding) -> None:
    refuse_uncertain(finding, NotDeletable)
    name, kind = finding.name, finding.tags["cp:kind"]
    living = ManagedResource.objects.living().exclude(findings=finding)
    uses_it = (
        Q(identity__endpoint_name=name)
        | Q(identity__base_component_name=name)
        | Q(identity__model_name=name)
        | Q(identity__group_name=name)
    ) | Q(settings__config_name=name)
    place = {"account": finding.account, "region": finding.region}
    user = living.filter(uses_it | Q(name=name, kind=kind), **place).first()
    if user is not None:
        raise NotDeletable(f"{name} is used: {user.name} is made for it.", hint="Take a new inventory.")
    if name in queries.routed_names():
        raise NotDeletable(f"{name} is used: a runtime config routes to it.", hint="Publish another config first.")


def _adopt(finding: InventoryFinding, reason: str, actor: Actor) -> ManagedResource:
    ref, kind = finding.tags[RESOURCE_TAG], finding.tags["cp:kind"]
    row = ManagedResource.objects.filter(public_id=ref).select_related("tenant").first()
    if row is None:
        row = _row_for(finding, ref, kind)
    elif (row.name, row.phase) != (finding.name, Phase.GONE):
        hint = "Find out in CloudTrail who copied the tags; they can delete it in AWS."
        raise NotDeletable(f"{finding.name} carries the tag of another resource, {row.name}.", hint=hint)
    else:
        # AWS said that it was gone, and shows it still: the row goes on from there.
        row.phase, row.phase_since, row.gone_at, row.arn = Phase.DELETING, now(), None, finding.arn
        row.is_wanted, row.stuck_reason, row.detail, row.failures = False, "", ASKED_FOR, 0
        row.look_again_at = real_now()
        row.save()
    InventoryFinding.objects.filter(pk=finding.pk).update(resource=row)
    facts = {"kind": row.kind, "name": row.name, "finding": finding.public_id}
    record_event("resource.adopted", tenant=row.tenant, subject=row, actor=actor, reason=reason, after=facts)
    return row


def _row_for(finding: InventoryFinding, ref: str, kind: str) -> ManagedResource:
    tail = NAME_TAIL.search(finding.name)
    # With the digest and the incarnation of its name, no later resource of ours takes this name again.
    identity_digest, incarnation = (tail[1], int(tail[2])) if tail else (digest({"name": finding.name}), 1)
    return ManagedResource.objects.create(
        public_id=ref,
        tenant=finding.tenant,
        kind=kind,
        slot=f"orphan/{finding.region}/{finding.name}",
        slug="orphan",
        account=finding.account,
        region=finding.region,
        name=finding.name,
        incarnation=incarnation,
        identity={},
        identity_digest=identity_digest,
        is_wanted=False,
        digest=digest({}),
        phase=Phase.DELETING,
        arn=finding.arn,
        detail=ASKED_FOR,
    )
