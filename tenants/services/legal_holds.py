"""Legal holds: while one is in force, nothing that a tenant stored is erased, whatever retention says."""

from django.db import transaction

from core import clock
from core.actors import Actor
from core.errors import Conflict
from events.record import record_event
from tenants.models import LegalHold, Tenant
from tenants.states import TenantState


class HoldInForce(Conflict):
    """A tenant has one hold at a time."""

    code = "legal_hold_in_force"
    title = "A legal hold is in force"


class NoHoldInForce(Conflict):
    """There is nothing to release."""

    code = "no_legal_hold"
    title = "No legal hold is in force"


class NothingToHold(Conflict):
    """What the tenant stored is erased already."""

    code = "nothing_to_hold"
    title = "Nothing is left to hold"


def place_legal_hold(*, tenant_id: int, reason: str, actor: Actor) -> LegalHold:
    """From now on nothing of this tenant's artifacts is erased. Raises HoldInForce, and NothingToHold when it left."""
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state == TenantState.OFFBOARDED:
            raise NothingToHold(f"{tenant.name} has left and its artifacts are erased.")
        there = LegalHold.objects.filter(tenant=tenant, released_at=None).first()
        if there is not None:
            raise HoldInForce(f"{there.placed_by} placed a hold on {there.placed_at.isoformat()}: {there.reason}")
        hold = LegalHold.objects.create(tenant=tenant, reason=reason, placed_by=actor.name)
        record_event("tenant.legal_hold_placed", tenant=tenant, subject=tenant, actor=actor, reason=reason)
    return hold


def release_legal_hold(*, tenant_id: int, reason: str, actor: Actor) -> LegalHold:
    """End the hold; what waited for it alone is erased by the next sweep. Raises NoHoldInForce."""
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        hold = LegalHold.objects.filter(tenant=tenant, released_at=None).first()
        if hold is None:
            raise NoHoldInForce(f"No legal hold is in force for {tenant.name}.")
        hold.released_at, hold.released_by, hold.release_reason = clock.now(), actor.name, reason
        hold.save(update_fields=["released_at", "released_by", "release_reason"])
        record_event("tenant.legal_hold_released", tenant=tenant, subject=tenant, actor=actor, reason=reason)
    return hold
