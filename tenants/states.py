"""A tenant's lifecycle.

    signed_up --> provisioning --> active <--> suspended
                   |      ^          |            |
                   v      |          |            |
        provisioning_failed          |            |
                   |                 v            v
                   +----------> offboarding <-----+     (also from signed_up and provisioning)
                                     |
                                     v
                                offboarded

`access_lost` and the like are conditions of resources, not states of a tenant.
"""

from django.db import models

from core.states import Moves


class TenantState(models.TextChoices):
    """What a tenant is to us."""

    SIGNED_UP = "signed_up", "Signed up"
    PROVISIONING = "provisioning", "Provisioning"
    PROVISIONING_FAILED = "provisioning_failed", "Provisioning failed"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    OFFBOARDING = "offboarding", "Offboarding"
    OFFBOARDED = "offboarded", "Offboarded"


LEAVING = (TenantState.OFFBOARDING, TenantState.OFFBOARDED)

TENANT_MOVES: Moves = {
    TenantState.SIGNED_UP: frozenset({TenantState.PROVISIONING, TenantState.OFFBOARDING}),
    TenantState.PROVISIONING: frozenset({TenantState.ACTIVE, TenantState.PROVISIONING_FAILED, TenantState.OFFBOARDING}),
    TenantState.PROVISIONING_FAILED: frozenset({TenantState.PROVISIONING, TenantState.OFFBOARDING}),
    TenantState.ACTIVE: frozenset({TenantState.SUSPENDED, TenantState.OFFBOARDING}),
    TenantState.SUSPENDED: frozenset({TenantState.ACTIVE, TenantState.OFFBOARDING}),
    TenantState.OFFBOARDING: frozenset({TenantState.OFFBOARDED}),
    TenantState.OFFBOARDED: frozenset(),
}
