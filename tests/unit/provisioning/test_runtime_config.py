"""The document: built, checked against the data plane's schema, signed so that the data plane's own kit accepts it."""

from datetime import UTC, datetime

import jsonschema
import pytest

from dataplane.config import parse, tenant_key
from provisioning import runtime_config
from provisioning.runtime_config import Route

TENANT = "ten_" + "0" * 26
AT = datetime(2026, 11, 20, 12, 0, 0, 5, UTC)
BASE = Route(line="pooled", endpoint="e-1", component="c-1")
ADAPTER = Route(
    line="pooled", endpoint="e-1", component="c-2", adapter="adp_" + "0" * 26,
    adapter_version="adv_" + "0" * 26, version_number=3,
)  # fmt: skip


def said(**routes):
    return runtime_config.content(tenant=TENANT, status="active", region="us-west-2", routes=routes)


def test_the_data_plane_accepts_what_we_sign():
    whole = runtime_config.document(said(base=BASE, support=ADAPTER), version=7, published_at=AT)
    signed = runtime_config.sign(whole, signing_key="k" * 40)
    config = parse(signed.document, signed.signature, tenant=TENANT, key=tenant_key("k" * 40, TENANT))
    assert (config.version, config.status) == (7, "active")
    assert config.routes["support"].component == "c-2"


def test_what_is_said_survives_the_document():
    whole = runtime_config.document(said(base=BASE), version=7, published_at=AT)
    assert whole["published_at"] == "2026-11-20T12:00:00.000005Z"
    assert runtime_config.says(whole) == said(base=BASE)
    assert runtime_config.routed_names(whole) == ["c-1", "e-1"]


@pytest.mark.parametrize(
    "broken",
    [
        said(Base=BASE),
        said(base=Route(line="pooled", endpoint="under_score", component="c")),
        said(x=Route(line="pooled", endpoint="e", component="c", adapter_version="base", version_number=3)),
        {**said(), "status": "gone"},
        {**said(), "surprise": 1},
    ],
)
def test_a_document_outside_the_schema_is_never_signed(broken):
    with pytest.raises(jsonschema.ValidationError):
        runtime_config.document(broken, version=1, published_at=AT)


def test_difference_names_the_leaves_that_changed():
    one = runtime_config.document(said(base=BASE), version=1, published_at=AT)
    two = runtime_config.document(said(base=BASE, support=ADAPTER), version=2, published_at=AT)
    paths = [entry["path"] for entry in runtime_config.difference(one, two)]
    assert "/routes/support/component" in paths
    assert not any(path.startswith("/routes/base") for path in paths)
    assert runtime_config.difference(one, one) == []
    assert runtime_config.difference(None, one)[0]["before"] is None
