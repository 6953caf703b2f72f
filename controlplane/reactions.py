"""Event name -> the tasks it rings. The only place where rooms are wired together.

A reaction makes work prompt; it never makes it happen: each task is also swept by beat (`celery.py`), so a lost
message costs one sweep. `ring("task", argument="tenant"|"subject")` passes the pk of the event's tenant or subject.
"""

from events.dispatch import Reaction, ring

REACTIONS: dict[str, tuple[Reaction, ...]] = {
    "adapter.upload_completed": (ring("models_registry.tasks.validate_version", version_id="subject"),),
    "tenant.offboarding_started": (ring("accounts.tasks.revoke_tenant_access", tenant_id="tenant"),),
}

__all__ = ["REACTIONS", "ring"]
