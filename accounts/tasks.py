"""Doorbells of this room."""

from celery import shared_task

from accounts import services
from core.actors import SYSTEM


@shared_task(acks_late=True)
def revoke_tenant_access(*, tenant_id: int, **_: object) -> None:
    """A tenant leaves: its keys stop working."""
    services.revoke_tenant_access(tenant_id=tenant_id, actor=SYSTEM)


@shared_task(acks_late=True)
def revoke_departed_access(**_: object) -> None:
    """Sweep: leaving tenants whose keys still work."""
    services.revoke_departed_access()
