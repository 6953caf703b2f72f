"""A departure: named steps, each completed by the room that owns it; the last one ends it."""

from datetime import timedelta
from typing import Any

from django.db import transaction

from core import clock
from core.actors import Actor
from core.errors import Invalid
from core.states import move
from events.record import record_event
from tenants.models import OffboardingStep, Tenant, TierAssignment
from tenants.queries import tier_version_of
from tenants.services.tiers import MOST_RETENTION_DAYS
from tenants.states import TENANT_MOVES, TenantState


class RetentionInvalid(Invalid):
    """No such number of days."""

    code = "retention_invalid"
    title = "The retention cannot be used"


def begin_offboarding(*, tenant_id: int, reason: str, actor: Actor, retention_days: int | None = None) -> Tenant:
    """Start the departure and write down what it waits for; quiet when it has begun or ended.

    Artifacts stay for `retention_days` from now, by default as long as the tenant's tier version says.
    Raises RetentionInvalid for more than ten years.
    """
    if retention_days is not None and not 0 <= retention_days <= MOST_RETENTION_DAYS:
        raise RetentionInvalid(f"Retention is from 0 to {MOST_RETENTION_DAYS} days.")
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if tenant.state not in (TenantState.OFFBOARDING, TenantState.OFFBOARDED):
            now = clock.now()
            days = tier_version_of(tenant_id, now).retention_days if retention_days is None else retention_days
            retain_until = now + timedelta(days=days)
            move(
                tenant,
                to=TenantState.OFFBOARDING,
                table=TENANT_MOVES,
                state_reason=reason,
                retain_until=retain_until,
            )
            OffboardingStep.objects.bulk_create(
                OffboardingStep(tenant=tenant, key=key) for key in OffboardingStep.Key.values
            )
            record_event(
                "tenant.offboarding_started",
                tenant=tenant,
                subject=tenant,
                actor=actor,
                reason=reason,
                after={"retain_until": retain_until.isoformat()},
            )
    return tenant


def complete_offboarding_step(*, tenant_id: int, key: str, detail: dict[str, Any], actor: Actor) -> Tenant:
    """Mark one step done with what was found; the last one moves the tenant to offboarded. Quiet when it was done.

    Raises OffboardingStep.DoesNotExist when the tenant is not leaving.
    """
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        step = OffboardingStep.objects.get(tenant=tenant, key=key)
        if step.done_at is None:
            now = clock.now()
            OffboardingStep.objects.filter(pk=step.pk).update(done_at=now, detail=detail)
            record_event(
                "tenant.offboarding_step_completed",
                tenant=tenant,
                subject=tenant,
                actor=actor,
                after={"step": key, "detail": detail},
            )
            if not OffboardingStep.objects.filter(tenant=tenant, done_at=None).exists():
                _end(tenant, actor)
    return tenant


def _end(tenant: Tenant, actor: Actor) -> None:
    """Close the books on a tenant; inside the caller's transaction."""
    now = clock.now()
    move(tenant, to=TenantState.OFFBOARDED, table=TENANT_MOVES, offboarded_at=now)
    for assignment in TierAssignment.objects.filter(tenant=tenant, period__endswith__isnull=True):
        ended = type(assignment.period)(assignment.period.lower, max(now, assignment.period.lower), "[)")
        TierAssignment.objects.filter(pk=assignment.pk).update(period=ended)
    record_event(
        "tenant.offboarded",
        tenant=tenant,
        subject=tenant,
        actor=actor,
        data={"id": tenant.public_id, "external_id": tenant.external_id},
    )
