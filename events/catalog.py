"""Every event name and its meaning. `record_event` refuses a name that is not here."""

CATALOG: dict[str, str] = {
    # tenants
    "tenant.signed_up": "A tenant was registered and placed on a tier.",
    "tenant.updated": "A tenant's details were changed.",
    "tenant.provisioning_started": "What the tier promises is being made in AWS.",
    "tenant.provisioning_failed": "What the tier promises could not be made; a person is needed.",
    "tenant.activated": "Everything the tier promises runs, and the runtime config is published.",
    "tenant.suspended": "The tenant's traffic is withdrawn; its resources stay.",
    "tenant.resumed": "The tenant's traffic is routed again.",
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
    "adapter.release_requested": "Somebody wants a version to serve.",
    "adapter.roll_back_requested": "Somebody wants an earlier version to serve again.",
    "adapter.withdraw_requested": "Somebody wants an adapter to stop serving.",
    "adapter.released": "A version serves: the data plane routes to it.",
    "adapter.rolled_back": "An earlier version serves again.",
    "adapter.withdrawn": "No version of the adapter serves any more.",
    "adapter.release_refused": "A version was not made live; what served before goes on.",
    # accounts
    "operator.created": "A person was added to the operating team.",
    "login_link.created": "A one-time login link was made for a person.",
    "login_link.used": "A person signed in with a one-time link.",
    "api_key.issued": "An API key was issued; its secret is not kept.",
    "api_key.revoked": "An API key was put out of use.",
}
