"""The steps of an operation, derived from resources, configs and services; what was done stays done."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.clock import now
from models_registry.models import Canary, Release
from models_registry.queries import wanted_releases
from provisioning import queries
from provisioning.desired import foundation_slots
from provisioning.models import ManagedResource, Operation, OperationStep, PublishedConfig, TierChange
from provisioning.services.tier_changes import leftovers, needed_slots
from provisioning.states import SERVING, ChangeState, Phase
from tenants.models import OffboardingStep, Tenant

Kind = Operation.Kind
AT_WORK = (Phase.CREATING, Phase.UPDATING, Phase.DELETING)


@dataclass(frozen=True, slots=True)
class Step:
    """One step as the facts show it; `resource` is what it waits for in AWS."""

    key: str
    title: str
    is_done: bool
    resource: ManagedResource | None = None

    @property
    def kind(self) -> str:
        """What steps it can be compared with."""
        if self.resource is None:
            return self.key
        return f"{'delete' if self.key.startswith('delete ') else 'make'} {self.resource.kind}"

    @property
    def attempts(self) -> int:
        """How often it was tried so far: once, and once more for each call that AWS refused or lost."""
        if self.resource is None:
            return 1 if self.is_done else 0
        tried = self.resource.phase != Phase.WISHED or self.resource.failures > 0
        return self.resource.failures + 1 if tried else 0

    def began_at(self, *, is_next: bool) -> datetime | None:
        """Since when its own work is under way, if it is: AWS works on its resource, or all before it is done."""
        if self.is_done:
            return None
        if self.resource is not None:
            return self.resource.phase_since if self.resource.phase in AT_WORK else None
        return now() if is_next else None


def steps_of(operation: Operation, tenant: Tenant, config: PublishedConfig | None) -> list[Step]:
    """Its steps in order, as things are now."""
    status = config.document["status"] if config else ""
    match operation.kind:
        case Kind.ONBOARD:
            return _onboarding(tenant, config)
        case Kind.SUSPEND:
            withdrawn = Step("publish", "Withdraw traffic in the runtime config", status == "suspended")
            return [withdrawn, *_put_away(operation, tenant)]
        case Kind.RESUME:
            return [*_made_again(operation, tenant), Step("publish", "Route traffic again", status == "active")]
        case Kind.OFFBOARD:
            return _leaving(operation, tenant, status)
        case Kind.CHANGE_TIER if operation.tier_change is not None:
            return _changing(operation, operation.tier_change)
    return _releasing(operation)


def _onboarding(tenant: Tenant, config: PublishedConfig | None) -> list[Step]:
    lines = [queries.line_facts(line) for line in queries.lines_of(tenant.pk)]
    steps = _in_slots(foundation_slots(tenant.public_id, lines))
    steps.append(Step("publish", "Publish the runtime config", config is not None))
    steps.append(Step("activate", "Activate the tenant", tenant.activated_at is not None))
    return steps


def _in_slots(slots: Sequence[str], *, where: str = "") -> list[Step]:
    """One step for each slot that was begun to be filled: its newest resource, which is to serve."""
    newest = {row.slot: row for row in ManagedResource.objects.filter(slot__in=slots).order_by("incarnation", "pk")}
    steps = []
    for slot in slots:
        row = newest.get(slot)
        if row is not None:
            shared = "" if row.tenant_id else "Shared "
            title = f"{shared}{row.get_kind_display()}{where}".capitalize()
            steps.append(Step(slot, title, row.phase in SERVING, row))
    return steps


def _put_away(operation: Operation, tenant: Tenant) -> list[Step]:
    """What a tier that keeps nothing for a suspended tenant deletes."""
    followed = set(operation.steps.values_list("resource_id", flat=True))
    own = ManagedResource.objects.filter(tenant=tenant).order_by("-pk")
    going = own if queries.is_put_away(tenant) else own.filter(pk__in=followed)
    return [_deletion(row) for row in going if row.phase != Phase.GONE or row.pk in followed]


def _made_again(operation: Operation, tenant: Tenant) -> list[Step]:
    """What a resumption has to make before traffic can flow; nothing where all of it stayed."""
    slots = needed_slots(tenant, queries.lines_of(tenant.pk), wanted_releases(tenant.pk))
    rows = ManagedResource.objects.filter(tenant=tenant, slot__in=slots, created_at__gte=operation.started_at)
    newest = {row.slot: row for row in rows.order_by("incarnation", "pk")}
    return [Step(slot, row.get_kind_display(), row.phase in SERVING, row) for slot, row in newest.items()]


def _deletion(row: ManagedResource) -> Step:
    title = f"Delete {row.get_kind_display().lower()} {row.name}"
    return Step(f"delete {row.name}", title, row.phase == Phase.GONE, row)


def _leaving(operation: Operation, tenant: Tenant, status: str) -> list[Step]:
    steps = [Step("withdraw", "Withdraw traffic in the runtime config", status in ("", "withdrawn"))]
    followed = set(operation.steps.values_list("resource_id", flat=True))
    for row in ManagedResource.objects.filter(tenant=tenant).order_by("-pk"):
        if row.phase != Phase.GONE or row.pk in followed:
            steps.append(_deletion(row))
    for step in OffboardingStep.objects.filter(tenant=tenant):
        steps.append(Step(step.key, step.get_key_display(), step.done_at is not None))
    return steps


def _releasing(operation: Operation) -> list[Step]:
    release = operation.release
    if release is None:
        raise ValueError(f"{operation.public_id} is a {operation.kind} without a release")
    is_followed = release.live_at is not None
    title = "Route to it" if release.version_id else "Take the route away"
    route = Step("route", f"{title} in the runtime config", is_followed)
    if release.version_id is None:
        return [route]
    rows = ManagedResource.objects.filter(adapter_version_id=release.version_id)
    row = rows.order_by("-incarnation", "-pk").first()
    is_loaded = row is not None and row.phase in SERVING
    is_proved = row is not None and row.probed_at is not None
    return [
        Step("component", "Load the adapter beside what serves now", is_loaded or is_followed, row),
        Step("probe", "Prove that the adapter takes effect", is_proved or is_followed),
        *_shares(release),
        route,
    ]


def _shares(release: Release) -> list[Step]:
    """One step for each share of a release in steps; it is done when the next one was allowed."""
    canary: Canary | None = getattr(release, "canary", None)
    if canary is None:
        return []
    return [
        Step(f"share {percent}", f"Watch it answer {percent} % of the requests", place < canary.step)
        for place, percent in enumerate(canary.steps)
    ]


def _changing(operation: Operation, change: TierChange) -> list[Step]:
    """Forward: make, prove, move traffic, prove again, wait for requests under way, delete; or back from there."""
    has_moved, is_back = change.cut_over_at is not None, change.state in (ChangeState.RETURNING, ChangeState.RETURNED)
    is_proved = change.state in (ChangeState.REMOVING, ChangeState.DONE)
    steps = _making(operation, change)
    steps.append(Step("prove", "Prove that the new resources answer", change.prepared_at is not None))
    steps.append(Step("publish", "Move traffic in the runtime config", has_moved))
    steps.append(Step("verify", "Ask along the published config", is_proved))
    drained = change.drain_until is not None and not change.is_draining
    if is_back:
        steps.append(Step("return", "Traffic on the old resources", change.drain_until is not None))
    steps.append(Step("drain", "Let requests under way end", drained))
    followed = set(operation.steps.filter(key__startswith="delete ").values_list("resource_id", flat=True))
    going = leftovers(change) if is_proved or is_back else []
    gone = ManagedResource.objects.filter(pk__in=followed, phase=Phase.GONE)
    steps += [_deletion(row) for row in [*going, *gone]]
    if not is_back:
        return steps
    # What was not reached on the way forward is not waited for any more.
    reached = set(operation.steps.filter(done_at__isnull=False).values_list("key", flat=True))
    backwards = ("return", "drain", "delete ")
    return [each for each in steps if each.is_done or each.key in reached or each.key.startswith(backwards)]


def _making(operation: Operation, change: TierChange) -> list[Step]:
    tenant, wanted = change.tenant, wanted_releases(change.tenant_id)
    old, new = (
        needed_slots(tenant, queries.lines_of_version(version_id, tenant_id=tenant.pk), wanted)
        for version_id in (change.from_version_id, change.to_version_id)
    )
    return _in_slots([slot for slot in new if slot not in set(old)], where=" on the new tier")


def write_steps(operation: Operation, steps: Iterable[Step]) -> None:
    """Bring the rows up to date; one that is no step any more goes, unless it was done."""
    steps = list(steps)
    kept = {step.key: step for step in operation.steps.all()}
    stale = [row.pk for key, row in kept.items() if row.done_at is None and key not in {each.key for each in steps}]
    if stale and operation.kind == Kind.CHANGE_TIER:
        OperationStep.objects.filter(pk__in=stale).delete()
    is_next = True
    for position, step in enumerate(steps):
        row = kept.get(step.key)
        if row is None:
            row = OperationStep(operation=operation, key=step.key, title=step.title)
        resource_id = step.resource.pk if step.resource else None
        done_at = now() if step.is_done and row.done_at is None else row.done_at
        began_at = row.began_at or (None if row.done_at else step.began_at(is_next=is_next))
        is_next = is_next and step.is_done
        attempts = row.attempts if row.done_at else max(row.attempts, step.attempts)
        facts = (position, resource_id, step.kind, began_at, done_at, attempts)
        known = (row.position, row.resource_id, row.kind, row.began_at, row.done_at, row.attempts)
        if row._state.adding or known != facts:
            row.position, row.resource_id, row.kind, row.began_at, row.done_at, row.attempts = facts
            row.save()
