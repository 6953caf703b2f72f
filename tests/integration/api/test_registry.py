"""Approving, comparing, retiring, importing, and what served when, as a program sees it."""

import csv
import io
import json

import pytest

from accounts.services import issue_api_key
from core import clock
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.releases import record_live, release_version
from models_registry.states import Approval
from tests.factories import TESTER, make_tenant
from tests.integration.api.client import Caller, refused
from tests.integration.api.making import make_adapter, make_version

pytestmark = pytest.mark.django_db
SCOPES = ["adapters.view", "adapters.upload", "adapters.release", "adapters.approve"]


@pytest.fixture
def team() -> Caller:
    """A key of the operating team."""
    return Caller(issue_api_key(name="team", scopes=SCOPES, actor=TESTER)[1])


@pytest.fixture
def version() -> AdapterVersion:
    return make_version(make_tenant())


def test_a_version_is_approved_rejected_archived_and_restored(team: Caller, version: AdapterVersion) -> None:
    AdapterVersion.objects.filter(pk=version.pk).update(approval=Approval.PENDING)
    path = f"adapter-versions/{version.public_id}"
    assert "release" not in team.call("GET", path).json()["available_actions"]
    approved = team.call("POST", f"{path}/approve", {"reason": "Read."}).json()
    assert approved["approval"]["state"] == "approved" and approved["approval"]["by"] == "team"
    assert "release" in approved["available_actions"]
    assert team.call("POST", f"{path}/reject", {"reason": "No."}).json()["approval"]["reason"] == "No."
    refused(team.call("POST", f"{path}/release", {}), 409, "version_not_approved")
    assert team.call("POST", f"{path}/archive", {}).json()["state"] == "archived"
    assert team.call("POST", f"{path}/restore", {}).json()["state"] == "ready"
    refused(team.call("POST", f"{path}/approve", {}), 422, "invalid_body")


def test_a_tenants_own_key_approves_nothing(version: AdapterVersion) -> None:
    own = Caller(issue_api_key(name="own", scopes=["adapters.view"], tenant_id=version.tenant_id, actor=TESTER)[1])
    refused(
        own.call("POST", f"adapter-versions/{version.public_id}/approve", {"reason": "x"}), 403, "permission_missing"
    )


def test_a_retirement_is_planned_with_a_replacement_and_taken_back(team: Caller, version: AdapterVersion) -> None:
    path, other = f"adapter-versions/{version.public_id}/retirement", make_version(version.tenant)
    plan = {"retires_at": "2099-01-01T00:00:00Z", "replacement": other.public_id, "reason": "Base ends."}
    planned = team.call("PUT", path, plan).json()["retirement"]
    assert (planned["replacement"]["id"], planned["reason"]) == (other.public_id, "Base ends.")
    refused(team.call("PUT", path, {"retires_at": "2001-01-01T00:00:00Z"}), 422, "retirement_invalid")
    stranger = make_version(make_tenant())
    refused(team.call("PUT", path, {**plan, "replacement": stranger.public_id}), 404, "not_found")
    assert team.call("DELETE", path).json()["retirement"] is None


def test_versions_of_other_adapters_are_not_compared(team: Caller, version: AdapterVersion) -> None:
    path = f"adapter-versions/{version.public_id}/compare"
    same = team.call("GET", path).json()
    assert same["is_same_content"] and same["before"] == same["after"]
    stranger = make_version(make_tenant())
    refused(team.call("GET", f"{path}?before={stranger.public_id}"), 404, "not_found")


def test_lists_are_narrowed_and_wrong_filters_are_told(team: Caller, version: AdapterVersion) -> None:
    adapter = version.adapter.public_id
    team.call("PATCH", f"adapters/{adapter}", {"tags": {"team": "support"}, "description": "Answers."})
    listed = team.call("GET", "adapters?tag=team:support&state=empty&has_live=false").json()["data"]
    assert [(each["id"], each["tags"], each["description"]) for each in listed] == [
        (adapter, {"team": "support"}, "Answers.")
    ]
    assert team.call("GET", "adapters?has_live=true").json()["data"] == []
    refused(team.call("GET", "adapters?tag=team"), 400, "invalid_parameter")
    refused(team.call("GET", f"adapters/{adapter}/versions?metric=f1"), 400, "invalid_parameter")
    assert team.call("GET", f"adapters/{adapter}/versions?metric=f1>=0.5&uploader=tester").json()["data"] == []
    refused(team.call("PATCH", f"adapters/{adapter}", {"tags": {"Not A Key": "x"}}), 422, "adapter_invalid")


def test_an_import_outside_the_allowed_places_is_refused(team: Caller, version: AdapterVersion) -> None:
    path = f"adapters/{version.adapter.public_id}/imports"
    refused(team.call("POST", path, {"uri": "s3://elsewhere/a.tar.gz"}), 422, "import_invalid")
    uri = f"s3://controlplane-local-artifacts/incoming/{version.tenant.slug}/a.tar.gz"
    taken = team.call("POST", path, {"uri": uri, "training_job": "run-7"})
    assert taken.status_code == 202
    assert (taken.json()["state"], taken.json()["source_uri"]) == ("importing", uri)


def test_a_policy_for_approvals_from_outside_is_set_with_a_reason(team: Caller, version: AdapterVersion) -> None:
    path = f"adapters/{version.adapter.public_id}/approval-policy"
    said = team.call("PUT", path, {"outside_approvals": "accept", "reason": "Our pipeline."})
    assert said.json()["outside_approvals"] == "accept"
    refused(team.call("PUT", path, {"outside_approvals": "always", "reason": "x"}), 422, "invalid_body")


def test_history_is_a_file_and_the_instant_an_answer(team: Caller) -> None:
    tenant = make_tenant()
    release = release_version(version_id=make_version(tenant).pk, reason="=1+1", actor=TESTER)
    record_live(release_ids=[release.pk], at=clock.now(), actor=TESTER)
    adapter = make_adapter(tenant)
    Adapter.objects.filter(pk=adapter.pk).update(created_at=clock.now().replace(year=2025))
    answer = team.call("GET", f"tenants/{tenant.public_id}/history?format=csv")
    text = b"".join(answer.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(row["gap"], row["version_number"], row["reason"]) for row in rows] == [
        ("not_released", "", ""),
        ("", "1", "'=1+1"),
    ]
    assert 'filename="' in answer["Content-Disposition"]
    answer = team.call("GET", f"adapters/{adapter.public_id}/history?start=2025-01-01T00:00:00Z")
    data = json.loads(b"".join(answer.streaming_content))["data"]
    assert [row["gap"] for row in data] == ["not_released", None]
    then = team.call("GET", f"tenants/{tenant.public_id}/served-at?at=2025-12-31T00:00:00Z").json()
    assert [(each["adapter"]["name"], each["served"], each["gap"]) for each in then["adapters"]] == [
        ("support", None, "not_released")
    ]
