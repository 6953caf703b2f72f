"""The document: built, checked against the data plane's schema, signed so that the data plane's own kit accepts it."""

from dataclasses import replace
from datetime import UTC, datetime

import jsonschema
import pytest

from dataplane.config import parse, tenant_key
from provisioning import runtime_config
from provisioning.runtime_config import Allowance, Route, Target, routes_digest, routes_of

TENANT = "ten_" + "0" * 26
AT = datetime(2026, 11, 20, 12, 0, 0, 5, UTC)
VERSION = "adv_" + "0" * 26
HOSTED = Target("pooled", "hosted", "123456789012", "us-west-2", endpoint="e-1", component="c-1")
API = Target(
    "strong-api", "api", "123456789012", "us-west-2", profile="p-1", allowance=Allowance("month", 500),
    model="arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc",
)  # fmt: skip
BASE = Route((HOSTED,))
ADAPTER = Route((replace(HOSTED, component="c-2", adapter_version=VERSION, version_number=3),), "adp_" + "0" * 26)


def said(**routes):
    return runtime_config.content(tenant=TENANT, status="active", region="us-west-2", routes=routes)


def test_the_data_plane_accepts_what_we_sign():
    whole = runtime_config.document(said(base=BASE, support=ADAPTER), version=7, published_at=AT)
    signed = runtime_config.sign(whole, signing_key="k" * 40)
    config = parse(signed.document, signed.signature, tenant=TENANT, key=tenant_key("k" * 40, TENANT))
    assert (config.version, config.status) == (7, "active")
    assert config.routes["support"].targets[0].component == "c-2"


def test_what_is_said_survives_the_document():
    whole = runtime_config.document(said(base=BASE), version=7, published_at=AT)
    assert whole["published_at"] == "2026-11-20T12:00:00.000005Z"
    assert runtime_config.says(whole) == said(base=BASE)
    assert runtime_config.routed_names(whole) == ["c-1", "e-1"]


@pytest.mark.parametrize(
    "broken",
    [
        said(Base=BASE),
        said(base=Route((replace(HOSTED, endpoint="under_score"),))),
        said(x=Route((replace(HOSTED, version_number=3),))),
        said(x=Route((API,), "adp_" + "0" * 26)),
        said(x=Route(())),
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
    assert "/routes/support/targets/0/component" in paths
    assert not any(path.startswith("/routes/base") for path in paths)
    assert runtime_config.difference(one, one) == []
    assert runtime_config.difference(None, one)[0]["before"] is None


def test_routes_are_read_back_as_they_were_written_and_name_all_they_need():
    routes = {"base": Route((API, replace(HOSTED, weight=20, is_tripped=True, resets=2))), "support": ADAPTER}
    whole = runtime_config.document(said(**routes), version=1, published_at=AT)
    assert routes_of(whole) == routes
    assert runtime_config.routed_names(whole) == ["c-1", "c-2", "e-1", "p-1"]


def test_documents_of_the_old_schema_are_still_read():
    route = {
        "adapter": None, "adapter_version": "base", "version_number": None, "line": "pooled", "kind": "hosted",
        "endpoint": "e-1", "component": "c-1", "dialect": "openai_completions",
    }  # fmt: skip
    assert routes_of({"region": "us-west-2", "routes": {"base": route}}) == {
        "base": Route((replace(HOSTED, account=""),))
    }


def test_orders_to_breakers_do_not_change_where_routes_lead():
    ordered = {"base": Route((replace(HOSTED, is_tripped=True, resets=3),))}
    assert routes_digest(ordered) == routes_digest({"base": BASE})
    assert routes_digest(ordered) != routes_digest({"base": Route((API,))})
