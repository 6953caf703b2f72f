"""The Python client that the OpenAPI document generates: it is made without a warning, and it works."""

import importlib
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.services import issue_api_key
from tests.factories import TESTER, make_tenant
from tests.integration.api.making import make_invoice


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a freshly generated package that can be imported."""
    out: Path = tmp_path_factory.mktemp("client") / "out"
    call_command("client", str(out), stdout=StringIO())
    sys.path.insert(0, str(out))
    yield "control_plane_client"
    sys.path.remove(str(out))


def operation(package: str, module: str) -> Any:
    return importlib.import_module(f"{package}.api.{module}")


@pytest.mark.django_db(transaction=True)
def test_the_client_lists_previews_and_reads(package: str, live_server: Any) -> None:
    tenant = make_tenant(external_id="CRM-42")
    invoice = make_invoice(tenant)
    scopes = ["tenants.view", "invoices.view"]
    _, secret = issue_api_key(name="client", scopes=scopes, actor=TESTER)
    client = importlib.import_module(package).AuthenticatedClient(base_url=live_server.url, token=secret)

    page = operation(package, "tenants.list_tenants").sync(client=client)
    assert [row.id for row in page.data] == [tenant.public_id]
    seen = operation(package, "tenants.preview_invoice").sync("ext:CRM-42", client=client, month="2026-10")
    assert seen.content["currency"] == "USD"
    found = operation(package, "invoices.get_invoice").sync(invoice.number, client=client)
    assert (found.id, found.total.amount, found.state) == (invoice.public_id, "29.00", "finalized")
    file = operation(package, "invoices.get_invoice_csv").sync_detailed(invoice.number, client=client)
    assert file.content.startswith("\ufeffinvoice_number".encode())
    missing = operation(package, "invoices.get_invoice").sync_detailed("INV-none", client=client)
    assert missing.status_code == 404
