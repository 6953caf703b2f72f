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
    # accounts
    "operator.created": "A person was added to the operating team.",
    "login_link.created": "A one-time login link was made for a person.",
    "login_link.used": "A person signed in with a one-time link.",
    "api_key.issued": "An API key was issued; its secret is not kept.",
    "api_key.revoked": "An API key was put out of use.",
}
