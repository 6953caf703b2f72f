"""Tenants over REST, end to end, as a billing system meets them."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from events.models import Event
from tenants.models import Tenant
from tenants.services.onboarding import activate_tenant, begin_provisioning
from tests.factories import TESTER, make_tenant, make_tier
from tests.integration.api.client import Caller, caller, refused

pytestmark = pytest.mark.django_db

ACME: dict[str, Any] = {
    "name": "Acme Corp",
    "slug": "acme",
    "tier": "basic",
    "currency": "JPY",
    "billing_timezone": "Asia/Tokyo",
    "external_id": "CRM-42",
    "tags": {"env": "prod"},
}


@pytest.fixture
def ops() -> Caller:
    make_tier()
    return caller()


def active_tenant(**details: Any) -> Tenant:
    tenant = make_tenant(**details)
    begin_provisioning(tenant_id=tenant.pk, actor=TESTER)
    return activate_tenant(tenant_id=tenant.pk, actor=TESTER)


def test_onboarding_answers_with_the_tenant_and_where_to_read_on(ops: Caller) -> None:
    response = ops.post("tenants", ACME, headers={"X-Request-ID": "billing-0001"})
    assert response.status_code == 201, response.content
    tenant = response.json()
    assert tenant["id"].startswith("ten_")
    assert tenant["state"] == "signed_up"
    assert tenant["tier"] == {"key": "basic", "name": "Basic", "version": 1}
    assert tenant["created_at"].endswith("Z")
    assert tenant["available_actions"] == ["update", "offboard"]
    assert tenant["links"]["operations"] == f"/api/v1/operations?tenant={tenant['id']}"
    assert (response["Location"], response["ETag"]) == (f"/api/v1/tenants/{tenant['id']}", '"v1"')
    assert response["X-Request-ID"] == "billing-0001"
    event = Event.objects.get(name="tenant.signed_up")
    assert (event.actor_kind, event.actor_name, event.request_id) == ("api_key", "tests", "billing-0001")


@pytest.mark.parametrize("ref", ["{id}", "acme", "ext:CRM-42"])
def test_a_tenant_is_found_by_each_of_its_names(ops: Caller, ref: str) -> None:
    made = ops.post("tenants", ACME).json()
    response = ops.get(f"tenants/{ref.format(id=made['id'])}")
    assert (response.status_code, response["ETag"]) == (200, '"v1"')
    assert response.json() == made


def test_the_life_of_a_tenant(ops: Caller) -> None:
    tenant = active_tenant(slug="acme")
    assert ops.get("tenants/acme").json()["available_actions"] == ["update", "suspend", "offboard"]

    suspended = ops.post("tenants/acme/suspend", {"reason": "overdue"})
    assert (suspended.status_code, suspended.json()["state"]) == (200, "suspended")
    assert suspended.json()["available_actions"] == ["update", "resume", "offboard"]
    assert ops.post("tenants/acme/resume").json()["state"] == "active"

    refused(ops.post("tenants/acme/offboard", {"reason": "left"}), 428, "precondition_required")
    refused(ops.post("tenants/acme/offboard", {"reason": "left"}, if_match='"v1"'), 412, "precondition_failed")
    left = ops.post("tenants/acme/offboard", {"reason": "left"}, if_match=ops.get("tenants/acme")["ETag"])
    assert (left.status_code, left.json()["state"], left.json()["available_actions"]) == (
        202,
        "offboarding",
        ["update"],
    )
    steps = ops.get(left["Location"]).json()["steps"]
    assert [(step["key"], step["done_at"]) for step in steps] == [
        ("access", None),
        ("registry", None),
        ("resources", None),
        ("final_invoice", None),
        ("artifacts", None),
    ]
    names = list(Event.objects.filter(tenant_ref=tenant.public_id).order_by("pk").values_list("name", flat=True))
    assert names[-3:] == ["tenant.suspended", "tenant.resumed", "tenant.offboarding_started"]


def test_a_suspension_that_makes_no_sense_is_refused(ops: Caller) -> None:
    make_tenant(slug="acme")
    refused(ops.post("tenants/acme/suspend", {"reason": "overdue"}), 409, "tenant_not_running")
    assert Tenant.objects.get().state == "signed_up"


def test_details_change_only_from_the_version_that_was_read(ops: Caller) -> None:
    make_tenant(slug="acme", name="Acme")
    refused(ops.patch("tenants/acme", {"name": "New"}), 428, "precondition_required")
    first = ops.patch("tenants/acme", {"name": "New"}, if_match='"v1"')
    assert (first.status_code, first["ETag"], first.json()["name"]) == (200, '"v2"', "New")
    refused(ops.patch("tenants/acme", {"name": "Newer"}, if_match='"v1"'), 412, "precondition_failed")
    assert Tenant.objects.get().name == "New"
    assert ops.patch("tenants/acme", {"name": "Newer"}, if_match="*").json()["name"] == "Newer"


def test_what_the_contract_fixes_cannot_be_changed(ops: Caller) -> None:
    make_tenant(slug="acme")
    for field, value in {"slug": "other", "currency": "EUR", "state": "active", "id": "ten_x", "version": 9}.items():
        problem = refused(ops.patch("tenants/acme", {field: value}, if_match='"v1"'), 422, "invalid_body")
        assert [(e["pointer"], e["code"]) for e in problem["errors"]] == [(f"/{field}", "unknown_field")]
    tenant = Tenant.objects.get()
    assert (tenant.slug, tenant.version) == ("acme", 1)


def test_taken_names_are_refused_and_nothing_is_written(ops: Caller) -> None:
    ops.post("tenants", ACME)
    refused(ops.post("tenants", {**ACME, "external_id": None}), 409, "slug_taken")
    refused(ops.post("tenants", {**ACME, "slug": "acme2"}), 409, "external_id_taken")
    refused(ops.post("tenants", {**ACME, "slug": "acme3", "external_id": None, "tier": "gold"}), 404, "not_found")
    assert Tenant.objects.count() == 1


def test_a_tenants_own_key_reads_itself_and_nobody_else() -> None:
    mine, _theirs = make_tenant(slug="mine"), make_tenant(slug="theirs")
    tenant = caller("tenants.view", tenant_id=mine.pk)
    assert [row["slug"] for row in tenant.get("tenants").json()["data"]] == ["mine"]
    assert tenant.get("tenants/mine").json()["available_actions"] == []
    hidden = refused(tenant.get("tenants/theirs"), 404, "not_found")
    absent = refused(tenant.get("tenants/absent"), 404, "not_found")
    assert hidden["detail"].replace("theirs", "absent") == absent["detail"]


def test_lists_are_filtered_and_walked_page_by_page(ops: Caller) -> None:
    for number in range(7):
        make_tenant(name=f"Page {number}", slug=f"page-{number}")
    make_tenant(slug="other", tier_key="premium")
    seen, path = [], "/api/v1/tenants?limit=3&q=page"
    while path:
        response = ops.get(path)
        page = response.json()
        assert page["has_more"] is (page["next_cursor"] is not None) is ("Link" in response)
        seen += [row["slug"] for row in page["data"]]
        path = response["Link"].split(">")[0].removeprefix("<http://testserver") if page["has_more"] else ""
    assert seen == [f"page-{number}" for number in reversed(range(7))]
    assert [row["slug"] for row in ops.get("tenants?tier=premium").json()["data"]] == ["other"]
    assert ops.get("tenants?state=active").json() == {"data": [], "next_cursor": None, "has_more": False}


def test_a_cursor_serves_its_own_list_reader_and_filters_only(ops: Caller) -> None:
    mine = make_tenant()
    make_tenant(), make_tenant()
    cursor = ops.get("tenants?limit=1").json()["next_cursor"]
    assert ops.get(f"tenants?limit=2&cursor={cursor}").status_code == 200
    tenant = caller("tenants.view", tenant_id=mine.pk)
    for response in (
        ops.get(f"tenants?state=active&cursor={cursor}"),
        ops.get(f"tiers?cursor={cursor}"),
        tenant.get(f"tenants?cursor={cursor}"),
        ops.get("tenants?cursor=WyItaWQiLCIxIiwxXQ"),
        ops.get("tenants?cursor=%00"),
    ):
        assert response.status_code == 400
        assert response.json()["code"] in ("invalid_cursor", "invalid_parameter")


@pytest.mark.parametrize("path", ["tenants", "tiers", "events", "api-keys"])
def test_a_list_costs_the_same_queries_whatever_its_length(ops: Caller, path: str) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ops.get(path).status_code == 200
        return len(queries)

    make_tenant(tier_key="basic")
    cost()  # the key's last use is written now and not again within the minute
    short = cost()
    for number in range(10):
        tenant = make_tenant(tier_key=f"tier-{number}")
        caller("tenants.view", tenant_id=tenant.pk)
    assert cost() == short <= 3
