"""Event name -> the tasks it rings. The only place where rooms are wired together.

A reaction makes work prompt; it never makes it happen: each task is also swept by beat (`celery.py`), so a lost
message costs one sweep. `ring("task", argument="tenant"|"subject")` passes the pk of the event's tenant or subject.
"""

from events.dispatch import Reaction, ring

CONVERGE = ring("provisioning.tasks.converge_tenant", tenant_id="tenant")
CONVERGE_AROUND = ring("provisioning.tasks.converge_around", resource_id="subject")
RECONCILE = ring("provisioning.tasks.reconcile_due")
MIRROR = ring("provisioning.tasks.mirror_registry", tenant_id="tenant")
BULK = ring("provisioning.tasks.advance_bulk_operations")
DELIVER = ring("events.tasks.deliver_webhooks")

REACTIONS: dict[str, tuple[Reaction, ...]] = {
    "tenant.signed_up": (CONVERGE,),
    "tenant.suspended": (CONVERGE,),
    "tenant.resumed": (CONVERGE,),
    "tenant.offboarded": (CONVERGE, ring("provisioning.tasks.certify_departed")),
    "adapter.release_requested": (CONVERGE,),
    "adapter.roll_back_requested": (CONVERGE,),
    "adapter.withdraw_requested": (CONVERGE,),
    "adapter.release_refused": (CONVERGE,),
    "adapter.canary_advanced": (CONVERGE,),
    "adapter.canary_continued": (CONVERGE,),
    "adapter.import_requested": (ring("models_registry.tasks.copy_import", version_id="subject"),),
    "adapter.version_ready": (MIRROR,),
    "adapter.version_approved": (MIRROR,),
    "adapter.version_not_approved": (MIRROR,),
    "adapter.version_archived": (MIRROR,),
    "adapter.version_restored": (MIRROR,),
    "adapter.approval_changed_outside": (MIRROR,),
    "adapter.updated": (MIRROR,),
    "tenant.activated": (MIRROR,),
    "tenant.tier_change_started": (CONVERGE,),
    "tenant.tier_changed": (CONVERGE,),
    "tenant.legal_hold_released": (ring("models_registry.tasks.erase_departed_artifacts"),),
    "bulk_operation.started": (BULK,),
    "bulk_operation.retried": (BULK,),
    "operation.succeeded": (BULK,),
    "operation.continued": (CONVERGE, RECONCILE),
    "operation.cancel_requested": (CONVERGE,),
    "operation.cancelled": (CONVERGE,),
    "export.requested": (ring("billing.tasks.make_exports"),),
    "runtime_config.rolled_back": (CONVERGE,),
    "breaker.tripped": (CONVERGE,),
    "breaker.reset": (CONVERGE,),
    "lines.chosen": (CONVERGE,),
    "eula.accepted": (CONVERGE,),
    "operation.started": (RECONCILE,),
    "operation.retried": (CONVERGE, RECONCILE),
    "operation.switched": (CONVERGE, RECONCILE),
    "account.proven": (CONVERGE,),
    "account.assigned": (CONVERGE,),
    "account.access_regained": (RECONCILE,),
    "resource.ready": (CONVERGE_AROUND, RECONCILE),
    "resource.gone": (CONVERGE_AROUND, RECONCILE),
    "resource.stuck": (CONVERGE_AROUND,),
    "resource.adopted": (RECONCILE,),
    "usage.backfill_requested": (ring("metering.tasks.collect_usage"),),
    "webhook.test": (DELIVER,),
    "webhook_endpoint.replayed": (DELIVER,),
    "adapter.upload_completed": (ring("models_registry.tasks.validate_version", version_id="subject"),),
    "tenant.offboarding_started": (
        ring("accounts.tasks.revoke_tenant_access", tenant_id="tenant"),
        CONVERGE,
        MIRROR,
    ),
}

__all__ = ["REACTIONS", "ring"]
