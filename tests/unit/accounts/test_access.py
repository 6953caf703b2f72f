"""Roles and what they may do: one table, and every cell of it is looked at."""

import pytest

from accounts.access import (
    PermissionMissing,
    Principal,
    ScopeNotGrantable,
    can,
    grantable_scopes,
    require,
    require_grantable,
    role_permissions,
)
from accounts.roles import ALL_PERMISSIONS, TENANT_KEY_PERMISSIONS, Role
from core.actors import Actor

READS = {"tenants.view", "adapters.view", "operations.view", "usage.view", "scenarios.view"}
MONEY = {"invoices.view", "rate_cards.view", "credits.view", "exports.view", "exports.create"}
CHARGING = {"invoices.draft", "invoices.finalize", "invoices.void", "invoices.credit"} | {
    "rate_cards.manage",
    "credits.manage",
}
EXPECTED = {
    "viewer": READS | MONEY,
    "ml_engineer": READS | {"adapters.upload", "adapters.release", "adapters.approve", "playground.use"},
    "operator": READS
    | MONEY
    | {"tenants.manage", "adapters.upload", "adapters.release", "operations.retry", "scenarios.manage"}
    | {"audit.view", "webhooks.manage", "playground.use", "adapters.approve", "usage.manage"},
    "billing": READS | MONEY | CHARGING | {"scenarios.manage", "audit.view", "webhooks.manage", "usage.manage"},
    "admin": READS
    | MONEY
    | CHARGING
    | {"tenants.manage", "adapters.upload", "adapters.release", "operations.retry", "scenarios.manage"}
    | {"audit.view", "keys.manage", "webhooks.manage", "playground.use", "limits.use", "adapters.approve"}
    | {"usage.write", "usage.manage"},
}


def somebody(role: str, tenant_ids: frozenset[int] | None = None) -> Principal:
    return Principal(Actor("person", "usr_x", "x"), role_permissions(role), tenant_ids)


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("permission", sorted(ALL_PERMISSIONS))
def test_every_cell_of_the_matrix(role: str, permission: str) -> None:
    principal, allowed = somebody(role), permission in EXPECTED[role]
    assert can(principal, permission) is allowed
    if allowed:
        require(principal, permission)
    else:
        with pytest.raises(PermissionMissing):
            require(principal, permission)


def test_an_unknown_role_may_do_nothing() -> None:
    assert role_permissions("root") == frozenset()


def test_a_mistyped_permission_is_an_error_and_not_a_refusal() -> None:
    with pytest.raises(ValueError, match=r"tenants\.mange"):
        can(somebody("admin"), "tenants.mange")


def test_nobody_hands_on_more_than_they_hold() -> None:
    require_grantable(somebody("billing"), scopes={"invoices.view"}, tenant_id=None)
    with pytest.raises(ScopeNotGrantable, match=r"tenants\.manage"):
        require_grantable(somebody("billing"), scopes={"invoices.view", "tenants.manage"}, tenant_id=None)


@pytest.mark.parametrize("tenant_id", [None, 8])
def test_somebody_limited_to_a_tenant_issues_for_that_tenant_only(tenant_id: int | None) -> None:
    limited = somebody("admin", frozenset({7}))
    require_grantable(limited, scopes={"usage.view"}, tenant_id=7)
    with pytest.raises(ScopeNotGrantable):
        require_grantable(limited, scopes={"usage.view"}, tenant_id=tenant_id)


def test_keys_of_tenants_get_no_scope_that_reaches_beyond_them() -> None:
    reaching = {
        "tenants.manage",
        "keys.manage",
        "audit.view",
        "rate_cards.view",
        "operations.retry",
        "scenarios.manage",
        *CHARGING,
    }
    assert not TENANT_KEY_PERMISSIONS & reaching
    assert grantable_scopes(somebody("admin"), for_tenant=True) == sorted(TENANT_KEY_PERMISSIONS)
    assert grantable_scopes(somebody("viewer"), for_tenant=False) == sorted(READS | MONEY)
