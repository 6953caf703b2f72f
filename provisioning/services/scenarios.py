"""Keeping scenarios of the planner, and importing what it chooses from."""

from typing import Any

from django.db import transaction

from core.actors import Actor
from core.errors import Conflict
from core.locks import advisory_lock
from events.record import record_event
from provisioning.models import CatalogueRow, Scenario
from provisioning.planner.catalogue import TABLES, Change, as_texts, changes, read_table
from provisioning.planner.refusals import ImpossibleScenario, InvalidCatalogue, not_one_of, wrong
from provisioning.planner.scenario import as_data, read_scenario
from provisioning.queries import planner_catalogue
from tenants.models import Tenant

MOST_KEPT = 1000
CATALOGUE_LOCK = "planner-catalogue"


class TooManyScenarios(Conflict):
    """There are as many kept scenarios as there may be."""

    code = "too_many_scenarios"
    title = "Too many scenarios"


def save_scenario(*, tenant_id: int | None, name: str, inputs: dict[str, Any], actor: Actor) -> Scenario:
    """Keep a scenario's inputs under a name; `tenant_id` says whose usage they describe, if anybody's.

    Raises ImpossibleScenario and the planner's other refusals for inputs that cannot be planned, and TooManyScenarios.
    """
    named = name.strip()
    if not named:
        raise ImpossibleScenario("A scenario needs a name.", errors=[wrong("name", "A name is needed.")])
    scenario = read_scenario({**inputs, "name": named}, planner_catalogue())
    with transaction.atomic(durable=True):
        if Scenario.objects.count() >= MOST_KEPT:
            raise TooManyScenarios(f"{MOST_KEPT:,} scenarios are kept.", hint="Delete some that nobody needs.")
        tenant = Tenant.objects.get(pk=tenant_id) if tenant_id is not None else None
        kept = Scenario.objects.create(tenant=tenant, name=named, inputs=as_data(scenario), saved_by=actor.name)
        record_event("scenario.saved", tenant=tenant, subject=kept, actor=actor, after={"name": named})
    return kept


def delete_scenario(*, scenario_id: int, actor: Actor) -> None:
    """Throw a kept scenario away; one that is gone already is no error. The audit trail keeps its inputs."""
    with transaction.atomic(durable=True):
        kept = (
            Scenario.objects.select_for_update(of=("self",), no_key=True)
            .select_related("tenant")
            .filter(pk=scenario_id)
            .first()
        )
        if kept is None:
            return
        before = {"name": kept.name, "inputs": kept.inputs}
        record_event("scenario.deleted", tenant=kept.tenant, subject=kept, actor=actor, before=before)
        kept.delete()


def preview_catalogue(*, table: str, text: str) -> list[Change]:
    """What importing this CSV would change. Raises InvalidCatalogue."""
    _refuse_unknown_table(table)
    return changes(planner_catalogue(), read_table(table, text))


def import_catalogue(*, table: str, text: str, actor: Actor) -> list[Change]:
    """Take the rows of a CSV into the catalogue; what changed. Rows that say the same as before stay as they are.

    Each changed row becomes a new row with its source, its day and who imported it. Raises InvalidCatalogue, and
    changes nothing then.
    """
    _refuse_unknown_table(table)
    rows = {row.key: row for row in read_table(table, text)}
    with transaction.atomic(durable=True):
        advisory_lock(CATALOGUE_LOCK)
        found = changes(planner_catalogue(), list(rows.values()))
        keys = [change.key for change in found]
        CatalogueRow.objects.filter(table=table, key__in=keys, is_current=True).update(is_current=False)
        made = [CatalogueRow(table=table, key=key, texts=as_texts(rows[key]), imported_by=actor.name) for key in keys]
        CatalogueRow.objects.bulk_create(made)
        if made:
            record_event(
                "catalogue.imported",
                tenant=None,
                subject=made[0],
                actor=actor,
                before={change.key: dict(change.before) for change in found},
                after={change.key: dict(change.after) for change in found},
                data={"table": table},
            )
    return found


def _refuse_unknown_table(table: str) -> None:
    if table not in TABLES:
        detail, hint = not_one_of(table, TABLES, what="table")
        raise InvalidCatalogue(detail, hint=hint)
