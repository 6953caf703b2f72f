"""The day from which a version should not serve any more.

Nothing is ever taken away on that day: a tenant's traffic does not stop because a date passed. New releases of the
version are refused from then on, and while it still serves people are told, ahead of the day and on it.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from core import clock
from core.actors import SYSTEM, Actor
from core.errors import Conflict, FieldError, Invalid
from events.record import record_event
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.adapters import lock_version, refuse_leaving
from models_registry.states import VersionState

REMINDED_AHEAD = timedelta(days=14)
NEAR, DUE = "near", "due"
_REMINDERS = {NEAR: "adapter.retirement_near", DUE: "adapter.retirement_due"}
BATCH = 100


class RetirementInvalid(Invalid):
    """The day or the replacement cannot be."""

    code = "retirement_invalid"
    title = "The retirement cannot be planned so"


class VersionRetired(Conflict):
    """The version's day has come, so it is not released any more."""

    code = "version_retired"
    title = "The version is retired"


def schedule_retirement(
    *, version_id: int, retires_at: datetime, replacement_id: int | None, reason: str, actor: Actor
) -> AdapterVersion:
    """Say when a version should stop serving and what should serve instead; again replaces what was said.

    Raises RetirementInvalid for a day that has passed, a version that is not ready, and a replacement that is the
    version itself, not ready, or of another adapter. Raises TenantLeaving.
    """
    with transaction.atomic(durable=True):
        version = lock_version(version_id)
        refuse_leaving(version.tenant)
        _refuse_impossible(version, retires_at, replacement_id)
        AdapterVersion.objects.filter(pk=version.pk).update(
            retires_at=retires_at, replacement_id=replacement_id, retirement_reason=reason, retirement_told=""
        )
        version.refresh_from_db()
        after = {
            "retires_at": retires_at.isoformat(),
            "replacement": version.replacement.number if version.replacement else None,
        }
        _tell("adapter.retirement_scheduled", version, actor, reason=reason, after=after)
    return version


def cancel_retirement(*, version_id: int, reason: str, actor: Actor) -> AdapterVersion:
    """Take a retirement back; quiet when there is none. Raises TenantLeaving."""
    with transaction.atomic(durable=True):
        version = lock_version(version_id)
        refuse_leaving(version.tenant)
        if version.retires_at is None:
            return version
        AdapterVersion.objects.filter(pk=version.pk).update(
            retires_at=None, replacement=None, retirement_reason="", retirement_told=""
        )
        version.refresh_from_db()
        _tell("adapter.retirement_cancelled", version, actor, reason=reason)
    return version


def remind_of_retirements() -> int:
    """Tell once ahead of the day and once when it has come, of versions that serve then; how many were told."""
    now = clock.now()
    told = 0
    is_due = Q(retires_at__lte=now) & ~Q(retirement_told=DUE)
    is_near = Q(retires_at__gt=now, retires_at__lte=now + REMINDED_AHEAD, retirement_told="")
    with transaction.atomic(durable=True):
        serving = AdapterVersion.objects.filter(is_due | is_near, adapter__live_version_id=F("id"))
        for version in serving.select_for_update(of=("self",), no_key=True, skip_locked=True).select_related(
            "tenant", "adapter", "replacement"
        )[:BATCH]:
            stage = DUE if version.retires_at is not None and version.retires_at <= now else NEAR
            AdapterVersion.objects.filter(pk=version.pk).update(retirement_told=stage)
            _tell(_REMINDERS[stage], version, SYSTEM, reason=version.retirement_reason)
            told += 1
    return told


def refuse_retired(adapter: Adapter, version: AdapterVersion) -> None:
    """Raises VersionRetired when the version's day has come."""
    if version.retires_at is not None and version.retires_at <= clock.now():
        instead = f"Release {version.replacement} instead" if version.replacement else "Release another version"
        raise VersionRetired(
            f"{version} of {adapter.name} retired on {version.retires_at:%Y-%m-%d}.",
            hint=f"{instead}, or take the retirement back.",
        )


def _refuse_impossible(version: AdapterVersion, retires_at: datetime, replacement_id: int | None) -> None:
    if version.state != VersionState.READY:
        raise RetirementInvalid(f"{version} is {version.state}; only a version that is ready can retire.")
    if retires_at <= clock.now():
        detail = "The day has passed already."
        raise RetirementInvalid(detail, errors=[FieldError("/retires_at", "in_the_past", detail)])
    if replacement_id is None:
        return
    replacement = AdapterVersion.objects.filter(
        pk=replacement_id, adapter_id=version.adapter_id, state=VersionState.READY
    )
    if replacement_id == version.pk or not replacement.exists():
        detail = "The replacement is another version of the same adapter that is ready."
        raise RetirementInvalid(detail, errors=[FieldError("/replacement", "invalid", detail)])


def _tell(
    name: str, version: AdapterVersion, actor: Actor, *, reason: str, after: dict[str, Any] | None = None
) -> None:
    data = {
        "id": version.public_id,
        "adapter": version.adapter.public_id,
        "number": version.number,
        "retires_at": version.retires_at.isoformat() if version.retires_at else None,
        "replacement": version.replacement.public_id if version.replacement else None,
    }
    record_event(name, tenant=version.tenant, subject=version, actor=actor, reason=reason, after=after, data=data)
