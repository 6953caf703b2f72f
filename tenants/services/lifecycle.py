"""Changing an active tenant: its details, suspending and resuming it."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from core.actors import Actor
from core.errors import Conflict, FieldError
from core.states import move
from events.record import record_event
from tenants.models import Tenant
from tenants.services.onboarding import TenantInvalid, refuse_invalid, taken
from tenants.states import TENANT_MOVES, TenantState

CHANGEABLE = frozenset({"name", "external_id", "invoice_language", "contact_email", "tags"})


class VersionMismatch(Conflict):
    """The tenant changed since the caller read it."""

    code = "precondition_failed"
    status = 412
    title = "The object changed meanwhile"


def update_tenant(*, tenant_id: int, changes: dict[str, Any], expected_version: int, actor: Actor) -> Tenant:
    """Change details that neither AWS names nor past invoices depend on.

    Raises TenantInvalid for a field that cannot be changed or used, VersionMismatch when the tenant is not at
    `expected_version`, ExternalIdTaken. No change at all is quiet.
    """
    fixed = sorted(set(changes) - CHANGEABLE)
    if fixed:
        errors = [FieldError(f"/{field}", "read_only", f"{field} cannot be changed.") for field in fixed]
        raise TenantInvalid(f"{', '.join(fixed)} cannot be changed after signing up.", errors=errors)
    refuse_invalid(changes)
    try:
        with transaction.atomic(durable=True):
            tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
            if tenant.version != expected_version:
                raise VersionMismatch(
                    f"The tenant is at version {tenant.version}, not {expected_version}.",
                    hint="Read it again and decide whether your change still makes sense.",
                )
            before = {field: getattr(tenant, field) for field in changes}
            if before != changes:
                Tenant.objects.filter(pk=tenant.pk).update(**changes, version=F("version") + 1)
                tenant.refresh_from_db()
                record_event("tenant.updated", tenant=tenant, subject=tenant, actor=actor, before=before, after=changes)
    except IntegrityError as error:
        raise taken(error, slug="", external_id=changes.get("external_id")) from error
    return tenant


def suspend_tenant(*, tenant_id: int, reason: str, actor: Actor) -> Tenant:
    """Withdraw the tenant's traffic and keep its resources; quiet when it is suspended already.

    Raises IllegalMove when the tenant is not active.
    """
    return _switch(tenant_id, TenantState.SUSPENDED, "tenant.suspended", reason, actor)


def resume_tenant(*, tenant_id: int, reason: str = "", actor: Actor) -> Tenant:
    """Route a suspended tenant's traffic again; quiet when it is active already. Raises IllegalMove otherwise."""
    return _switch(tenant_id, TenantState.ACTIVE, "tenant.resumed", reason, actor)


def _switch(tenant_id: int, to: TenantState, event: str, reason: str, actor: Actor) -> Tenant:
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state != to:
            _refuse_unless_running(tenant, to)
            state_reason = reason if to == TenantState.SUSPENDED else ""
            move(tenant, to=to, table=TENANT_MOVES, state_reason=state_reason)
            record_event(event, tenant=tenant, subject=tenant, actor=actor, reason=reason)
    return tenant


class NotRunning(Conflict):
    """Only a tenant that was activated can be suspended or resumed."""

    code = "tenant_not_running"
    title = "The tenant is not running"


def _refuse_unless_running(tenant: Tenant, to: TenantState) -> None:
    # provisioning -> active is a move of the table too, but it belongs to activate_tenant().
    if tenant.state not in (TenantState.ACTIVE, TenantState.SUSPENDED):
        raise NotRunning(f"The tenant is {tenant.get_state_display().lower()}; it cannot become {to.label.lower()}.")
