"""Every event name and its meaning, and which of them customers may subscribe to.

`record_event` refuses a name that is not here.
"""

CATALOG: dict[str, str] = {
    # tenants
    "tenant.signed_up": "A tenant was registered and placed on a tier.",
    "tenant.updated": "A tenant's details were changed.",
    "tenant.provisioning_started": "What the tier promises is being made in AWS.",
    "tenant.provisioning_failed": "What the tier promises could not be made; a person is needed.",
    "tenant.activated": "Everything the tier promises runs, and the runtime config is published.",
    "tenant.suspended": "The tenant's traffic is withdrawn; its resources stay.",
    "tenant.resumed": "The tenant's traffic is routed again.",
    "tenant.tier_change_started": "The tenant is on its way to another tier version; it answers as before meanwhile.",
    "tenant.tier_changed": "The tenant is on another tier version from an instant on.",
    "tenant.legal_hold_placed": "Nothing that the tenant stored may be erased until further notice.",
    "tenant.legal_hold_released": "A legal hold ended; erasing is a matter of retention again.",
    "tier_version.drafted": "A new version of a tier was written; nobody can be placed on it yet.",
    "tier_version.published": "A tier version was closed to change; tenants can be placed on it.",
    "tenant.offboarding_started": "The tenant leaves: access, resources, final invoice and artifacts follow.",
    "tenant.offboarding_step_completed": "One part of a departure is done.",
    "tenant.offboarded": "The tenant has left and nothing of it remains in AWS.",
    # models_registry
    "foundation_model.registered": "A base model was put on offer.",
    "serving_profile.defined": "A way to serve a base model was defined.",
    "adapter.created": "A tenant has a new adapter, still without a version.",
    "adapter.upload_completed": "An upload has arrived and waits for the admission gate.",
    "adapter.version_ready": "An upload passed the gate and has its number.",
    "adapter.version_rejected": "An upload was refused by the gate, with reasons.",
    "adapter.version_archived": "A version was put out of use.",
    "adapter.version_restored": "An archived version can be released again.",
    "adapter.updated": "An adapter's description, tags or approval policy were changed.",
    "adapter.import_requested": "Somebody asked to take in a version from an S3 address.",
    "adapter.version_approved": "Somebody approved a version: it may serve.",
    "adapter.version_not_approved": "Somebody decided that a version may not be released.",
    "adapter.approval_changed_outside": "An approval was changed in SageMaker's registry, and not here.",
    "adapter.retirement_scheduled": "A version got a day from which it should not serve any more.",
    "adapter.retirement_cancelled": "A version's day of retirement was taken back.",
    "adapter.retirement_near": "A version that serves retires soon: something else should be released.",
    "adapter.retirement_due": "A version that should have retired still serves.",
    "adapter.release_requested": "Somebody wants a version to serve.",
    "adapter.roll_back_requested": "Somebody wants an earlier version to serve again.",
    "adapter.withdraw_requested": "Somebody wants an adapter to stop serving.",
    "adapter.released": "A version serves: the data plane routes to it.",
    "adapter.rolled_back": "An earlier version serves again.",
    "adapter.withdrawn": "No version of the adapter serves any more.",
    "adapter.release_refused": "A version was not made live; what served before goes on.",
    # provisioning
    "resource.ready": "Something in AWS serves.",
    "resource.stuck": "Something in AWS waits for a quota, for capacity or for a person.",
    "resource.gone": "Something in AWS was deleted, failed or vanished; AWS says that it does not exist.",
    "resource.adopted": "An orphan in AWS came into our books, so that the reconciler deletes it.",
    "finding.ignored": "Somebody decided to leave alone what an inventory found.",
    "runtime_config.published": "Data planes follow a new version of a tenant's runtime config.",
    "operation.started": "Work that people can follow has begun.",
    "operation.retried": "Somebody asked for another try.",
    "operation.held": "Somebody told an operation to wait: nothing more is begun for its tenant.",
    "operation.continued": "A hold ended.",
    "operation.cancel_requested": "Somebody wants an operation undone.",
    "operation.cancelled": "An operation was undone.",
    "operation.succeeded": "An operation has ended well.",
    "operation.failed": "An operation needs a person, with the reason.",
    "scenario.saved": "Somebody kept a scenario of the planner.",
    "scenario.deleted": "Somebody threw a kept scenario away.",
    "catalogue.imported": "Prices or instance types of the planner's catalogue were imported.",
    # metering
    "usage.sealed": "A tenant's usage of a period was closed for invoices, or what came late to it was claimed.",
    # accounts
    "operator.created": "A person was added to the operating team.",
    "login_link.created": "A one-time login link was made for a person.",
    "login_link.used": "A person signed in with a one-time link.",
    "api_key.issued": "An API key was issued; its secret is not kept.",
    "api_key.revoked": "An API key was put out of use.",
    # events
    "webhook.test": "Somebody asked for a test message to a webhook endpoint.",
    "webhook_endpoint.created": "An address was added that is told about events.",
    "webhook_endpoint.updated": "A webhook endpoint's address, events or description were changed.",
    "webhook_endpoint.secret_rotated": "A webhook endpoint got a new secret; the old one signs beside it for a day.",
    "webhook_endpoint.disabled": "Nothing is sent to a webhook endpoint any more, with the reason.",
    "webhook_endpoint.enabled": "A webhook endpoint is told about events again.",
    "webhook_endpoint.replayed": "Somebody asked to send events to a webhook endpoint once more.",
    # billing
    "rate_card.published": "A rate card was closed to change; it may price tiers now.",
    "invoice.drafted": "A period was rated into a draft; it can still change until it is finalized.",
    "invoice.finalized": "An invoice got its number and cannot change any more.",
    "invoice.paid": "The money for an invoice came.",
    "invoice.voided": "A finalized invoice or note was declared void; it keeps its number.",
    "credit_note.issued": "Part or all of an invoice was taken back.",
    "debit_note.issued": "Usage that became known late was charged.",
}

# What webhooks may carry: what happens to a customer. How we run things and who of us signs in stays inside.
SUBSCRIBABLE: frozenset[str] = frozenset(
    name
    for name in CATALOG
    if name.partition(".")[0]
    in {"tenant", "adapter", "operation", "usage", "api_key", "rate_card", "invoice", "credit_note", "debit_note"}
) | {"webhook_endpoint.disabled", "webhook_endpoint.secret_rotated"}
