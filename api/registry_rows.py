"""Rows of the registry's long lists, from the columns that they show and not from models.

A list reads a hundred rows with everything that they point at; models are not made of them, nor is each serializer
field asked for its value. The serializers stay the declaration:
`tests/integration/api/test_registry_rows.py` holds that both say the same.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any

from msgspec import Raw

from accounts.access import Principal
from api.fields import actions_open_to
from models_registry.states import Approval, VersionState, adapter_state

ADAPTER_ACTIONS = {
    "upload": "adapters.upload",
    "roll_back": "adapters.release",
    "withdraw": "adapters.release",
}
VERSION_ACTIONS = {
    "release": "adapters.release",
    "approve": "adapters.approve",
    "reject": "adapters.approve",
    "archive": "adapters.release",
    "restore": "adapters.release",
}
ADAPTER_COLUMNS = (
    "pk", "public_id", "tenant__public_id", "name", "foundation_model__public_id", "foundation_model__name",
    "serving_profile__public_id", "serving_profile__name", "latest_version__public_id", "latest_version__number",
    "live_version__public_id", "live_version__number", "next_number", "description", "tags", "outside_approvals",
    "created_at",
)  # fmt: skip
_SAME = (
    "number", "state", "waiting_reason", "sha256", "size_bytes", "rank", "alpha", "notes", "dataset_ref",
    "base_revision", "training_job", "source_uri", "uploaded_by",
)  # fmt: skip
_JSON = ("target_modules", "findings", "facts", "metrics")
VERSION_COLUMNS = (
    "pk", "public_id", "adapter__public_id", "tenant__public_id", "parts", "created_at", "decided_at", "approval",
    "approval_policy", "approval_by", "approval_at", "approval_reason", "retires_at", "replacement__public_id",
    "replacement__number", "retirement_reason", *_SAME, *_JSON,
)  # fmt: skip


def adapter_row(row: Any, principal: Principal) -> dict[str, Any]:
    """What AdapterOut says of a row of ADAPTER_COLUMNS."""
    latest, live = row.latest_version__public_id, row.live_version__public_id
    return {
        "id": row.public_id,
        "tenant": row.tenant__public_id,
        "name": row.name,
        "foundation_model": {"id": row.foundation_model__public_id, "name": row.foundation_model__name},
        "serving_profile": {"id": row.serving_profile__public_id, "name": row.serving_profile__name},
        "latest_version": _version(latest, row.latest_version__number),
        "live_version": _version(live, row.live_version__number),
        "state": adapter_state(latest=latest, live=live),
        "version_count": row.next_number - 1,
        "description": row.description,
        "tags": Raw(row.tags),
        "outside_approvals": row.outside_approvals,
        "created_at": _instant(row.created_at),
        "available_actions": adapter_actions(principal, serves=live is not None),
    }


def version_row(row: Any, principal: Principal) -> dict[str, Any]:
    """What AdapterVersionOut says of a row of VERSION_COLUMNS."""
    said = {name: getattr(row, name) for name in _SAME}
    said |= {name: Raw(getattr(row, name)) for name in _JSON}
    retirement = {
        "retires_at": _instant(row.retires_at),
        "replacement": _version(row.replacement__public_id, row.replacement__number),
        "reason": row.retirement_reason,
    }
    return said | {
        "id": row.public_id,
        "adapter": row.adapter__public_id,
        "tenant": row.tenant__public_id,
        "files": Raw(row.parts),
        "created_at": _instant(row.created_at),
        "decided_at": _instant(row.decided_at),
        "approval": {
            "state": row.approval,
            "policy": row.approval_policy,
            "by": row.approval_by,
            "at": _instant(row.approval_at),
            "reason": row.approval_reason,
        },
        "retirement": retirement if row.retires_at else None,
        "available_actions": version_actions(principal, state=row.state, approval=row.approval),
    }


@lru_cache(maxsize=16)  # the rows of one caller's list differ in this alone
def adapter_actions(principal: Principal, *, serves: bool) -> list[str]:
    """What the caller may do with an adapter now."""
    return actions_open_to(principal, ADAPTER_ACTIONS, {"upload": True, "roll_back": serves, "withdraw": serves})


@lru_cache(maxsize=64)
def version_actions(principal: Principal, *, state: str, approval: str) -> list[str]:
    """What the caller may do with a version now."""
    is_ready = state == VersionState.READY
    possible = {
        "release": is_ready and approval in (Approval.APPROVED, Approval.NOT_REQUIRED),
        "approve": is_ready and approval != Approval.APPROVED,
        "reject": is_ready and approval != Approval.REJECTED,
        "archive": is_ready,
        "restore": state == VersionState.ARCHIVED,
    }
    return actions_open_to(principal, VERSION_ACTIONS, possible)


def _version(public_id: str | None, number: int | None) -> dict[str, Any] | None:
    return {"id": public_id, "number": number} if public_id is not None else None


def _instant(at: datetime | None) -> str | None:
    """As DRF's DateTimeField writes it; what the database answers is in UTC."""
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
