"""What people decide about a tenant's lines: which answer, whose licence is accepted, whose breaker stays open."""

from collections.abc import Sequence

from django.db import transaction

from core.actors import Actor
from core.clock import now
from core.errors import Conflict, Invalid
from events.record import record_event
from provisioning import queries
from provisioning.models import BreakerOrder, EulaAcceptance, LineChoice, ServingLine
from provisioning.runtime_config import targets_of
from provisioning.services import line_rules
from tenants.models import Tenant


class NoChoice(Conflict):
    """The tenant's tier says which lines answer, and in which order."""

    code = "lines_not_chosen_by_tenant"
    title = "The tier chooses the lines"


class UnknownLine(Invalid):
    """A line was named that is not there, or that the tenant's tier does not have."""

    code = "unknown_line"


class UnknownTarget(Invalid):
    """The tenant's config has no such route on such a line."""

    code = "unknown_target"


class NotGated(Invalid):
    """The line's model has no licence that would have to be accepted."""

    code = "line_not_gated"


def choose_lines(*, tenant_id: int, line_names: Sequence[str], reason: str, actor: Actor) -> LineChoice:
    """Let these lines of its tier answer the tenant's requests without adapter, in this order; a publish follows.

    All the tier's lines stay ready, so that choosing again is a publish too. Raises NoChoice where the tier leaves
    none, and UnknownLine.
    """
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        if not line_rules.routing_policy_of(tenant_id).tenant_chooses:
            raise NoChoice(
                f"{tenant.name}'s tier has a fixed order of lines.", hint="Choose a tier that leaves a choice."
            )
        known = [line.name for line in queries.lines_of(tenant_id)]
        names = list(dict.fromkeys(line_names))
        if not names or not set(names) <= set(known):
            raise UnknownLine(
                f"{', '.join(names) or 'Nothing'} cannot be chosen.", hint=f"Choose from {', '.join(known)}."
            )
        before = LineChoice.objects.filter(tenant=tenant).first()
        choice, _ = LineChoice.objects.update_or_create(
            tenant=tenant, defaults={"line_names": names, "changed_at": now(), "changed_by": actor.name}
        )
        record_event(
            "lines.chosen",
            tenant=tenant,
            subject=tenant,
            actor=actor,
            reason=reason,
            before={"lines": before.line_names if before else known},
            after={"lines": names},
        )
    return choice


def accept_eula(*, tenant_id: int, line_name: str, accepted_by: str, actor: Actor) -> EulaAcceptance:
    """Put on record that the tenant accepts the licence of the line's model; quiet when it did. A publish follows.

    `accepted_by` is who said so at the tenant. Raises UnknownLine and NotGated.
    """
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        line = ServingLine.objects.select_related("profile__foundation_model").filter(name=line_name).first()
        if line is None:
            raise UnknownLine(f"There is no line {line_name}.")
        if not line.eula_url:
            raise NotGated(f"{line.model_name} on line {line.name} needs no acceptance.")
        what = {"tenant": tenant, "model_name": line.model_name, "eula_url": line.eula_url}
        found = EulaAcceptance.objects.filter(**what).first()
        if found is not None:
            return found
        acceptance = EulaAcceptance.objects.create(**what, accepted_by=accepted_by, recorded_by=actor.name)
        record_event(
            "eula.accepted",
            tenant=tenant,
            subject=acceptance,
            actor=actor,
            after={"model": line.model_name, "eula": line.eula_url, "accepted_by": accepted_by},
        )
    return acceptance


def trip_breaker(*, tenant_id: int, route: str, line_name: str, reason: str, actor: Actor) -> BreakerOrder:
    """Keep traffic of a route off a line, in every data plane, until somebody resets it; a publish follows.

    Raises UnknownTarget when the tenant's config has no such route on such a line.
    """
    return _order(tenant_id, route, line_name, is_tripped=True, reason=reason, actor=actor)


def reset_breaker(*, tenant_id: int, route: str, line_name: str, reason: str, actor: Actor) -> BreakerOrder:
    """Close the breaker of a line of a route in every data plane, whoever opened it. Raises as `trip_breaker` does."""
    return _order(tenant_id, route, line_name, is_tripped=False, reason=reason, actor=actor)


def _order(tenant_id: int, route: str, line_name: str, *, is_tripped: bool, reason: str, actor: Actor) -> BreakerOrder:
    with transaction.atomic(durable=True):
        tenant = Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
        config = queries.current_config(tenant_id)
        known = [(name, target.line) for name, _, target in targets_of(config.document)] if config else []
        if (route, line_name) not in known:
            raise UnknownTarget(f"{tenant.name} has no route {route} on a line {line_name}.")
        order, _ = BreakerOrder.objects.select_for_update(no_key=True).get_or_create(
            tenant=tenant, route=route, line=line_name, defaults={"ordered_by": actor.name}
        )
        order.is_tripped = is_tripped
        order.resets += 0 if is_tripped else 1
        order.reason, order.ordered_by, order.ordered_at = reason, actor.name, now()
        order.save()
        record_event(
            "breaker.tripped" if is_tripped else "breaker.reset",
            tenant=tenant,
            subject=tenant,
            actor=actor,
            reason=reason,
            after={"route": route, "line": line_name},
        )
    return order
