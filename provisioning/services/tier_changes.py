"""Changing a tenant's tier: what it would do (a dry run), asking for it, and turning back.

The way itself is walked by `cutting_over`, which `converge` calls: new resources beside the old ones, traffic moves,
the old ones go. So there is no downtime by construction, and until the old ones go there is a way back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from aws.errors import AwsError
from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError
from core.states import move
from events.record import record_event
from models_registry.queries import WantedRelease, wanted_releases
from provisioning import queries
from provisioning.desired import AdapterFacts, LineFacts, TenantFacts, foundation_slots, own_prefix, wishes_for_tenant
from provisioning.models import ManagedResource, Operation, ServingLine, TierChange
from provisioning.models.resources import ManagedResourceQuerySet
from provisioning.services.preflight import preflight
from provisioning.specs import ENDPOINT, POOL, REGISTRY_KINDS, Wish
from provisioning.states import CHANGE_MOVES, OPERATION_MOVES, ChangeState, OperationState, Phase
from tenants.models import Tenant, TierVersion
from tenants.queries import PROMISES, tier_version_of
from tenants.states import TenantState

CHANGEABLE = (TenantState.ACTIVE, TenantState.SUSPENDED)


class TierChangeRefused(Conflict):
    """The dry run found something that stands against the change; nothing was begun."""

    code = "tier_change_refused"
    title = "The tier cannot be changed"


class ChangeUnderWay(Conflict):
    """A tenant changes its tier once at a time."""

    code = "tier_change_under_way"
    title = "A tier change is under way"


@dataclass(frozen=True, slots=True)
class PlannedResource:
    """What happens to one resource; `instance_type` and `instance_count` are an endpoint's."""

    action: str  # make, keep or remove
    kind: str
    line: str
    name: str
    is_shared: bool
    instance_type: str = ""
    instance_count: int = 0


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands against the change, and what to do about it."""

    code: str
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """A dry run. `downtime_seconds` is 0: what is new serves before traffic moves, what is old goes after it has.

    `memory` has a sentence for each hosted line on which it fits; where it does not, there is an obstacle.
    """

    tenant: Tenant
    from_version: TierVersion
    to_version: TierVersion
    resources: Sequence[PlannedResource]
    obstacles: Sequence[Obstacle]
    limits: Mapping[str, tuple[Any, Any]]
    memory: Sequence[str] = ()
    downtime_seconds: int = 0

    @property
    def is_possible(self) -> bool:
        """Whether nothing stands against it."""
        return not self.obstacles

    def counted(self, action: str) -> int:
        """How many resources are made, kept or removed."""
        return sum(each.action == action for each in self.resources)

    def as_json(self) -> dict[str, Any]:
        """What is kept with the change that was agreed to."""
        return {
            "resources": [asdict(each) for each in self.resources],
            "limits": {name: list(pair) for name, pair in self.limits.items()},
            "downtime_seconds": self.downtime_seconds,
        }


def plan_change(*, tenant_id: int, tier_version_id: int) -> ChangePlan:
    """What changing to this tier version would make, keep and remove, and what stands against it. Nothing is written.

    Raises NotFound when the tenant is on no tier, and TierVersion.DoesNotExist.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    current = tier_version_of(tenant_id, clock.now())
    wanted = TierVersion.objects.select_related("tier").get(pk=tier_version_id)
    lines = queries.lines_of_version(wanted.pk, tenant_id=tenant_id)
    unfit, memory = _preflight(tenant, wanted)
    obstacles = [*_against_the_tenant(tenant, current, wanted), *_against_the_promise(tenant, wanted), *unfit]
    names = [name for name in PROMISES if getattr(current, name) != getattr(wanted, name)]
    return ChangePlan(
        tenant=tenant,
        from_version=current,
        to_version=wanted,
        resources=_resources(tenant, lines),
        obstacles=obstacles,
        limits={name: (getattr(current, name), getattr(wanted, name)) for name in names},
        memory=memory,
    )


