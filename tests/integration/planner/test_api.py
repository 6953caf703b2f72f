"""Scenarios over REST."""

from typing import Any

import pytest

from api.scenarios import INPUTS_EXAMPLE
from events.models import Event
from provisioning.models import Scenario
from tests.factories import make_tenant
from tests.integration.api.client import caller, refused

pytestmark = pytest.mark.django_db


def test_evaluating_keeps_nothing_and_says_who_runs_out_of_capacity() -> None:
    response = caller().post("scenarios/evaluate", INPUTS_EXAMPLE)
    assert response.status_code == 200, response.content
    found = response.json()
    assert "runs out of capacity first" in found["verdict"] and "先に処理能力が尽きます" in found["verdict_ja"]
    planned = found["options"][1]
    assert (planned["annual_usd"], planned["capacity_requests_per_year"]) == ("49003.53", 35836364)
    assert {each["with"]: each["within_capacity"] for each in planned["break_even"]}["api:llama-3-1-70b"] is False
    assert not Scenario.objects.exists()


def test_a_kept_scenario_is_answered_at_the_prices_of_today() -> None:
    tenant = make_tenant()
    body = {"name": "Beta", "tenant": tenant.slug, **INPUTS_EXAMPLE}
    made = caller().post("scenarios", body)
    assert made.status_code == 201, made.content
    assert made["Location"] == f"/api/v1/scenarios/{made.json()['id']}"
    read = caller().get(f"scenarios/{made.json()['id']}").json()
    assert read == made.json()
    assert (read["tenant"], read["inputs"]["tokens_in"]) == (tenant.public_id, "307")
    assert [each["id"] for each in caller().get("scenarios").json()["data"]] == [read["id"]]


def test_the_same_key_keeps_one_scenario() -> None:
    body = {"name": "Once", **INPUTS_EXAMPLE}
    client = caller()
    first, second = (client.post("scenarios", body, idempotency_key="one") for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert Scenario.objects.count() == 1


def test_a_kept_scenario_is_deleted_by_whoever_may_keep_one() -> None:
    kept = caller().post("scenarios", {"name": "Gone soon", **INPUTS_EXAMPLE}).json()["id"]
    assert caller("scenarios.view").call("DELETE", f"scenarios/{kept}").status_code == 403
    assert caller().call("DELETE", f"scenarios/{kept}").status_code == 204
    assert not Scenario.objects.exists()
    assert Event.objects.get(name="scenario.deleted").before["name"] == "Gone soon"
    refused(caller().call("DELETE", f"scenarios/{kept}"), 404, "not_found")


def test_comparing_takes_kept_and_other_scenarios() -> None:
    kept = caller().post("scenarios", {"name": "Kept", **INPUTS_EXAMPLE}).json()["id"]
    other = {**INPUTS_EXAMPLE, "requests_per_year": 3_000_000}
    found = caller().post("scenarios/compare", {"saved": [kept], "scenarios": [other]}).json()["answers"]
    assert [each["scenario"]["requests_per_year"] for each in found] == [30_000_000, 3_000_000]
    refused(caller().post("scenarios/compare", {"saved": [kept]}), 422, "invalid_body")
    refused(caller().post("scenarios/compare", {"saved": [kept, "scn_none"]}), 404, "not_found")


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"tokens_in": 0}, "impossible_scenario", "tokens_in has to be from 1"),
        ({"context_tokens": 500}, "impossible_scenario", "context of 500"),
        ({"hosted": ["Llama-3.1-70B-Instruct:int4:ml.g5.1"]}, "unknown_instance", "ml.g5.1"),
        ({"apis": ["gpt"]}, "unknown_api", "gpt"),
        ({"colour": "red"}, "invalid_body", "/colour"),
    ],
)
def test_bad_input_is_a_problem_that_says_what_would_do(changes: dict[str, Any], code: str, words: str) -> None:
    problem = refused(caller().post("scenarios/evaluate", {**INPUTS_EXAMPLE, **changes}), 422, code)
    assert words in problem["detail"] + str(problem["errors"])
    if code == "unknown_instance":
        assert "The smallest that would do in us-west-2 is" in problem["hint"]


def test_what_fits_nowhere_is_an_answer_and_not_an_error() -> None:
    found = (
        caller()
        .post("scenarios/evaluate", {**INPUTS_EXAMPLE, "hosted": ["Llama-3.1-70B-Instruct:fp32:ml.g5.xlarge"]})
        .json()
    )
    assert found["cheapest_hosted"] is None and found["adapters"] is None
    assert "weights need" in found["refusals"][0]["detail"]
    assert "smallest that would do" in found["refusals"][0]["hint"]
