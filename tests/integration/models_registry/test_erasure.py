"""A departed tenant's artifacts are erased last, all of them, and the proof is written down."""

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from aws.connect import artifacts
from core import clock
from core.actors import SYSTEM
from models_registry.models import Adapter, AdapterVersion
from models_registry.services.artifacts import erase_departed_artifacts, erase_tenant_artifacts
from models_registry.services.uploads import receive_upload
from tenants.models import OffboardingStep
from tenants.services.offboarding import begin_offboarding, complete_offboarding_step
from tests.factories import TESTER
from tests.integration.models_registry.uploading import keys, parts, upload
from tests.unit.models_registry.making import good

pytestmark = pytest.mark.usefixtures("aws")


def step(adapter: Adapter) -> OffboardingStep:
    return OffboardingStep.objects.get(tenant=adapter.tenant, key="artifacts")


def leave(adapter: Adapter, *done: str) -> None:
    begin_offboarding(tenant_id=adapter.tenant_id, reason="", actor=TESTER)
    for key in done:
        complete_offboarding_step(tenant_id=adapter.tenant_id, key=key, detail={}, actor=SYSTEM)


def test_erasing_waits_for_resources_and_the_final_invoice(adapter: Adapter) -> None:
    upload(adapter)
    leave(adapter, "access", "registry", "resources")
    assert erase_departed_artifacts() == 0
    assert len(keys()) == 1
    complete_offboarding_step(tenant_id=adapter.tenant_id, key="final_invoice", detail={}, actor=SYSTEM)
    assert erase_departed_artifacts() == 1
    adapter.tenant.refresh_from_db()
    assert adapter.tenant.state == "offboarded"
    assert erase_departed_artifacts() == 0


def test_everything_of_the_tenant_goes_and_nothing_of_others(
    adapter: Adapter, make_adapter: Callable[..., Adapter]
) -> None:
    other = make_adapter()
    kept = upload(other).artifact_key
    upload(adapter)
    upload(adapter, "ok-r16-all")
    waiting = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    store = artifacts()
    key = f"tenants/{adapter.tenant.public_id}/adapters/extra.tar.gz"
    for body in (b"one", b"two"):
        store.put(key, body, sha256=hashlib.sha256(body).hexdigest(), if_absent=False)
    leave(adapter, "resources", "final_invoice")
    assert erase_tenant_artifacts(tenant_id=adapter.tenant_id, actor=SYSTEM)
    assert keys() == [kept]
    assert step(adapter).detail["deleted_objects"] == 5  # two artifacts, one extra, two files in quarantine
    assert step(adapter).detail["left_objects"] == 0
    waiting.refresh_from_db()
    assert waiting.state == "rejected"
    assert AdapterVersion.objects.filter(adapter=adapter, state="ready").count() == 2  # the ledger keeps its rows


@pytest.mark.parametrize("state", ["uploading", "validating"])
def test_erasing_waits_for_whoever_may_still_store(adapter: Adapter, state: str) -> None:
    version = receive_upload(adapter_id=adapter.pk, files=parts(good()), actor=TESTER)
    claimed = {"state": state, "claimed_until": clock.real_now() + timedelta(minutes=1)}
    AdapterVersion.objects.filter(pk=version.pk).update(**claimed)
    leave(adapter, "resources", "final_invoice")
    assert not erase_tenant_artifacts(tenant_id=adapter.tenant_id, actor=SYSTEM)
    assert step(adapter).done_at is None
    AdapterVersion.objects.filter(pk=version.pk).update(claimed_until=None)
    assert erase_tenant_artifacts(tenant_id=adapter.tenant_id, actor=SYSTEM)
    assert keys() == []


def test_only_a_leaving_tenant_is_erased(adapter: Adapter) -> None:
    upload(adapter)
    with pytest.raises(ValueError, match="leaving"):
        erase_tenant_artifacts(tenant_id=adapter.tenant_id, actor=SYSTEM)
    assert len(keys()) == 1