def change_tier(*, tenant_id: int, tier_version_id: int, reason: str, actor: Actor) -> Operation:
    """Begin the change; its operation tells how far it is. Quiet when this very change is under way.

    Raises TierChangeRefused with every obstacle, ChangeUnderWay, and what `plan_change` raises; nothing is begun then.
    """
    plan = plan_change(tenant_id=tenant_id, tier_version_id=tier_version_id)
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        under_way = queries.open_change(tenant_id)
        if under_way is not None:
            if under_way.to_version_id == tier_version_id and under_way.state != ChangeState.RETURNING:
                return Operation.objects.get(tier_change=under_way)
            raise ChangeUnderWay(
                f"{tenant.name} is on its way to {under_way.to_version}: {under_way.get_state_display().lower()}.",
                hint="Wait for it, or cancel its operation first.",
            )
        refuse_impossible(plan)
        if tier_version_of(tenant_id, clock.now()) != plan.from_version or tenant.state not in CHANGEABLE:
            raise ChangeUnderWay(f"{tenant.name} changed while the dry run was made.", hint="Look at it again.")
        _supersede_failed(tenant, actor)
        change = TierChange.objects.create(
            tenant=tenant,
            from_version=plan.from_version,
            to_version=plan.to_version,
            plan=plan.as_json(),
            reason=reason,
        )
        operation = Operation.objects.create(
            tenant=tenant,
            tier_change=change,
            kind=Operation.Kind.CHANGE_TIER,
            title=f"Change {tenant.name} from {plan.from_version} to {plan.to_version}"[:200],
            started_by=actor.name,
        )
        record_event(
            "tenant.tier_change_started",
            tenant=tenant,
            subject=tenant,
            actor=actor,
            reason=reason,
            before={"tier": plan.from_version.tier.key, "version": plan.from_version.number},
            after={"tier": plan.to_version.tier.key, "version": plan.to_version.number},
        )
        record_event("operation.started", tenant=tenant, subject=operation, actor=actor, after={"kind": operation.kind})
    return operation


def refuse_impossible(plan: ChangePlan) -> None:
    """Raise TierChangeRefused, naming every obstacle, when something stands against the plan."""
    if plan.obstacles:
        raise TierChangeRefused(
            " ".join(each.detail for each in plan.obstacles),
            hint=" ".join(dict.fromkeys(each.hint for each in plan.obstacles if each.hint)),
            errors=[FieldError("/tier", each.code, each.detail) for each in plan.obstacles],
        )


def turn_back(change: TierChange, *, detail: str, is_cancelled: bool) -> None:
    """From forward to back; inside the caller's transaction, the tenant locked.

    The old lines are there still, so traffic stays on them or returns to them, and what was made new is removed.
    """
    move(change, to=ChangeState.RETURNING, table=CHANGE_MOVES, detail=detail, is_cancelled=is_cancelled)


def try_again(change: TierChange) -> None:
    """From the start; inside the caller's transaction, the tenant locked. The plan was agreed to and stays."""
    move(
        change,
        to=ChangeState.PREPARING,
        table=CHANGE_MOVES,
        detail="",
        attempts=change.attempts + 1,
        prepared_at=None,
        cut_over_at=None,
        drain_until=None,
        ended_at=None,
    )


def needed_slots(tenant: Tenant, lines: Sequence[ServingLine], wanted: Sequence[WantedRelease]) -> list[str]:
    """The slots that must serve before a tenant's traffic can be on these lines: foundation and live adapters."""
    facts = [queries.line_facts(line) for line in lines]
    adapters = [
        wish.slot
        for wish in wishes_for_tenant(TenantFacts(tenant.public_id, tenant.slug, facts, _live(wanted)))
        if wish.adapter_version_id is not None
    ]
    return [*foundation_slots(tenant.public_id, facts), *adapters]


def _live(wanted: Sequence[WantedRelease]) -> list[AdapterFacts]:
    """The versions that serve now, as wishes want them; where their artifacts lie does not matter here."""
    live = [(each.adapter, each.live_version) for each in wanted]
    return [
        AdapterFacts(version.pk, version.public_id, adapter.public_id, adapter.name, artifact_url="")
        for adapter, version in live
        if version is not None
    ]


# --- the dry run ------------------------------------------------------------------------------------------------
def _resources(tenant: Tenant, lines: Sequence[ServingLine]) -> list[PlannedResource]:
    facts = [queries.line_facts(line) for line in lines]
    by_pk = {line.pk: line for line in facts}
    wishes = wishes_for_tenant(TenantFacts(tenant.public_id, tenant.slug, facts, _live(wanted_releases(tenant.pk))))
    own = list(_serving(tenant).filter(is_wanted=True).living().select_related("line"))
    there = {row.slot: row for row in own}
    planned = [_planned(wish, there.get(wish.slot), by_pk) for wish in wishes]
    kept = {wish.slot for wish in wishes}
    planned += [
        PlannedResource("remove", row.kind, row.line.name if row.line else "", row.name, is_shared=False)
        for row in own
        if row.slot not in kept
    ]
    return planned + _shared(tenant, facts)


def _serving(tenant: Tenant) -> ManagedResourceQuerySet:
    """The tenant's own rows but the mirror of its adapters in SageMaker's registry, which no tier changes."""
    return ManagedResource.objects.filter(tenant=tenant).exclude(kind__in=REGISTRY_KINDS)


