"""Forms: what is wrong is said at the field, with 422, and nothing has changed; what is right is done once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey
from billing.models import Invoice
from dashboard.release_forms import ReleaseForm
from events.models import Event
from models_registry.models import Adapter, Release
from tenants.models import Tenant
from tenants.services.onboarding import activate_tenant, begin_provisioning
from tests.factories import TESTER, make_tenant, make_tier
from tests.integration.api.making import make_profile
from tests.integration.dashboard.furniture import Furnished

GOOD = {
    "name": "Acme K.K.",
    "slug": "acme",
    "tier_key": "basic",
    "currency": "JPY",
    "billing_timezone": "Asia/Tokyo",
    "invoice_language": "ja",
    "external_id": "",
    "contact_email": "",
}

BAD: list[dict[str, str]] = [
    {"name": ""},
    {"name": "x" * 121},
    {"name": "a\0b"},
    {"slug": "Not A Slug"},
    {"slug": "a" * 21},
    {"slug": "-a"},
    {"tier_key": ""},
    {"tier_key": "gold"},
    {"currency": "XXX"},
    {"billing_timezone": "Mars/Olympus"},
    {"invoice_language": "fr"},
    {"contact_email": "nobody"},
    {"external_id": "x" * 101},
]


def active_tenant(**details: Any) -> Tenant:
    tenant = make_tenant(**details)
    begin_provisioning(tenant_id=tenant.pk, actor=TESTER)
    return activate_tenant(tenant_id=tenant.pk, actor=TESTER)


def test_the_plan_of_a_release_counts_only_when_it_goes_in_steps() -> None:
    typed = {"steps": "ten", "bake_minutes": "-1", "max_error_share": "5", "max_latency_ratio": "1.5"}
    at_once, in_steps = (ReleaseForm({**typed, "how": how}, has_live=True) for how in ("at_once", "in_steps"))
    assert at_once.is_valid() and at_once.plan() is None
    assert set(in_steps.errors) == {"steps", "bake_minutes", "min_requests"}
    assert [field.name for field in in_steps if field.field.widget.attrs.get("data-when") == "in_steps"] == [
        *typed,
        "min_requests",
    ]


def test_onboarding_registers_the_tenant_and_shows_it(admin: Client) -> None:
    make_tier("basic")
    response = admin.post(reverse("tenant-onboard"), GOOD, follow=True)
    tenant = Tenant.objects.get(slug="acme")
    assert (tenant.currency, tenant.billing_timezone, tenant.invoice_language) == ("JPY", "Asia/Tokyo", "ja")
    assert response.redirect_chain == [(reverse("tenant-detail", args=["acme"]), 302)]
    assert "Acme K.K. is registered" in response.content.decode()
    event = Event.objects.get(name="tenant.signed_up")
    assert (event.actor_name, event.request_id) == ("person-admin", event.request_id)
    assert event.request_id


@pytest.mark.parametrize("wrong", BAD, ids=lambda wrong: next(f"{k}={v[:12]!r}" for k, v in wrong.items()))
def test_a_wrong_field_is_named_and_nothing_is_registered(wrong: dict[str, str], admin: Client) -> None:
    make_tier("basic")
    response = admin.post(reverse("tenant-onboard"), GOOD | wrong)
    text = response.content.decode()
    assert response.status_code == 422
    assert 'role="alert"' in text
    [field] = wrong
    assert f'href="#id_{field}"' in text, "the summary links to the field"
    if field != "name" and wrong.get("name") is None:
        assert 'value="Acme K.K."' in text, "what was right stays typed"
    assert not Tenant.objects.exists()


def test_a_taken_slug_is_a_refusal_with_code_and_advice(admin: Client) -> None:
    make_tenant(slug="acme")
    response = admin.post(reverse("tenant-onboard"), GOOD)
    text = response.content.decode()
    assert response.status_code == 409
    assert "slug_taken" in text
    assert "slugs of departed tenants stay reserved" in text
    assert Tenant.objects.count() == 1


def test_suspending_needs_a_reason_and_answers_htmx_with_a_redirect(admin: Client) -> None:
    active_tenant(slug="acme")
    path, htmx = reverse("tenant-suspend", args=["acme"]), {"HX-Request": "true"}
    asked = admin.get(path, headers=htmx)
    assert asked.content.decode().lstrip().startswith('<form class="confirm" id="confirm"')
    refused = admin.post(path, {"reason": ""}, headers=htmx)
    assert refused.status_code == 422
    assert Tenant.objects.get().state == "active"
    accepted = admin.post(path, {"reason": "unpaid"}, headers=htmx)
    assert accepted["HX-Redirect"] == reverse("tenant-detail", args=["acme"])
    tenant = Tenant.objects.get()
    assert (tenant.state, tenant.state_reason) == ("suspended", "unpaid")
    admin.post(reverse("tenant-resume", args=["acme"]), {"reason": ""})
    assert Tenant.objects.get().state == "active"


def test_a_refusal_of_the_service_stays_in_the_dialog(admin: Client) -> None:
    make_tenant(slug="acme")
    response = admin.post(reverse("tenant-suspend", args=["acme"]), {"reason": "x"}, headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert "tenant_not_running" in response.content.decode()
    assert response.content.decode().lstrip().startswith('<form class="confirm"')
    assert Tenant.objects.get().state == "signed_up"


@pytest.mark.parametrize("typed", ["", "Acme", "acme2", "ACME"])
def test_offboarding_wants_the_slug_typed_and_the_server_checks_it(typed: str, admin: Client) -> None:
    active_tenant(slug="acme")
    response = admin.post(reverse("tenant-offboard", args=["acme"]), {"reason": "left", "typed": typed})
    assert response.status_code == 422
    assert Tenant.objects.get().state == "active"


def test_offboarding_begins_with_the_slug_typed(admin: Client) -> None:
    active_tenant(slug="acme")
    admin.post(reverse("tenant-offboard", args=["acme"]), {"reason": "left", "typed": " acme "})
    assert Tenant.objects.get().state == "offboarding"
    text = admin.get(reverse("tenant-detail", args=["acme"])).content.decode()
    assert "What the departure waits for" in text
    assert "Resources deleted in AWS" in text


def test_adding_an_adapter_leads_to_its_upload(admin: Client) -> None:
    active_tenant(slug="acme")
    base = make_profile()
    path = reverse("adapter-create", args=["acme"])
    response = admin.post(path, {"name": "support-ja", "foundation_model": base})
    assert response["Location"] == reverse("adapter-upload", args=[Adapter.objects.get().public_id])
    for wrong in ({"name": "Support JA", "foundation_model": base}, {"name": "base", "foundation_model": base}):
        assert admin.post(path, wrong).status_code == 422
    assert admin.post(path, {"name": "other", "foundation_model": "999"}).status_code == 422
    assert admin.post(path, {"name": "support-ja", "foundation_model": base}).status_code == 409
    assert Adapter.objects.count() == 1


def test_releasing_and_rolling_back_write_wishes_with_their_reason(admin: Client, furnished: Furnished) -> None:
    admin.post(reverse("version-release", args=[furnished.version]), {"reason": "better answers"})
    wished = Release.objects.order_by("-pk")[0]
    assert (wished.version.public_id, wished.state) == (furnished.version, "pending")  # type: ignore[union-attr]
    text = admin.get(reverse("adapter-detail", args=[furnished.adapter])).content.decode()
    assert "is going live" in text
    path = reverse("adapter-roll-back", args=[furnished.adapter])
    assert admin.post(path, {"reason": ""}).status_code == 422
    admin.post(f"{path}?to={furnished.live}", {"reason": "wrong tone"})
    back = Release.objects.order_by("-pk")[0]
    assert (back.kind, back.version.public_id, back.reason) == ("roll_back", furnished.live, "wrong tone")  # type: ignore[union-attr]


def test_a_rejected_version_cannot_be_released(admin: Client, furnished: Furnished) -> None:
    before = Release.objects.count()
    response = admin.post(reverse("version-release", args=[furnished.rejected]), {"reason": "please"})
    assert response.status_code == 409
    assert "version_not_ready" in response.content.decode()
    assert Release.objects.count() == before


def test_rolling_back_to_another_adapters_version_finds_nothing(admin: Client, furnished: Furnished) -> None:
    path = reverse("adapter-roll-back", args=[furnished.adapter])
    assert admin.get(path, {"to": "adv_zzz"}).status_code == 404


def test_finalizing_gives_the_draft_its_number(admin: Client, furnished: Furnished) -> None:
    path = reverse("invoice-finalize", args=[furnished.draft.public_id])
    assert "gets the next number" in admin.get(path).content.decode()
    assert Invoice.objects.get(pk=furnished.draft.pk).number is None
    admin.post(path)
    assert Invoice.objects.get(pk=furnished.draft.pk).number == "INV-2026-000002"


def test_voiding_wants_the_number_typed(admin: Client, furnished: Furnished) -> None:
    admin.post(reverse("invoice-finalize", args=[furnished.draft.public_id]))
    path = reverse("invoice-void", args=[furnished.draft.public_id])
    assert admin.post(path, {"reason": "wrong", "typed": "INV-1"}).status_code == 422
    assert admin.post(path, {"reason": "", "typed": "INV-2026-000002"}).status_code == 422
    admin.post(path, {"reason": "wrong", "typed": "INV-2026-000002"})
    assert Invoice.objects.get(pk=furnished.draft.pk).state == "void"


def test_crediting_more_than_is_left_changes_nothing(admin: Client, furnished: Furnished) -> None:
    path = reverse("invoice-credit", args=[furnished.final.public_id])
    notes = Invoice.objects.filter(kind="credit_note").count()
    for amount, status in (("999999", 409), ("-1", 422), ("abc", 422), ("NaN", 422), ("1e40", 422)):
        response = admin.post(path, {"reason": "late", f"amount-{furnished.line}": amount})
        assert response.status_code == status, amount
    assert Invoice.objects.filter(kind="credit_note").count() == notes
    admin.post(path, {"reason": "all of it"})
    assert Invoice.objects.filter(kind="credit_note").count() == notes + 1


def test_a_key_is_shown_once_and_kept_as_a_hash(admin: Client) -> None:
    response = admin.post(reverse("key-issue"), {"name": "ERP", "days": 30, "scopes": ["invoices.view"], "tenant": ""})
    assert response.status_code == 201
    plaintext = response.content.decode().split('id="new-key">')[1].split("<")[0]
    assert plaintext.startswith("cpk_test_")
    key = ApiKey.objects.get()
    assert plaintext not in admin.get(reverse("key-list")).content.decode()
    assert plaintext.rpartition("_")[2] not in key.secret_hash
    admin.post(reverse("key-revoke", args=[key.public_id]), {"reason": "leaked"})
    key.refresh_from_db()
    assert (key.revoked_at is not None, key.revoked_reason) == (True, "leaked")


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"scopes": []}, {"scopes": ["everything"]}, {"days": "0"}, {"days": "366"}, {"days": "x"}],
    ids=str,
)
def test_an_impossible_key_is_not_issued(wrong: dict[str, Any], admin: Client) -> None:
    sent = {"name": "ERP", "days": 30, "scopes": ["invoices.view"], "tenant": ""} | wrong
    assert admin.post(reverse("key-issue"), sent).status_code == 422
    assert not ApiKey.objects.exists()


def test_a_tenants_key_holds_no_operator_scope(admin: Client) -> None:
    make_tenant(slug="acme")
    sent = {"name": "x", "days": 30, "scopes": ["tenants.manage"], "tenant": "acme"}
    assert admin.post(reverse("key-issue"), sent).status_code == 422
    assert admin.post(reverse("key-issue"), sent | {"tenant": "nobody"}).status_code == 404
    assert not ApiKey.objects.exists()


def test_retry_answers_with_the_status_and_a_toast(admin: Client, furnished: Furnished) -> None:
    path = reverse("operation-retry", args=[furnished.operation])
    response = admin.post(path, headers={"HX-Request": "true"})
    assert response.content.decode().lstrip().startswith('<div id="operation"')
    assert "toast" in response["HX-Trigger"]
    assert admin.post(path)["Location"] == reverse("operation-detail", args=[furnished.operation])


def test_actions_that_are_refused_outside_a_form_become_a_banner(
    sign_in: Callable[..., Client], furnished: Furnished
) -> None:
    response = sign_in("viewer").post(
        reverse("operation-retry", args=[furnished.operation]), headers={"HX-Request": "true"}
    )
    assert response.status_code == 403
    assert response["HX-Retarget"] == "#notices"
    assert "operations.retry" in response.content.decode()
