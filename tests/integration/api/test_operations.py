"""Operations, resources and runtime configs over REST."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from provisioning.models import Operation
from tests.factories import make_tenant
from tests.integration.api.client import Caller, caller, refused
from tests.integration.api.making import make_config, make_operation, make_resource

pytestmark = pytest.mark.django_db


@pytest.fixture
def ops() -> Caller:
    return caller()


def test_an_operation_says_which_step_is_stuck_why_and_what_to_do(ops: Caller) -> None:
    tenant = make_tenant(slug="acme")
    operation = make_operation(tenant)
    [listed] = ops.get("operations?tenant=acme&state=failed").json()["data"]
    assert listed == ops.get(f"operations/{operation.public_id}").json()
    assert (listed["kind"], listed["state"], listed["available_actions"]) == (
        "onboard", "failed", ["retry", "switch", "cancel"],
    )  # fmt: skip
    [step] = listed["steps"]
    assert (step["state"], step["resource"]["stuck_reason"]) == ("stuck", "quota")
    assert step["resource"]["aws_request_id"] == "aws-request-1"
    assert "quota" in step["resource"]["what_to_do"]
    assert ops.get("operations?tenant=acme&state=running").json()["data"] == []


def test_a_failed_operation_is_retried_once(ops: Caller) -> None:
    operation = make_operation(make_tenant())
    path = f"operations/{operation.public_id}/retry"
    refused(ops.post(path, idempotency_key=None), 400, "idempotency_key_missing")
    response = ops.post(path)
    assert (response.status_code, response.json()["state"]) == (202, "running"), response.content
    assert response["Location"] == f"/api/v1/operations/{operation.public_id}"
    Operation.objects.update(state="succeeded")
    refused(ops.post(path), 409, "operation_not_retryable")


def test_resources_are_listed_by_tenant_and_found_by_name(ops: Caller) -> None:
    mine = make_resource(make_tenant(slug="acme"))
    make_resource(make_tenant())
    [row] = ops.get("resources?tenant=acme").json()["data"]
    assert (row["id"], row["stuck_reason"], row["phase"]) == (mine.public_id, "quota", "wished")
    assert ops.get(f"resources/{mine.name}").json() == row
    assert len(ops.get("resources").json()["data"]) == 2
    own = caller("operations.view", tenant_id=mine.tenant_id)
    assert [found["id"] for found in own.get("resources").json()["data"]] == [mine.public_id]


def test_versions_of_a_runtime_config_are_listed_and_compared(ops: Caller) -> None:
    tenant = make_tenant(slug="acme")
    make_config(tenant), make_config(tenant)
    listed = ops.get("tenants/acme/runtime-configs").json()["data"]
    assert [row["version"] for row in listed] == [2, 1]
    assert listed[0]["document"]["routes"]["support"]["version_number"] == 2
    compared = ops.get("tenants/acme/runtime-configs/diff?before=1&after=2").json()
    assert {"path": "/routes/support/version_number", "before": 1, "after": 2} in compared["changes"]
    assert {change["path"].rsplit("/", 1)[1] for change in compared["changes"]} == {
        "version_number",
        "adapter_version",
        "component",
    }
    refused(ops.get("tenants/acme/runtime-configs/diff?before=1&after=9"), 404, "not_found")
    refused(ops.get("tenants/acme/runtime-configs/diff?before=1"), 400, "invalid_parameter")
    refused(ops.get("tenants/acme/runtime-configs/diff?before=0&after=x"), 400, "invalid_parameter")


@pytest.mark.parametrize("path", ["operations", "resources", "tenants/acme/runtime-configs"])
def test_lists_cost_the_same_queries_whatever_their_length(ops: Caller, path: str) -> None:
    tenant = make_tenant(slug="acme")

    def cost() -> int:
        make_operation(make_tenant())
        make_config(tenant)
        with CaptureQueriesContext(connection) as queries:
            assert ops.get(path).status_code == 200
        return len(queries)

    cost()
    few = cost()
    assert [cost() for _ in range(3)] == [few] * 3
    assert few <= 5