def _planned(wish: Wish, row: ManagedResource | None, lines: Mapping[int, LineFacts]) -> PlannedResource:
    line = lines[wish.line_id] if wish.line_id is not None else None
    is_endpoint = wish.kind == ENDPOINT and line is not None
    return PlannedResource(
        action="keep" if row else "make",
        kind=wish.kind,
        line=line.name if line else "",
        name=row.name if row else wish.slug,
        is_shared=False,
        instance_type=line.instance_type if line and is_endpoint else "",
        instance_count=line.instance_count if line and is_endpoint else 0,
    )


def _shared(tenant: Tenant, lines: Sequence[LineFacts]) -> list[PlannedResource]:
    """What the lines share with others: made when nobody used it yet, never removed for one tenant."""
    slots = [slot for slot in foundation_slots(tenant.public_id, lines) if slot.startswith(f"{POOL}/")]
    rows = {row.slot: row for row in ManagedResource.objects.filter(slot__in=slots, is_wanted=True).living()}
    kinds = {"endpoint-config": "endpoint_config", "endpoint": "endpoint", "base-model": "model"}
    return [
        PlannedResource(
            action="keep" if slot in rows else "make",
            kind=kinds.get(slot.rpartition("/")[2], "base_component"),
            line="",
            name=rows[slot].name if slot in rows else slot,
            is_shared=True,
        )
        for slot in slots
    ]


def _against_the_tenant(tenant: Tenant, current: TierVersion, wanted: TierVersion) -> list[Obstacle]:
    found = []
    if tenant.state not in CHANGEABLE:
        state = tenant.get_state_display().lower()
        found.append(Obstacle("tenant_not_running", f"{tenant.name} is {state}.", "Change a tenant that is active."))
    if queries.is_put_away(tenant):
        detail = f"{tenant.name} is suspended and {current} keeps nothing for it meanwhile."
        found.append(Obstacle("put_away", detail, "Resume it first: there is nothing to move."))
    if current == wanted:
        found.append(Obstacle("same_tier", f"{tenant.name} is on {wanted} already."))
    if wanted.published_at is None:
        found.append(Obstacle("tier_version_not_published", f"{wanted} is a draft.", "Publish the version first."))
    return found


def _against_the_promise(tenant: Tenant, wanted: TierVersion) -> list[Obstacle]:
    """What the tenant's adapters have and the new tier does not carry."""
    return [
        Obstacle(
            "rank_above_tier",
            f"{each.adapter.name} v{each.live_version.number} has rank {each.live_version.rank}; {wanted} carries "
            f"rank {wanted.max_lora_rank}.",
            "Release a version of a smaller rank first.",
        )
        for each in wanted_releases(tenant.pk)
        if each.live_version is not None and (each.live_version.rank or 0) > wanted.max_lora_rank
    ]


def _preflight(tenant: Tenant, wanted: TierVersion) -> tuple[list[Obstacle], list[str]]:
    """What the pre-flight has against it, and what it says of the memory of each line on which it fits."""
    try:
        report = preflight(tenant_id=tenant.pk, tier_version_id=wanted.pk)
    except AwsError as error:
        return [Obstacle("preflight_unanswered", f"AWS did not say whether it fits: {error}", "Try again.")], []
    unfit = [
        Obstacle(check.code, f"{check.detail} {check.shortfall}".strip(), check.what_to_do) for check in report.failed
    ]
    lines = [(check.key.partition(":"), check.detail) for check in report.checks if check.ok]
    return unfit, [f"{line}: {detail}" for (name, _, line), detail in lines if name == "memory"]


def _supersede_failed(tenant: Tenant, actor: Actor) -> None:
    failed = Operation.objects.filter(tenant=tenant, kind=Operation.Kind.CHANGE_TIER, state=OperationState.FAILED)
    for operation in failed:
        move(operation, to=OperationState.SUPERSEDED, table=OPERATION_MOVES, detail=operation.detail)


def leftovers(change: TierChange) -> list[ManagedResource]:
    """What serves the tenant from resources of its own and the version which stays does not want."""
    staying = (
        change.to_version_id if change.state in (ChangeState.REMOVING, ChangeState.DONE) else change.from_version_id
    )
    facts = [queries.line_facts(line) for line in queries.lines_of_version(staying, tenant_id=change.tenant_id)]
    ref = change.tenant.public_id
    prefixes = tuple(own_prefix(ref, line) for line in facts)
    own = _serving(change.tenant).exclude(phase=Phase.GONE).order_by("-pk")
    return [row for row in own if not row.slot.startswith(prefixes)]
