"""API keys and the audit feed over REST."""

from datetime import timedelta
from pathlib import Path

import pytest

from accounts.models import ApiKey
from accounts.services import issue_api_key
from core import clock
from tests.factories import TESTER, make_tenant, make_tier
from tests.integration.api.client import Caller, caller, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Caller:
    make_tier()
    return caller()


def test_a_key_is_shown_once_and_works(admin: Caller) -> None:
    tenant = make_tenant(external_id="CRM-42")
    wanted = {"name": "crm", "scopes": ["tenants.view"], "tenant": "ext:CRM-42"}
    response = admin.post("api-keys", wanted)
    issued = response.json()
    assert response.status_code == 201, response.content
    assert response["Location"] == f"/api/v1/api-keys/{issued['id']}"
    assert (issued["tenant"], issued["scopes"]) == (tenant.public_id, ["tenants.view"])
    assert [row["id"] for row in Caller(issued["key"]).get("tenants").json()["data"]] == [tenant.public_id]

    read = admin.get(response["Location"]).json()
    assert "key" not in read
    assert read["last_used_at"] is not None
    assert issued["key"] not in admin.get("api-keys").content.decode()
    assert [row["id"] for row in admin.get(f"api-keys?tenant={tenant.slug}").json()["data"]] == [issued["id"]]


def test_a_revoked_key_is_refused_from_the_next_request_on(admin: Caller) -> None:
    issued = admin.post("api-keys", {"name": "crm", "scopes": ["tenants.view"]}).json()
    holder = Caller(issued["key"])
    assert holder.get("tenants").status_code == 200
    revoked = admin.post(f"api-keys/{issued['id']}/revoke", {"reason": "leaked"}).json()
    assert (revoked["revoked_reason"], revoked["available_actions"]) == ("leaked", [])
    refused(holder.get("tenants"), 401, "api_key_revoked")


def test_an_expired_key_is_refused(clock_file: Path) -> None:
    _, plaintext = issue_api_key(
        name="x", scopes=["tenants.view"], expires_at=clock.now() + timedelta(minutes=1), actor=TESTER
    )
    assert Caller(plaintext).get("tenants").status_code == 200
    clock_file.write_text("61")
    refused(Caller(plaintext).get("tenants"), 401, "api_key_expired")


def test_nobody_mints_a_key_with_more_than_their_own_scopes(admin: Caller) -> None:
    issuer = caller("keys.manage", "usage.view")
    before = ApiKey.objects.count()
    problem = refused(
        issuer.post("api-keys", {"name": "x", "scopes": ["usage.view", "invoices.void"]}), 403, "scope_not_grantable"
    )
    assert "invoices.void" in problem["detail"]
    assert ApiKey.objects.count() == before
    assert issuer.post("api-keys", {"name": "x", "scopes": ["usage.view"]}).status_code == 201


def test_a_tenants_key_cannot_reach_beyond_it(admin: Caller) -> None:
    tenant = make_tenant()
    problem = refused(
        admin.post("api-keys", {"name": "x", "scopes": ["tenants.manage"], "tenant": tenant.public_id}),
        422,
        "invalid_api_key",
    )
    assert [(e["pointer"], e["code"]) for e in problem["errors"]] == [("/scopes", "operator_scope")]


def test_the_audit_feed_tells_who_did_what_by_which_request(admin: Caller) -> None:
    body = {"name": "Acme", "slug": "acme", "tier": "basic"}
    made = admin.post("tenants", body, headers={"X-Request-ID": "from-billing-1"}).json()
    make_tenant()
    [event] = admin.get("events?request_id=from-billing-1").json()["data"]
    assert event["name"] == "tenant.signed_up"
    assert (event["tenant"], event["subject"]) == (made["id"], made["id"])
    assert (event["actor"]["kind"], event["actor"]["name"]) == ("api_key", "tests")
    assert event["id"].startswith("evt_")
    assert len(admin.get("events?tenant=acme").json()["data"]) == 1
    assert [row["name"] for row in admin.get("events?name=api_key.issued").json()["data"]] == ["api_key.issued"]
    assert admin.get(f"events?subject={made['id']}").json()["data"] == [event]
    refused(admin.get("events?tenant=absent"), 404, "not_found")
    refused(caller("tenants.view").get("events"), 403, "permission_missing")
