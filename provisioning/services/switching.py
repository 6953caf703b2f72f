"""Switch and retry: an operation that cannot get what its lines ask for goes on with those of another tier version.

Instance type, region, line and pool are a serving line's, and a tier version says which lines a tenant gets. So what
can be switched to are published tier versions with other lines: other versions of the same tier first, which promise
the same tier's name, then other tiers. Only what serves nobody yet is switched: an onboarding before the tenant is
active, and a tier change that went back.
"""

from dataclasses import dataclass
from typing import Any

from django.db import transaction

from aws.errors import AwsError
from core import clock
from core.actors import Actor
from core.errors import Conflict
from core.locks import advisory_lock
from core.states import move
from events.record import record_event
from provisioning.models import ManagedResource, Operation, ServingLine, TierRoute
from provisioning.reconciler.loop import WISHES_LOCK
from provisioning.services.operations import forget_failures
from provisioning.services.preflight import fits_on_paper, preflight, refuse_unready
from provisioning.services.tier_changes import change_tier
from provisioning.states import OPERATION_MOVES, ChangeState, OperationState
from tenants.models import Tenant, TierVersion
from tenants.queries import tier_version_of
from tenants.services.tiers import put_on_tier

Kind = Operation.Kind
MOST_ALTERNATIVES = 5


class NotSwitchable(Conflict):
    """The tenant is served from what the operation works on, or has nothing to switch to."""

    code = "operation_not_switchable"
    title = "The operation cannot be switched"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A tier version that the operation could go on with, and what its lines are made of."""

    version: TierVersion
    lines: tuple[ServingLine, ...]
    is_same_tier: bool


def why_not_switchable(operation: Operation) -> str:
    """Why an operation goes on with its own lines; empty when it can be switched."""
    change = operation.tier_change
    if change is not None:
        went_back = operation.state == OperationState.FAILED and change.state == ChangeState.RETURNED
        return "" if went_back else "It is on its way; cancel it first, and it can be switched once it is back."
    if operation.kind != Kind.ONBOARD or not operation.is_open:
        return "Only an onboarding, or a tier change that went back, can go on with other lines."
    if operation.tenant.activated_at is not None:
        return "The tenant is served already; change its tier instead."
    return ""


def alternatives(operation: Operation) -> list[Alternative]:
    """What an operation could be switched to, the same tier's versions first, newest first; at most five.

    Those that would not run by what is known without AWS are left out: quotas are asked for when somebody decides.
    """
    if why_not_switchable(operation):
        return []
    current = _wanted_now(operation)
    lines = _lines_by_version()
    mine = {line.pk for line in lines.get(current.pk, ())}
    versions = TierVersion.objects.filter(published_at__isnull=False, pk__in=lines).exclude(pk=current.pk)
    if operation.tier_change is not None:
        versions = versions.exclude(pk=operation.tier_change.from_version_id)
    found: list[Alternative] = []
    offered: set[tuple[int, frozenset[int]]] = set()
    in_order = sorted(
        versions.select_related("tier"),
        key=lambda each: (each.tier_id != current.tier_id, each.tier.position, -each.number),
    )
    for version in in_order:
        theirs = frozenset(line.pk for line in lines[version.pk])
        if theirs == mine or (version.tier_id, theirs) in offered or not fits_on_paper(operation.tenant, version):
            continue
        offered.add((version.tier_id, theirs))
        found.append(Alternative(version, lines[version.pk], version.tier_id == current.tier_id))
        if len(found) == MOST_ALTERNATIVES:
            break
    return found


def switch_operation(*, operation_id: int, tier_version_id: int, reason: str, actor: Actor) -> Operation:
    """Go on with the lines of another tier version, and try again; the operation to follow.

    An onboarding stays the same operation: the tenant is on the other version from now on, and what was begun on the
    old lines is deleted. A tier change is begun anew to the other version. AWS is asked whether it would run before
    anything is changed. Raises NotSwitchable, PreflightFailed with every shortfall, and what `change_tier` raises.
    """
    operation = Operation.objects.select_related("tenant", "tier_change").get(pk=operation_id)
    _refuse(operation)
    version = TierVersion.objects.select_related("tier").get(pk=tier_version_id)
    if operation.tier_change is not None:
        return change_tier(tenant_id=operation.tenant_id, tier_version_id=tier_version_id, reason=reason, actor=actor)
    try:
        refuse_unready(preflight(tenant_id=operation.tenant_id, tier_version_id=version.pk))
    except AwsError as error:
        raise NotSwitchable(f"AWS did not say whether {version} would run: {error}", hint="Try again.") from error
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=operation.tenant_id)
        rows = Operation.objects.select_for_update(of=("self",), no_key=True)
        operation = rows.select_related("tenant", "tier_change", "release").get(pk=operation_id)
        _refuse(operation)  # AWS was waited for: the tenant may be served by now
        before = tier_version_of(tenant.pk, clock.now())
        put_on_tier(tenant, tier_version_id=version.pk, at=clock.now(), reason=reason, actor=actor)
        advisory_lock(WISHES_LOCK)
        slots = operation.steps.filter(resource__isnull=False).values("resource__slot")
        forget_failures(ManagedResource.objects.filter(slot__in=slots))
        operation.steps.filter(done_at=None).delete()  # those of the new lines take their place
        if operation.state == OperationState.FAILED:
            move(operation, to=OperationState.RUNNING, table=OPERATION_MOVES, detail="", finished_at=None)
        record_event(
            "operation.switched",
            tenant=tenant,
            subject=operation,
            actor=actor,
            reason=reason,
            before=_facts(before),
            after=_facts(version),
        )
    return operation


def _refuse(operation: Operation) -> None:
    why = why_not_switchable(operation)
    if why:
        raise NotSwitchable(f"{operation.title} cannot be switched.", hint=why)


def _wanted_now(operation: Operation) -> TierVersion:
    """The version whose lines the operation works on."""
    if operation.tier_change is not None:
        return operation.tier_change.to_version
    return tier_version_of(operation.tenant_id, clock.now())


def _lines_by_version() -> dict[int, tuple[ServingLine, ...]]:
    routes = TierRoute.objects.select_related("line__profile__foundation_model").order_by("position")
    found: dict[int, tuple[ServingLine, ...]] = {}
    for route in routes:
        found[route.tier_version_id] = (*found.get(route.tier_version_id, ()), route.line)
    return found


def _facts(version: TierVersion) -> dict[str, Any]:
    return {"tier": version.tier.key, "version": version.number}
