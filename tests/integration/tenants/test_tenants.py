"""Tenants: signing up, refusals that change nothing, and departures that wait for every room."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core import clock
from core.errors import NotFound
from core.states import IllegalMove, StaleState, move
from events.models import Event, Outbox
from tenants import queries
from tenants.models import OffboardingStep, Tenant, TierAssignment, TierVersion
from tenants.services import lifecycle, offboarding, onboarding
from tenants.states import TENANT_MOVES, TenantState
from tests.factories import TESTER, make_tenant, make_tier

pytestmark = pytest.mark.django_db


def activate(tenant: Tenant) -> Tenant:
    onboarding.begin_provisioning(tenant_id=tenant.pk, actor=TESTER)
    return onboarding.activate_tenant(tenant_id=tenant.pk, actor=TESTER)


def test_signing_up_places_the_tenant_and_tells_it() -> None:
    tenant = make_tenant(slug="acme", external_id="CRM-42")
    assert tenant.state == TenantState.SIGNED_UP
    assert queries.tier_version_of(tenant.pk, clock.now()).number == 1
    event = Event.objects.get(name="tenant.signed_up")
    assert (event.tenant_ref, event.actor_ref, event.request_id) == (tenant.public_id, "usr_test", "test-request")
    assert Outbox.objects.filter(event=event).exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", "Acme"),
        ("slug", "a"),
        ("slug", "-acme"),
        ("slug", "a--b"),
        ("slug", "x" * 21),
        ("name", ""),
        ("name", "x" * 121),
        ("name", "nul\x00"),
        ("currency", "usd"),
        ("billing_timezone", "Mars/Olympus"),
        ("invoice_language", "xx"),
        ("contact_email", "nobody"),
        ("tags", {"a": "b" * 200}),
        ("external_id", "x" * 101),
    ],
)
def test_a_detail_that_cannot_be_used_is_named_and_nothing_is_written(field: str, value: object) -> None:
    with pytest.raises(onboarding.TenantInvalid) as caught:
        make_tenant(**{field: value})
    assert [error.pointer for error in caught.value.errors] == [f"/{field}"]
    assert not Tenant.objects.exists() and not Event.objects.exists()


def test_a_slug_is_never_given_twice() -> None:
    make_tenant(slug="acme")
    with pytest.raises(onboarding.SlugTaken):
        make_tenant(slug="acme")


def test_an_external_id_belongs_to_one_tenant() -> None:
    make_tenant(external_id="1")
    with pytest.raises(onboarding.ExternalIdTaken):
        make_tenant(external_id="1")


def test_an_unknown_tier_is_refused_with_the_known_ones() -> None:
    make_tier("basic")
    with pytest.raises(NotFound) as caught:
        onboarding.sign_up_tenant(name="A", slug="aa", tier_key="gold", actor=TESTER)
    assert "basic" in caught.value.hint


def test_a_tenant_is_found_by_each_of_its_names_and_only_by_who_may_see_it() -> None:
    tenant, other = make_tenant(external_id="CRM-1"), make_tenant()
    for ref in (tenant.public_id, tenant.slug, "ext:CRM-1"):
        assert queries.get_tenant(ref, tenant_ids=None) == tenant
        with pytest.raises(NotFound):
            queries.get_tenant(ref, tenant_ids=[other.pk])
    assert list(queries.list_tenants(tenant_ids=[other.pk])) == [other]


def test_assignments_of_a_tenant_never_overlap() -> None:
    tenant = make_tenant()
    version = TierVersion.objects.get()
    with pytest.raises(IntegrityError, match="tier_assignment_no_overlap"), transaction.atomic():
        TierAssignment.objects.create(
            tenant=tenant, tier_version=version, period=DateTimeTZRange(clock.now() + timedelta(days=9), None)
        )


def test_a_published_tier_version_never_changes() -> None:
    make_tier()
    with pytest.raises(IntegrityError, match="final"), transaction.atomic():
        TierVersion.objects.update(max_adapters=99)


def test_events_cannot_be_edited_or_deleted() -> None:
    make_tenant()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.update(name="tenant.offboarded")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Event.objects.all()._raw_delete("default")


def test_the_lifecycle_has_no_short_cuts() -> None:
    tenant = make_tenant()
    with pytest.raises(lifecycle.NotRunning):
        lifecycle.suspend_tenant(tenant_id=tenant.pk, reason="late", actor=TESTER)
    with pytest.raises(IllegalMove):
        move(tenant, to=TenantState.OFFBOARDED, table=TENANT_MOVES)


def test_of_two_workers_that_believe_in_a_state_one_is_told() -> None:
    tenant = make_tenant()
    stale = Tenant.objects.get(pk=tenant.pk)
    move(tenant, to=TenantState.PROVISIONING, table=TENANT_MOVES)
    with pytest.raises(StaleState):
        move(stale, to=TenantState.PROVISIONING, table=TENANT_MOVES)


def test_suspending_and_resuming_twice_tells_it_once() -> None:
    tenant = activate(make_tenant())
    for _ in range(2):
        lifecycle.suspend_tenant(tenant_id=tenant.pk, reason="unpaid", actor=TESTER)
    assert Event.objects.filter(name="tenant.suspended").count() == 1
    resumed = lifecycle.resume_tenant(tenant_id=tenant.pk, actor=TESTER)
    assert (resumed.state, resumed.state_reason) == (TenantState.ACTIVE, "")


def test_an_update_needs_the_version_that_was_read() -> None:
    tenant = make_tenant()
    changed = lifecycle.update_tenant(
        tenant_id=tenant.pk, changes={"name": "New"}, expected_version=tenant.version, actor=TESTER
    )
    assert (changed.name, changed.version) == ("New", tenant.version + 1)
    with pytest.raises(lifecycle.VersionMismatch):
        lifecycle.update_tenant(
            tenant_id=tenant.pk, changes={"name": "Old"}, expected_version=tenant.version, actor=TESTER
        )
    with pytest.raises(onboarding.TenantInvalid):
        lifecycle.update_tenant(
            tenant_id=tenant.pk, changes={"slug": "other"}, expected_version=changed.version, actor=TESTER
        )


def test_a_departure_ends_when_every_room_is_done() -> None:
    tenant = activate(make_tenant())
    offboarding.begin_offboarding(tenant_id=tenant.pk, reason="left", actor=TESTER)
    for key in OffboardingStep.Key.values:
        tenant.refresh_from_db()
        assert tenant.state == TenantState.OFFBOARDING
        for _ in range(2):
            offboarding.complete_offboarding_step(tenant_id=tenant.pk, key=key, detail={}, actor=TESTER)
    tenant.refresh_from_db()
    assert tenant.state == TenantState.OFFBOARDED
    assert Event.objects.filter(name="tenant.offboarded").count() == 1
    assert TierAssignment.objects.get(tenant=tenant).period.upper is not None
