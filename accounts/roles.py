"""One table: which role may do what. Everything that asks for permission ends here."""

from collections.abc import Mapping
from types import MappingProxyType

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    """What a person of the operating team is here for."""

    VIEWER = "viewer", _("Viewer")
    ML_ENGINEER = "ml_engineer", _("ML engineer")
    OPERATOR = "operator", _("Operator")
    BILLING = "billing", _("Billing")
    ADMIN = "admin", _("Administrator")


READ_PLATFORM = frozenset({"tenants.view", "adapters.view", "operations.view", "usage.view", "scenarios.view"})
READ_MONEY = frozenset({"invoices.view", "rate_cards.view", "credits.view", "exports.view", "exports.create"})
CHANGE_MONEY = frozenset(
    {
        "invoices.draft",
        "invoices.finalize",
        "invoices.void",
        "invoices.credit",
        "rate_cards.manage",
        "credits.manage",
    }
)

ALL_PERMISSIONS: frozenset[str] = (
    READ_PLATFORM
    | READ_MONEY
    | CHANGE_MONEY
    | {
        "tenants.manage",
        "adapters.upload",
        "adapters.release",
        "adapters.approve",
        "operations.retry",
        "scenarios.manage",
        "playground.use",
        "keys.manage",
        "webhooks.manage",
        "audit.view",
        "limits.use",
        "usage.write",
        "usage.manage",
    }
)

PERMISSIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        Role.VIEWER.value: READ_PLATFORM | READ_MONEY,
        Role.ML_ENGINEER.value: READ_PLATFORM
        | {"adapters.upload", "adapters.release", "adapters.approve", "playground.use"},
        Role.OPERATOR.value: READ_PLATFORM
        | READ_MONEY
        | {
            "tenants.manage",
            "adapters.upload",
            "adapters.release",
            "adapters.approve",
            "operations.retry",
            "scenarios.manage",
            "playground.use",
            "webhooks.manage",
            "audit.view",
            "usage.manage",
        },
        Role.BILLING.value: READ_PLATFORM
        | READ_MONEY
        | CHANGE_MONEY
        | {"scenarios.manage", "webhooks.manage", "audit.view", "usage.manage"},
        Role.ADMIN.value: ALL_PERMISSIONS,
    }
)

# A key that is bound to one tenant is handed to that tenant's own systems. It may use what it owns; it may never
# act on the contract (tenants, money, prices), mint further keys, or read the operators' audit trail.
TENANT_KEY_PERMISSIONS: frozenset[str] = frozenset(
    {
        "tenants.view",
        "adapters.view",
        "adapters.upload",
        "adapters.release",
        "operations.view",
        "usage.view",
        "invoices.view",
        "exports.view",
        "exports.create",
        "credits.view",
        "webhooks.manage",
        "limits.use",
        "usage.write",
    }
)
