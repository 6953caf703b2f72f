"""The OpenAPI document: valid, without a warning, and complete."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator

from api.schema import document


def test_the_document_is_valid_and_was_made_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


@pytest.fixture
def operations() -> dict[str, dict[str, object]]:
    paths = document()["paths"]
    return {f"{method.upper()} {path}": said for path, methods in paths.items() for method, said in methods.items()}


def test_every_operation_says_what_it_needs(operations: dict[str, dict[str, object]]) -> None:
    assert len(operations) > 10
    names = [said["operationId"] for said in operations.values()]
    assert len(names) == len(set(names))
    for address, said in operations.items():
        assert said["summary"], address
        assert said["x-required-scope"], address
        assert said["security"] == [{"apiKey": []}], address
        assert {"4XX", "5XX"} < set(said["responses"]), address  # type: ignore[call-overload]


def test_headers_that_an_operation_requires_are_in_the_document(operations: dict[str, dict[str, object]]) -> None:
    said = operations["POST /api/v1/tenants/{tenant}/offboard"]
    headers = {p["name"] for p in said["parameters"] if p["in"] == "header" and p["required"]}  # type: ignore[attr-defined]
    assert headers == {"Idempotency-Key", "If-Match"}


def test_anybody_may_read_it() -> None:
    response = Client().get("/api/v1/openapi.json")
    assert response.status_code == 200
    assert response.json()["openapi"].startswith("3.1")
    assert Client().post("/api/v1/openapi.json").status_code == 405


def test_every_operation_has_an_example_that_is_what_its_schema_promises(
    operations: dict[str, dict[str, object]],
) -> None:
    """Examples are read more than schemas, so they must not lie."""
    without, wrong = [], []
    for address, said in operations.items():
        contents = [(said.get("requestBody") or {}).get("content", {})]  # type: ignore[attr-defined]
        contents += [reply.get("content", {}) for s, reply in said["responses"].items() if s.startswith("2")]  # type: ignore[attr-defined]
        shown = 0
        for content in contents:
            for described in content.values():
                examples = [each["value"] for each in described.get("examples", {}).values()]
                examples += [described["example"]] if "example" in described else []
                shown += len(examples)
                for example in examples:
                    wrong += [f"{address} {each}" for each in problems(described["schema"], example)]
        if not shown and any(contents):
            without.append(address)
    assert (without, wrong) == ([], [])


def problems(schema: dict[str, object], example: object) -> list[str]:
    """What is wrong with the example, in the document that holds what its schema refers to."""
    if schema.get("format") == "binary":
        return []
    whole = {**schema, "components": document()["components"]}
    return [f"{each.json_path}: {each.message}" for each in Draft202012Validator(whole).iter_errors(example)]
