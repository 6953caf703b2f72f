"""Whether a version may serve: decided by people, as the tenant's tier asks for it.

Our database is the truth; SageMaker's registry mirrors it. What somebody decides there is undone or taken over, as
the adapter says (`OutsideApprovals`).
"""

from typing import Any

from django.db import transaction

from accounts.models import ApiKey
from core import clock
from core.actors import Actor
from core.errors import Conflict, Forbidden
from events.record import record_event
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.adapters import lock_version, refuse_leaving
from models_registry.states import APPROVAL_MOVES, Approval, OutsideApprovals, VersionState
from tenants.models import TierVersion
from tenants.queries import tier_version_of

Policy = TierVersion.Approval
_EVENTS = {Approval.APPROVED: "adapter.version_approved", Approval.REJECTED: "adapter.version_not_approved"}


class NotDecidable(Conflict):
    """Only a version that passed the gate and is not archived can be approved or not."""

    code = "version_not_ready"
    title = "The version cannot be approved"


class FourEyes(Forbidden):
    """The tier asks that somebody other than the uploader approves."""

    code = "four_eyes_needed"
    title = "Somebody else has to approve"


class VersionNotApproved(Conflict):
    """The tenant's tier asks for an approval that the version does not have."""

    code = "version_not_approved"
    title = "The version is not approved"


def decide_approval(*, version_id: int, is_approved: bool, reason: str, actor: Actor) -> AdapterVersion:
    """Approve a version, or say that it may not be released; quiet when that was said already.

    A version that serves goes on serving when its approval is taken back: what people then do is roll back or
    withdraw. Raises NotDecidable, TenantLeaving, and FourEyes when the tier asks for a second person.
    """
    with transaction.atomic(durable=True):
        version = lock_version(version_id)
        refuse_leaving(version.tenant)
        policy = tier_version_of(version.tenant_id, clock.now()).approval
        if is_approved and policy == Policy.FOUR_EYES:
            _refuse_same_eyes(version, actor)
        _decide(version, is_approved, policy, reason, actor)
    return version


def take_over_approval(*, version_id: int, is_approved: bool, who: str, note: str) -> bool:
    """Take over what somebody decided in SageMaker's registry; False when the adapter does not accept that.

    `who` is the identity that AWS shows for the change, kept as the decider. The tier's four eyes are AWS's own
    there: who sets `outside_approvals` says that its pipeline may be trusted.
    """
    with transaction.atomic(durable=True):
        version = lock_version(version_id)
        if version.adapter.outside_approvals == OutsideApprovals.UNDO or version.state != VersionState.READY:
            return False
        policy = tier_version_of(version.tenant_id, clock.now()).approval
        actor = Actor("system", f"aws:{who}"[:200], f"{who} in SageMaker"[:200])
        _decide(version, is_approved, policy, note or "Decided in SageMaker's registry.", actor)
    return True


def approval_at_first(tenant_id: int) -> dict[str, Any]:
    """The columns of a version that has just passed the gate."""
    policy = tier_version_of(tenant_id, clock.now()).approval
    return {
        "approval": Approval.NOT_REQUIRED if policy == Policy.NONE else Approval.PENDING,
        "approval_policy": policy,
    }


def refuse_unapproved(adapter: Adapter, version: AdapterVersion, *, has_served: bool) -> None:
    """Raises VersionNotApproved unless the tier lets the version serve; inside the caller's transaction.

    `has_served` is for a roll back to what served before: it must work at night, so no approval is asked for that was
    not asked for then. What somebody rejected does not serve again either way.
    """
    if version.approval == Approval.REJECTED:
        raise VersionNotApproved(
            f"{version.approval_by} decided that {version} of {adapter.name} may not serve: {version.approval_reason}",
            hint="Release another version, or have this one approved.",
        )
    if has_served:
        return
    policy = tier_version_of(adapter.tenant_id, clock.now()).approval
    is_approved = version.approval == Approval.APPROVED
    if policy == Policy.NONE or (is_approved and policy == Policy.REQUIRED):
        return
    if is_approved and not _people_behind(version.approval_by_ref) & _people_behind(version.uploaded_by_ref):
        return
    who = "Somebody other than the uploader" if policy == Policy.FOUR_EYES else "Somebody"
    raise VersionNotApproved(
        f"{version} of {adapter.name} is not approved; the tenant's tier asks for it.",
        hint=f"{who} with the permission adapters.approve has to approve it first.",
    )


def _decide(version: AdapterVersion, is_approved: bool, policy: str, reason: str, actor: Actor) -> None:
    to = Approval.APPROVED if is_approved else Approval.REJECTED
    if version.approval == to:
        return
    if version.state != VersionState.READY or to not in APPROVAL_MOVES[version.approval]:
        raise NotDecidable(f"{version} is {version.state}.", hint="Only a version that is ready can be decided on.")
    before = version.approval
    changes = {
        "approval": to,
        "approval_policy": policy,
        "approval_by": actor.name,
        "approval_by_ref": actor.ref,
        "approval_at": clock.now(),
        "approval_reason": reason,
    }
    AdapterVersion.objects.filter(pk=version.pk).update(**changes)
    for column, value in changes.items():
        setattr(version, column, value)
    record_event(
        _EVENTS[to],
        tenant=version.tenant,
        subject=version,
        actor=actor,
        reason=reason,
        before={"approval": before},
        after={"approval": to.value, "number": version.number},
        data={"id": version.public_id, "adapter": version.adapter.public_id, "number": version.number},
    )


def _refuse_same_eyes(version: AdapterVersion, actor: Actor) -> None:
    uploader = version.uploaded_by_ref
    if not uploader or _people_behind(uploader) & _people_behind(actor.ref):
        raise FourEyes(
            f"{version.uploaded_by} uploaded {version}, so somebody else has to approve it.",
            hint="Ask a colleague who has the permission adapters.approve.",
        )


def _people_behind(ref: str) -> set[str]:
    """An actor and whomever it acts for: a key acts for its issuer, who may be a key again."""
    behind, newest = {ref}, {ref}
    while newest:
        issuers = ApiKey.objects.filter(public_id__in=newest).values_list("created_by", flat=True)
        newest = set(issuers) - behind
        behind |= newest
    return behind
