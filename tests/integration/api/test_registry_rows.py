"""The registry's lists show rows from columns; they say of each row what reading it alone says."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import clock
from models_registry.models import AdapterVersion
from models_registry.queries import list_versions
from models_registry.services.releases import record_live, release_version, roll_back
from models_registry.states import Approval
from tests.factories import TESTER, make_tenant
from tests.integration.api.client import caller
from tests.integration.api.making import make_adapter, make_version

pytestmark = pytest.mark.django_db


def live(version: AdapterVersion) -> None:
    release = release_version(version_id=version.pk, reason="", actor=TESTER)
    record_live(release_ids=[release.pk], at=clock.now(), actor=TESTER)


def test_a_list_and_one_row_say_the_same() -> None:
    tenant, team = make_tenant(), caller()
    first, empty = make_version(tenant), make_adapter(make_tenant())
    later = make_version(tenant)
    live(first)
    plan = {"retires_at": "2099-01-01T00:00:00Z", "replacement": later.public_id, "reason": "Base ends."}
    assert team.call("PUT", f"adapter-versions/{first.public_id}/retirement", plan).status_code == 200
    AdapterVersion.objects.filter(pk=later.pk).update(
        approval=Approval.APPROVED, approval_by="a", approval_by_ref="a", approval_at=clock.now()
    )
    adapters = team.get("adapters").json()["data"]
    assert {row["id"] for row in adapters} == {first.adapter.public_id, empty.public_id}
    for row in adapters:
        assert row == team.get(f"adapters/{row['id']}").json()
    versions = team.get(f"adapters/{first.adapter.public_id}/versions").json()["data"]
    assert [row["id"] for row in versions] == [later.public_id, first.public_id]
    for row in versions:
        assert row == team.get(f"adapter-versions/{row['id']}").json()
    viewer = caller("adapters.view")
    assert viewer.get("adapters").json()["data"][0]["available_actions"] == []


def test_lists_walk_in_pages() -> None:
    tenant, team = make_tenant(), caller()
    made = [make_version(tenant).public_id for _ in range(3)]
    path = f"adapters/{list_versions(tenant_ids=None)[0].adapter.public_id}/versions?limit=2"
    page = team.get(path).json()
    rest = team.get(f"{path}&cursor={page['next_cursor']}").json()
    assert [row["id"] for row in page["data"] + rest["data"]] == made[::-1]
    assert not rest["has_more"]


def test_a_roll_back_is_seven_statements_in_one_transaction() -> None:
    tenant = make_tenant()
    first, second = make_version(tenant), make_version(tenant)
    live(first)
    live(second)
    with CaptureQueriesContext(connection) as captured:
        made = roll_back(adapter_id=first.adapter_id, reason="worse", actor=TESTER)
    assert made.version == first
    # The test's own transaction is around it, so a savepoint stands where BEGIN and COMMIT would.
    asked = [query["sql"] for query in captured if not query["sql"].startswith(("SAVEPOINT", "RELEASE SAVEPOINT"))]
    assert len(asked) <= 7, asked
    assert sum(query["sql"].startswith("SAVEPOINT") for query in captured) <= 1


def test_what_registering_and_rolling_back_answer_is_what_reading_says() -> None:
    tenant, team = make_tenant(), caller()
    first, second = make_version(tenant), make_version(tenant)
    live(first)
    live(second)
    back = team.post(f"adapters/{first.adapter.public_id}/roll-back", {"reason": "worse"})
    assert back.status_code == 202
    assert back.json() == team.get(f"releases/{back.json()['id']}").json()
    assert tenant.public_id in back["Link"]
