"""Kept scenarios and imported prices, in PostgreSQL."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError

from events.queries import search_events
from provisioning.models import CatalogueRow, Scenario
from provisioning.planner.catalogue import write_table
from provisioning.planner.presets import PUBLISHED_EXAMPLE, load_presets
from provisioning.planner.refusals import ImpossibleScenario, InvalidCatalogue
from provisioning.queries import get_scenario, list_scenarios, planner_catalogue
from provisioning.services.scenarios import delete_scenario, import_catalogue, preview_catalogue, save_scenario
from tests.factories import TESTER, make_tenant
from tests.integration.api.making import make_profile
from tests.unit.planner.making import CATALOGUE, TODAY

pytestmark = pytest.mark.django_db
EXAMPLE = dict(load_presets()[PUBLISHED_EXAMPLE].scenario)
PRICES = write_table("api_prices", CATALOGUE.rows["api_prices"].values())


def keep(**options: Any) -> Scenario:
    """A kept published example."""
    return save_scenario(**{"tenant_id": None, "name": "Example", "inputs": EXAMPLE, "actor": TESTER, **options})


def test_a_scenario_is_kept_with_its_inputs_and_told_in_the_audit_trail() -> None:
    kept = keep(name="  Example ")
    assert (kept.name, kept.saved_by) == ("Example", "tester")
    assert kept.inputs["requests_per_year"] == 30_000_000
    assert get_scenario(kept.public_id, tenant_ids=None) == kept
    assert search_events(tenant_ids=None, name="scenario.saved").get().subject_ref == kept.public_id


@pytest.mark.parametrize("wrong", [{"name": " "}, {"inputs": {**EXAMPLE, "tokens_in": 0}}, {"name": "x" * 121}])
def test_what_cannot_be_planned_is_not_kept(wrong: dict[str, Any]) -> None:
    with pytest.raises(ImpossibleScenario):
        keep(**wrong)
    assert not Scenario.objects.exists()
    assert not search_events(tenant_ids=None, name="scenario.saved").exists()


def test_a_tenants_scenario_is_seen_by_those_who_see_the_tenant() -> None:
    owner, other = make_tenant(), make_tenant()
    of_owner, of_nobody = keep(tenant_id=owner.pk), keep()
    assert list(list_scenarios(tenant_ids=None)) == [of_nobody, of_owner]
    assert list(list_scenarios(tenant_ids=[owner.pk])) == [of_owner]
    assert not list_scenarios(tenant_ids=[other.pk]).exists()


def test_deleting_leaves_the_inputs_in_the_audit_trail_and_is_repeatable() -> None:
    kept = keep()
    for _ in range(2):
        delete_scenario(scenario_id=kept.pk, actor=TESTER)
    assert not Scenario.objects.exists()
    assert search_events(tenant_ids=None, name="scenario.deleted").get().before["inputs"] == kept.inputs


def test_an_import_goes_before_the_shipped_price_and_says_where_it_is_from() -> None:
    text = PRICES.replace("Claude 3 Haiku,0.25", "Claude 3 Haiku,0.30")
    assert [change.key for change in preview_catalogue(table="api_prices", text=text)] == ["claude-3-haiku/2024-10-22"]
    assert not CatalogueRow.objects.exists(), "a preview changes nothing"
    assert len(import_catalogue(table="api_prices", text=text, actor=TESTER)) == 1
    price = planner_catalogue().token_price("claude-3-haiku", TODAY)
    assert price.usd_per_million_tokens_in == Decimal("0.30")
    assert CatalogueRow.objects.get().imported_by == "tester"
    assert import_catalogue(table="api_prices", text=text, actor=TESTER) == []
    event = search_events(tenant_ids=None, name="catalogue.imported").get()
    assert event.before == {"claude-3-haiku/2024-10-22": {"usd_per_million_tokens_in": "0.25"}}


def test_a_later_import_keeps_the_earlier_row_as_history() -> None:
    for price in ("0.30", "0.40", "0.25"):
        import_catalogue(table="api_prices", text=PRICES.replace("Haiku,0.25", f"Haiku,{price}"), actor=TESTER)
    rows = CatalogueRow.objects.order_by("pk")
    assert [(row.texts["usd_per_million_tokens_in"], row.is_current) for row in rows] == [
        ("0.30", False), ("0.40", False), ("0.25", True),
    ]  # fmt: skip
    with pytest.raises(IntegrityError):
        rows.update(is_current=True)


@pytest.mark.parametrize(("table", "text"), [("api_prices", "rubbish"), ("tenants", PRICES)])
def test_a_table_that_cannot_be_read_changes_nothing(table: str, text: str) -> None:
    with pytest.raises(InvalidCatalogue):
        import_catalogue(table=table, text=text, actor=TESTER)
    assert not CatalogueRow.objects.exists()


def test_registered_base_models_can_be_planned() -> None:
    make_profile()
    assert "tiny-llama" in planner_catalogue().base_models
