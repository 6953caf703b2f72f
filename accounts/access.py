"""What somebody may do, and whose things they may see. Both doors ask here; services do not ask again."""

from collections.abc import Collection
from dataclasses import dataclass

from accounts.roles import ALL_PERMISSIONS, PERMISSIONS, TENANT_KEY_PERMISSIONS
from core.actors import Actor
from core.errors import Forbidden


class PermissionMissing(Forbidden):
    """The caller is known, and lacks the permission that this action asks for."""

    code = "permission_missing"


class ScopeNotGrantable(Forbidden):
    """A caller may hand on only what they hold themselves."""

    code = "scope_not_grantable"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are. `tenant_ids` None means every tenant; an empty set means none."""

    actor: Actor
    permissions: frozenset[str]
    tenant_ids: frozenset[int] | None


def role_permissions(role: str) -> frozenset[str]:
    """What a role may do; an unknown role may do nothing."""
    return PERMISSIONS.get(role, frozenset())


def can(principal: Principal, permission: str) -> bool:
    """Whether the caller holds the permission. Raises ValueError for a name that no role knows: that is a typo."""
    if permission not in ALL_PERMISSIONS:
        raise ValueError(f"no such permission: {permission}")
    return permission in principal.permissions


def require(principal: Principal, permission: str) -> None:
    """Raises PermissionMissing unless the caller holds the permission."""
    if not can(principal, permission):
        raise PermissionMissing(
            f"This needs the permission {permission}.",
            hint="Ask an administrator for a role or an API key that has it.",
        )


def require_grantable(principal: Principal, *, scopes: Collection[str], tenant_id: int | None) -> None:
    """Raises ScopeNotGrantable when a key with these scopes would hold more than the caller who issues it."""
    excess = sorted(set(scopes) - principal.permissions)
    if excess:
        raise ScopeNotGrantable(
            f"You cannot give a key what you do not hold yourself: {', '.join(excess)}.",
            hint="Leave these scopes out, or ask somebody who holds them.",
        )
    if principal.tenant_ids is not None and tenant_id not in principal.tenant_ids:
        raise ScopeNotGrantable(
            "Your access is limited to some tenants, and so must be the keys that you issue.",
            hint="Name one of your tenants.",
        )


def grantable_scopes(principal: Principal, *, for_tenant: bool) -> list[str]:
    """The scopes that the caller may put into a key, sorted; fewer for a key that a tenant's own systems will hold."""
    return sorted(principal.permissions & TENANT_KEY_PERMISSIONS if for_tenant else principal.permissions)
