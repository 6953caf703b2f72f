"""Reading what the planner chooses from, and the scenarios that were kept."""

from collections.abc import Collection
from contextlib import suppress

from django.db.models import QuerySet

from core.errors import NotFound
from models_registry.models import FoundationModel
from provisioning.models import CatalogueRow, Scenario
from provisioning.planner.base_models import read_base_model
from provisioning.planner.catalogue import Catalogue, load_catalogue, row_from_texts
from provisioning.planner.refusals import UnknownModel


def planner_catalogue() -> Catalogue:
    """What the planner chooses from: the shipped tables, operators' imports over them, and registered base models."""
    imported = CatalogueRow.objects.filter(is_current=True).order_by("pk").values_list("table", "texts")
    shipped = load_catalogue()
    models = dict(shipped.base_models)
    for name, config in FoundationModel.objects.order_by("pk").values_list("name", "config"):
        with suppress(UnknownModel):  # a family that the planner cannot count is no choice of it
            models[name] = read_base_model(name, config)
    rows = [row_from_texts(table, texts) for table, texts in imported]
    return Catalogue(shipped.rows, models).with_rows(rows)


def list_scenarios(*, tenant_ids: Collection[int] | None) -> QuerySet[Scenario]:
    """Kept scenarios, newest first."""
    return Scenario.objects.visible_to(tenant_ids).select_related("tenant").order_by("-pk")


def get_scenario(ref: str, *, tenant_ids: Collection[int] | None) -> Scenario:
    """A kept scenario by its public id. Raises NotFound, also when it is another tenant's."""
    found = list_scenarios(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if found is None:
        raise NotFound(f"There is no scenario {ref}.")
    return found
