"""The panel of token limits on a tenant's page."""

from typing import Any

import pytest
from django.test import Client

from provisioning.models import PublishedConfig
from provisioning.services.limits import reserve_tokens
from tenants.models import Tenant
from tests.factories import make_tenant

WINDOWS = [
    {"meter": "total_tokens", "window": "month", "amount": 2_000_000, "mode": "hard"},
    {"meter": "output_tokens", "window": "day", "amount": 400, "mode": "soft"},
]


@pytest.fixture
def acme(db: None, aws: object) -> Tenant:
    """An active tenant whose data planes keep two limits."""
    tenant = make_tenant(slug="acme", billing_timezone="Asia/Tokyo")
    Tenant.objects.filter(pk=tenant.pk).update(state="active")
    limits: dict[str, Any] = {"max_output_tokens": 4096, "timezone": "Asia/Tokyo", "windows": WINDOWS}
    PublishedConfig.objects.create(
        tenant=tenant,
        version=1,
        document={"tenant": tenant.public_id, "status": "active", "limits": limits, "routes": {}},
        sha256="0" * 64,
        signature="0" * 64,
        is_current=True,
    )
    return tenant


def page(client: Client) -> str:
    response = client.get("/tenants/acme/")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_bars_show_what_is_used_of_what_is_allowed(admin: Client, acme: Tenant) -> None:
    reserve_tokens(tenant_id=acme.pk, input_tokens=999_600, output_tokens=400)
    shown = page(admin)
    assert 'value="1000000" max="2000000" aria-label="Tokens in and out per month"' in shown
    assert 'class="is-full" value="400" max="400" aria-label="Output tokens per day"' in shown
    assert "refuses requests when full" in shown
    assert "Asia/Tokyo" in shown


def test_counts_that_cannot_be_read_do_not_keep_the_page_away(admin: Client, acme: Tenant, settings: Any) -> None:
    settings.ENV = settings.ENV.model_copy(update={"limits_table": "no-such-table"})
    assert "The table of token counts does not answer" in page(admin)


def test_who_has_no_limits_has_no_panel(admin: Client, acme: Tenant) -> None:
    PublishedConfig.objects.all().delete()
    assert "<h2>Limits</h2>" not in page(admin)
