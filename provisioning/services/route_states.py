"""How a tenant's routes stand: which lines may answer, what its data planes say of their breakers, what degraded.

What data planes tell stands in the limits table. A table that does not answer leaves that part unknown, not the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aws import connect
from aws.errors import AwsError
from aws.gateway import BreakerSighting, DegradeCount
from provisioning import queries
from provisioning.models import BreakerOrder, ConfigRefusal, EulaAcceptance, ServingLine
from provisioning.runtime_config import Target, targets_of
from provisioning.services import line_rules
from tenants.models import Tenant

CLOSED, HALF_OPEN, OPEN = "closed", "half_open", "open"
WORST_FIRST = (OPEN, HALF_OPEN, CLOSED)
DEGRADES_SHOWN = 50


@dataclass(frozen=True, slots=True)
class LineOption:
    """A line of the tenant's tier. `position` counts from 1 among those that answer without adapter; None: it is not
    chosen. `acceptance` is the licence's, where the model is gated and it is on record."""

    line: ServingLine
    position: int | None
    acceptance: EulaAcceptance | None

    @property
    def waits_for_licence(self) -> bool:
        """Whether somebody must accept the model's licence before the line may answer."""
        return bool(self.line.eula_url) and self.acceptance is None


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The breaker of one line of one route over all data planes that said something within the hour.

    `state` is the worst that any process tells; closed where none does. A tripped one is open in all of them.
    """

    route: str
    target: Target
    state: str
    since: datetime | None
    reason: str
    processes: int
    order: BreakerOrder | None

    @property
    def line(self) -> str:
        """The line that it guards."""
        return self.target.line

    @property
    def is_tripped(self) -> bool:
        """Whether a person keeps it open, as data planes will read, or read already."""
        return self.order is not None and self.order.is_tripped


@dataclass(frozen=True, slots=True)
class RouteStates:
    """Everything that decides which line answers a tenant now; `is_told` is False when the table does not answer."""

    tenant_chooses: bool
    lines: Sequence[LineOption]
    breakers: Sequence[BreakerState]
    degrades: Sequence[DegradeCount]
    is_told: bool
    refusal: ConfigRefusal | None


def route_states(*, tenant_id: int) -> RouteStates:
    """Read it all: rows, and two questions to the limits table."""
    tenant = Tenant.objects.get(pk=tenant_id)
    sightings, degrades, is_told = _told_by_data_planes(tenant)
    return RouteStates(
        tenant_chooses=line_rules.routing_policy_of(tenant_id).tenant_chooses,
        lines=line_options(tenant_id),
        breakers=_breakers(tenant, sightings),
        degrades=degrades,
        is_told=is_told,
        refusal=ConfigRefusal.objects.filter(tenant=tenant).first(),
    )


def line_options(tenant_id: int) -> list[LineOption]:
    """The lines of the tenant's tier: those that answer first, in their order, then the others."""
    lines = queries.lines_of(tenant_id)
    answering = [line.name for line in line_rules.chosen_lines(tenant_id, lines)]
    accepted = {(row.model_name, row.eula_url): row for row in EulaAcceptance.objects.filter(tenant_id=tenant_id)}
    options = [
        LineOption(
            line=line,
            position=answering.index(line.name) + 1 if line.name in answering else None,
            acceptance=accepted.get((line.model_name, line.eula_url)),
        )
        for line in lines
    ]
    return sorted(options, key=lambda each: each.position or len(lines) + 1)


def _told_by_data_planes(tenant: Tenant) -> tuple[list[BreakerSighting], list[DegradeCount], bool]:
    try:
        store = connect.limit_store()
        return store.breakers(tenant.public_id), store.degrades(tenant.public_id, limit=DEGRADES_SHOWN), True
    except AwsError:
        return [], [], False


def _breakers(tenant: Tenant, sightings: Sequence[BreakerSighting]) -> list[BreakerState]:
    config = queries.current_config(tenant.pk)
    orders = {(each.route, each.line): each for each in BreakerOrder.objects.filter(tenant=tenant)}
    found = []
    for route, _, target in targets_of(config.document) if config is not None else ():
        told = [each for each in sightings if (each.route, each.line) == (route, target.line)]
        told.sort(key=lambda each: (WORST_FIRST.index(each.state), each.since))
        worst, order = told[0] if told else None, orders.get((route, target.line))
        state, since, reason = (worst.state, worst.since, worst.reason) if worst else (CLOSED, None, "")
        if order is not None and order.is_tripped:
            state, since, reason = OPEN, order.ordered_at, order.reason
        found.append(BreakerState(route, target, state, since, reason, len(told), order))
    return found
