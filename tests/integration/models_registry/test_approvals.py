"""Who must agree before a version serves, what archiving and retiring do, and how little a roll back costs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.services import issue_api_key
from core import clock
from core.actors import Actor
from core.errors import DomainError
from events.models import Event
from models_registry import queries
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.adapters import (
    VersionInUse,
    archive_version,
    describe_adapter,
    restore_version,
    set_outside_approvals,
)
from models_registry.services.approvals import (
    FourEyes,
    VersionNotApproved,
    approval_at_first,
    decide_approval,
    take_over_approval,
)
from models_registry.services.releases import release_version, roll_back
from models_registry.services.retirement import (
    RetirementInvalid,
    VersionRetired,
    cancel_retirement,
    remind_of_retirements,
    schedule_retirement,
)
from models_registry.states import Approval, VersionState
from tenants.services.tiers import define_tier
from tests.factories import LIMITS, TESTER
from tests.integration.models_registry.test_releases import live, ready

COLLEAGUE = Actor("person", "usr_colleague", "colleague")
MakeAdapter = Callable[..., Adapter]


def on_tier(make_adapter: MakeAdapter, approval: str) -> Adapter:
    """An adapter of a tenant whose tier has that approval policy."""
    define_tier(key=approval, name=approval, position=1, limits=replace(LIMITS, approval=approval))
    return make_adapter(tier_key=approval)


def uploaded(adapter: Adapter, by: Actor = TESTER) -> AdapterVersion:
    """A ready version as the gate leaves it."""
    return ready(adapter, uploaded_by=by.name, uploaded_by_ref=by.ref, **approval_at_first(adapter.tenant_id))


def decide(version: AdapterVersion, actor: Actor = COLLEAGUE, *, is_approved: bool = True) -> AdapterVersion:
    return decide_approval(version_id=version.pk, is_approved=is_approved, reason="Looked at it.", actor=actor)


def release(version: AdapterVersion) -> Any:
    return release_version(version_id=version.pk, reason="", actor=TESTER)


def refused(kind: type[DomainError], act: Callable[[], Any]) -> DomainError:
    events = Event.objects.count()
    with pytest.raises(kind) as caught:
        act()
    assert Event.objects.count() == events, "a refusal changes nothing"
    return caught.value


def test_without_a_policy_a_version_serves_without_approval(make_adapter: MakeAdapter) -> None:
    version = uploaded(on_tier(make_adapter, "none"))
    assert version.approval == Approval.NOT_REQUIRED
    assert release(version).version_id == version.pk


def test_where_approval_is_required_a_release_waits_for_it(make_adapter: MakeAdapter) -> None:
    version = uploaded(on_tier(make_adapter, "required"))
    assert version.approval == Approval.PENDING
    error = refused(VersionNotApproved, lambda: release(version))
    assert error.code == "version_not_approved" and "adapters.approve" in error.hint
    decided = decide(version, TESTER)  # one pair of eyes is enough here
    assert (decided.approval, decided.approval_by, decided.approval_reason) == ("approved", "tester", "Looked at it.")
    assert release(version).version_id == version.pk
    assert Event.objects.filter(name="adapter.version_approved", subject_pk=version.pk).count() == 1
    decide(version, TESTER)
    assert Event.objects.filter(name="adapter.version_approved").count() == 1, "saying it twice is saying it once"


def test_what_was_rejected_is_released_by_nobody(make_adapter: MakeAdapter) -> None:
    adapter = make_adapter()
    first, second = ready(adapter), ready(adapter)
    live(first, 0)
    live(second, 1)
    decide(first, is_approved=False)
    assert "colleague decided" in refused(VersionNotApproved, lambda: release(first)).detail
    refused(VersionNotApproved, lambda: roll_back(adapter_id=adapter.pk, reason="", actor=TESTER))
    decide(first)
    assert roll_back(adapter_id=adapter.pk, reason="", actor=TESTER).version_id == first.pk


def test_a_roll_back_to_what_served_asks_for_no_new_approval(make_adapter: MakeAdapter) -> None:
    adapter = on_tier(make_adapter, "four_eyes")
    first, second, never = uploaded(adapter), uploaded(adapter), uploaded(adapter)
    for version, at in ((first, 0), (second, 1)):
        decide(version)
        live(version, at)
    # As if the tier had become stricter only since then.
    AdapterVersion.objects.filter(pk=first.pk).update(approval=Approval.PENDING)
    refused(
        VersionNotApproved,
        lambda: roll_back(adapter_id=adapter.pk, to_version_id=never.pk, reason="", actor=TESTER),
    )
    assert roll_back(adapter_id=adapter.pk, reason="", actor=TESTER).version_id == first.pk


def test_four_eyes_are_two_people_and_the_database_says_so_too(make_adapter: MakeAdapter) -> None:
    version = uploaded(on_tier(make_adapter, "four_eyes"))
    assert refused(FourEyes, lambda: decide(version, TESTER)).code == "four_eyes_needed"
    with pytest.raises(IntegrityError, match="version_four_eyes"), transaction.atomic():
        AdapterVersion.objects.filter(pk=version.pk).update(
            approval=Approval.APPROVED, approval_by_ref=TESTER.ref, approval_at=clock.now()
        )
    with pytest.raises(IntegrityError, match="version_approval_by_somebody"), transaction.atomic():
        AdapterVersion.objects.filter(pk=version.pk).update(approval=Approval.APPROVED)
    refused(VersionNotApproved, lambda: release(version))
    assert decide(version, TESTER, is_approved=False).approval == Approval.REJECTED, "anybody may say no"
    assert decide(version).approval_policy == "four_eyes"
    assert release(version).version_id == version.pk


def test_ones_own_key_is_no_second_person(make_adapter: MakeAdapter) -> None:
    key, _ = issue_api_key(name="pipeline", scopes=["adapters.upload"], actor=TESTER)
    adapter = on_tier(make_adapter, "four_eyes")
    by_key = uploaded(adapter, Actor("api_key", key.public_id, "pipeline"))
    refused(FourEyes, lambda: decide(by_key, TESTER))
    by_person = uploaded(adapter)
    refused(FourEyes, lambda: decide(by_person, Actor("api_key", key.public_id, "pipeline")))
    decide(by_key)


def test_a_key_that_ones_own_key_issued_is_no_second_person_either(make_adapter: MakeAdapter) -> None:
    first, _ = issue_api_key(name="issuer", scopes=["keys.manage", "adapters.upload"], actor=TESTER)
    by_first = Actor("api_key", first.public_id, "issuer")
    second, _ = issue_api_key(name="pipeline", scopes=["adapters.upload"], actor=by_first)
    version = uploaded(on_tier(make_adapter, "four_eyes"), Actor("api_key", second.public_id, "pipeline"))
    refused(FourEyes, lambda: decide(version, TESTER))


def test_an_approval_of_before_the_tier_asked_for_four_eyes_is_looked_at_again(make_adapter: MakeAdapter) -> None:
    key, _ = issue_api_key(name="pipeline", scopes=["adapters.upload"], actor=TESTER)
    version = uploaded(on_tier(make_adapter, "four_eyes"), Actor("api_key", key.public_id, "pipeline"))
    AdapterVersion.objects.filter(pk=version.pk).update(
        approval=Approval.APPROVED,
        approval_policy="required",
        approval_by=TESTER.name,
        approval_by_ref=TESTER.ref,
        approval_at=clock.now(),
    )
    refused(VersionNotApproved, lambda: release(version))


def test_an_approval_from_outside_counts_only_where_the_adapter_says_so(make_adapter: MakeAdapter) -> None:
    adapter = on_tier(make_adapter, "four_eyes")
    version = uploaded(adapter)
    outside = {"version_id": version.pk, "is_approved": True, "who": "arn:aws:iam::1:role/pipeline", "note": ""}
    assert not take_over_approval(**outside)
    set_outside_approvals(adapter_id=adapter.pk, policy="accept", reason="Our pipeline tests them.", actor=COLLEAGUE)
    assert Event.objects.get(name="adapter.updated").before == {"outside_approvals": "undo"}
    assert take_over_approval(**outside)
    version.refresh_from_db()
    assert (version.approval, version.approval_by) == ("approved", "arn:aws:iam::1:role/pipeline in SageMaker")


def test_archiving_is_refused_while_it_serves_and_can_be_taken_back(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    Adapter.objects.filter(pk=adapter.pk).update(latest_version=second)
    live(second, 0)
    assert "withdraw" in refused(VersionInUse, lambda: archive_version(version_id=second.pk, actor=TESTER)).hint
    live(first, 1)
    archive_version(version_id=second.pk, reason="Worse.", actor=TESTER)
    adapter.refresh_from_db()
    assert adapter.latest_version_id == first.pk, "the newest that could be released"
    assert refused(DomainError, lambda: release(second)).hint == "Restore it first."
    restore_version(version_id=second.pk, actor=TESTER)
    adapter.refresh_from_db()
    assert adapter.latest_version_id == second.pk
    assert release(second).version_id == second.pk


def test_a_retirement_reminds_refuses_releases_and_takes_nothing_away(adapter: Adapter, clock_file: Path) -> None:
    old, new = ready(adapter), ready(adapter)
    live(old, 0)
    day = clock.now() + timedelta(days=30)

    def plan(version: AdapterVersion, **changes: Any) -> AdapterVersion:
        details = {"retires_at": day, "replacement_id": new.pk, "reason": "Base model ends.", **changes}
        return schedule_retirement(version_id=version.pk, actor=TESTER, **details)

    refused(RetirementInvalid, lambda: plan(old, retires_at=clock.now()))
    refused(RetirementInvalid, lambda: plan(old, replacement_id=old.pk))
    plan(old)
    assert remind_of_retirements() == 0, "a month ahead is too early"
    clock_file.write_text(str(20 * 86400))
    assert remind_of_retirements() == 1
    assert remind_of_retirements() == 0, "once"
    assert Event.objects.get(name="adapter.retirement_near").data["replacement"] == new.public_id
    clock_file.write_text(str(31 * 86400))
    assert remind_of_retirements() == 1
    assert Event.objects.filter(name="adapter.retirement_due").count() == 1
    adapter.refresh_from_db()
    assert adapter.live_version_id == old.pk, "a date takes nobody's traffic away"
    waiting = ready(adapter, approval=Approval.PENDING)
    seen = queries.versions_for_people(tenant_ids=None, before=clock.now() + timedelta(days=14))
    assert [(version.pk, version.is_retiring) for version in seen] == [(old.pk, True), (waiting.pk, False)]
    release(new)
    assert f"Release {new}" in refused(VersionRetired, lambda: release(old)).hint
    cancel_retirement(version_id=old.pk, reason="Prolonged.", actor=TESTER)
    assert release(old).version_id == old.pk


def test_a_replacement_of_another_adapter_is_refused_by_the_database_too(make_adapter: MakeAdapter) -> None:
    mine, other = ready(make_adapter()), ready(make_adapter("other"))
    with pytest.raises(IntegrityError, match="version_replaced_by_sibling"), transaction.atomic():
        AdapterVersion.objects.filter(pk=mine.pk).update(replacement=other)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_roll_back_is_seven_statements(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    live(first, 0)
    live(second, 1)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        roll_back(adapter_id=adapter.pk, reason="Worse answers.", actor=TESTER)
    statements = [each["sql"] for each in captured if "SAVEPOINT" not in each["sql"]]
    assert len(statements) <= 7, statements


def test_lists_cost_the_same_whatever_they_list(make_adapter: MakeAdapter) -> None:
    def statements(query: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            for row in query:
                str((row.tenant, row.foundation_model, row.latest_version, row.live_version, row.version_count))
        return len(captured)

    for number in range(3):
        version = ready(make_adapter(f"a{number}"))
        live(version, 0)
        Adapter.objects.filter(pk=version.adapter_id).update(latest_version=version)
    assert statements(queries.list_adapters(tenant_ids=None)[:100]) == 1


def test_adapters_are_found_by_what_they_are(make_adapter: MakeAdapter) -> None:
    serving, waiting, empty = make_adapter("serving"), make_adapter("waiting"), make_adapter("empty")
    live(ready(serving), 0)
    Adapter.objects.filter(pk=waiting.pk).update(latest_version=ready(waiting))
    describe_adapter(adapter_id=waiting.pk, tags={"team": "support"}, actor=TESTER)

    def found(**filters: Any) -> set[str]:
        return {adapter.name for adapter in queries.list_adapters(tenant_ids=None, **filters)}

    assert found(state="live") == found(has_live=True) == {"serving"}
    assert found(state="idle") == found(tag="team:support") == {"waiting"}
    assert found(state="empty", has_live=False) == found(tenant_id=empty.tenant_id) == {"empty"}
    assert found(base_id=serving.foundation_model_id, q="aiti") == {"waiting"}
    assert found(tag="team:sales") == set()
    with pytest.raises(queries.FilterInvalid):
        queries.list_adapters(tenant_ids=None, tag="team")


def test_versions_are_found_by_metric_uploader_and_approval(adapter: Adapter) -> None:
    for metrics in ({"f1": 0.9}, {"f1": 0.5}, {"f1": True}, {"f1": "0.95"}, {}):
        ready(adapter, metrics=metrics, uploaded_by_ref="usr_a")

    def found(**filters: Any) -> list[int | None]:
        versions = queries.list_versions(tenant_ids=None, adapter_id=adapter.pk, **filters)
        return sorted(version.number or 0 for version in versions)

    assert found(metric="f1>=0.9") == [1], "true and a text are no numbers"
    assert found(metric="f1 <= 0.9") == [1, 2]
    assert found(uploader="usr_a") == found(uploader="tester") == [1, 2, 3, 4, 5]
    assert found(state=VersionState.ARCHIVED) == found(approval=Approval.PENDING) == []
    with pytest.raises(queries.FilterInvalid):
        found(metric="f1")
