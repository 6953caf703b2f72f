"""Approving, comparing, retiring, importing, and what served when, as a program sees it."""

import csv
import io
import json
from typing import Any

import pytest

from accounts.models import ApiKey
from accounts.roles import ALL_PERMISSIONS
from accounts.services import issue_api_key
from core import clock
from models_registry.models import Adapter, AdapterVersion, Release
from models_registry.services.releases import record_live, release_version
from models_registry.states import Approval
from tests.factories import TESTER, make_tenant
from tests.integration.api.client import Caller, refused
from tests.integration.api.making import make_adapter, make_release, make_upload, make_version

pytestmark = pytest.mark.django_db
NEW_YEAR = "/served-at?at=2026-01-01T00:00:00Z"
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


def test_another_tenants_adapters_are_neither_seen_nor_released_nor_guessed(settings: Any) -> None:
    """By no id, slug, name or sha256, in no place that takes one; the answer is that to what does not exist."""
    settings.ENV = settings.ENV.model_copy(update={"import_sources": ["s3://artifacts/", "s3://drop/{tenant}/"]})
    mine, theirs, released = make_version(make_tenant()), make_version(make_tenant()), make_release(make_tenant())
    upload = make_upload(theirs.tenant)
    key, plaintext = issue_api_key(name="mine", scopes=["adapters.view"], tenant_id=mine.tenant_id, actor=TESTER)
    ApiKey.objects.filter(pk=key.pk).update(scopes=sorted(ALL_PERMISSIONS))
    me = Caller(plaintext)
    nobodys = {"adp": "adp_0000000000000000", "adv": "adv_0000000000000000", "rel": "rel_0", "upl": "upl_0"}
    ids = {"adp": theirs.adapter.public_id, "adv": theirs.public_id, "rel": released.public_id, "upl": upload.public_id}

    def answer(method: str, path: str, body: Any = None) -> tuple[int, str]:
        reply = me.call(method, path, body, if_match="*")
        return reply.status_code, reply.json()["code"]

    asked = [
        *(("GET", f"adapters/{{adp}}{what}", None) for what in ("", "/versions", "/uploads", "/history", "/shares")),
        *(("GET", f"adapters/{{adp}}{what}", None) for what in ("/releases", "/timeline", NEW_YEAR)),
        *(("POST", f"adapters/{{adp}}/{what}", {"reason": "x"}) for what in ("roll-back", "withdraw")),
        *(("GET", f"adapter-versions/{{adv}}{what}", None) for what in ("", "/compare")),
        *(("POST", f"adapter-versions/{{adv}}/{what}", {"reason": "x"}) for what in ("release", "approve", "archive")),
        ("GET", "releases/{rel}", None),
        *(("GET", f"adapter-uploads/{{upl}}{what}", None) for what in ("", "/parts")),
    ]
    for method, path, body in asked:
        for named in (ids, dict.fromkeys(ids, theirs.sha256), dict.fromkeys(ids, theirs.adapter.name), nobodys):
            assert answer(method, path.format(**named), body) == (404, "not_found"), path.format(**named)
    for ref in (theirs.public_id, theirs.sha256, nobodys["adv"]):
        back = {"reason": "x", "to_version": ref[:40]}
        assert answer("POST", f"adapters/{mine.adapter.public_id}/roll-back", back) == (404, "not_found")
        path = f"adapter-versions/{mine.public_id}/compare?before={ref[:40]}"
        assert answer("GET", path) == (404, "not_found")
        plan = {"retires_at": "2099-01-01T00:00:00Z", "replacement": ref[:40], "reason": "x"}
        assert answer("PUT", f"adapter-versions/{mine.public_id}/retirement", plan) == (404, "not_found")
    for uri in (f"s3://artifacts/{theirs.artifact_key}", f"s3://drop/{theirs.tenant.public_id}/a.tar.gz"):
        said = me.call("POST", f"adapters/{mine.adapter.public_id}/imports", {"uri": uri})
        assert (said.status_code, said.json()["code"]) == (422, "import_invalid")
        assert theirs.tenant.public_id not in said.content.decode().replace(uri, "")
    for question in ("", f"?q={theirs.sha256}", f"?q={theirs.public_id}", f"?q={theirs.tenant.slug}", "?q=support"):
        listed = me.call("GET", f"adapters{question}").json()["data"]
        assert {each["id"] for each in listed} <= {mine.adapter.public_id}, question
    told = me.call("GET", f"adapter-versions/{mine.public_id}").json()
    assert told["sha256"] == theirs.sha256 and not any(f["code"] == "duplicate_content" for f in told["findings"])
    assert Release.objects.count() == 1 and not Release.objects.exclude(pk=released.pk).exists()
