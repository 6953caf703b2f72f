"""What the kit believes: signed, its own, not older; and what it keeps when the store is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from dataplane import config as kit_config
from dataplane.budgets import Limit
from dataplane.config import parse
from dataplane.errors import ConfigRefused, ConfigUnavailable, TenantSuspended, TenantUnknown, UnknownRoute
from tests.dataplane.conftest import TENANT, document, route, signed, target

if TYPE_CHECKING:
    from tests.dataplane.conftest import Plane

SCHEMA = json.loads((Path(kit_config.__file__).parent / "runtime_config.schema.json").read_text())
KEY = b"k" * 32
BASE = {"adapter_version": "base", "version_number": None}
API: dict[str, Any] = {
    "line": "strong-api", "kind": "api", "account": "123456789012", "region": "us-west-2",
    "profile": "local-profile-acorn-0123abcd-1", "dialect": "bedrock_converse", **BASE,
    "model": "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abcdefabcdef",
}  # fmt: skip


def read(found: dict[str, Any], key: bytes = KEY) -> kit_config.RuntimeConfig:
    text, signature = signed(found, key)
    return parse(text, signature, tenant=TENANT, key=KEY)


def test_a_signed_document_is_read() -> None:
    found = read(document(version=7))
    assert (found.version, found.status, found.max_output_tokens) == (7, "active", 4096)
    assert found.routes["support"].targets[0].component == "kit-base"


def test_the_schema_is_valid_and_takes_the_document() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document(), SCHEMA)
    base = route(target(**BASE), API, adapter=None)
    jsonschema.validate(document(routes={"base": base}), SCHEMA)
    rich = target(weight=5, allowance={"window": "month", "amount": 1}, is_tripped=True, resets=2)
    jsonschema.validate(document(routes={"support": route(rich)}), SCHEMA)
    jsonschema.validate(document(status="withdrawn", routes={}), SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "runtime-config/1"},
        {"tenant": "somebody"},
        {"version": 0},
        {"status": "gone"},
        {"metrics_namespace": "AWS/SageMaker"},
        {"limits": {}},
        {"limits": {"max_output_tokens": 0}},
        {"surprise": 1},
        {"ladder": {}},
        {"routes": {"Support!": route()}},
        {"routes": {"support": {"adapter": None, "targets": []}}},
        {"routes": {"support": route(adapter_version="base")}},
        {"routes": {"support": route(adapter=None)}},
        {"routes": {"support": route(component="has space")}},
        {"routes": {"support": route(account="somebody")}},
        {"routes": {"support": route(kind="api")}},
        {"routes": {"support": route(API)}},
        {"routes": {"base": route(API | {"model": "anthropic.claude"}, adapter=None)}},
        {"routes": {"base": route(API | {"component": "c"}, adapter=None)}},
        {"routes": {"support": route(weight=101)}},
        {"routes": {"support": route(allowance={"window": "year", "amount": 1})}},
    ],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document(**change), SCHEMA)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "runtime-config/3"}, "runtime-config/2"),
        ({"tenant": "ten_" + "0" * 25 + "2"}, "belongs to"),
        ({"status": "paused"}, "unknown status"),
        ({"version": "1"}, "version"),
        ({"version": True}, "version"),
        ({"routes": None}, "malformed"),
        ({"routes": {"support": {}}}, "malformed"),
        ({"limits": None}, "malformed"),
        ({"routes": {"support": {"adapter": None, "targets": []}}}, "no target"),
        ({"routes": {"support": route(kind="batch")}}, "does not know"),
        ({"routes": {"support": route(kind="api")}}, "malformed"),
        ({"routes": {"support": route(allowance={"window": "year", "amount": 1})}}, "malformed"),
        ({"ladder": {}}, "malformed"),
    ],
)
def test_a_signed_but_wrong_document_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigRefused, match=says):
        read(document(**change))


def test_targets_keep_their_order_and_say_what_kind_they_are() -> None:
    allowed = {"allowance": {"window": "month", "amount": 500}}
    found = read(document(routes={"base": route(API | allowed, target(**BASE, weight=10), adapter=None)}))
    api, hosted = found.routes["base"].targets
    assert (api.kind, api.model, api.line) == ("api", API["model"], "strong-api")
    assert api.allowance == Limit("total_tokens", "month", 500, "hard", "strong-api")
    assert (hosted.kind, hosted.component, hosted.weight, hosted.allowance) == ("hosted", "kit-base", 10, None)
    assert (found.ladder.breaker_failures, found.ladder.queue_seconds) == (5, 0)


def test_a_document_of_the_old_schema_is_read_as_routes_of_one_target() -> None:
    one = {key: value for key, value in target().items() if key not in ("account", "region")}
    old = document(schema="runtime-config/1", routes={"support": {"adapter": "adp_1", **one}})
    del old["ladder"]
    [found] = read(old).routes["support"].targets
    assert (found.component, found.region, found.line) == ("kit-base", "us-west-2", "pooled")


def test_a_document_signed_with_another_key_is_refused() -> None:
    with pytest.raises(ConfigRefused, match="signature"):
        read(document(), key=b"x" * 32)


def test_one_changed_byte_is_refused() -> None:
    text, signature = signed(document(), KEY)
    with pytest.raises(ConfigRefused, match="signature"):
        parse(text.replace(b"kit-base", b"kit-bass"), signature, tenant=TENANT, key=KEY)


def test_a_published_config_is_followed_and_a_newer_one_replaces_it(plane: Plane) -> None:
    kit = plane.kit(config_ttl_seconds=0)
    with pytest.raises(TenantUnknown):
        kit.config()
    plane.publish(document(version=1))
    assert kit.config().version == 1
    plane.publish(document(version=2))
    assert kit.config().version == 2


def test_a_config_is_not_asked_for_again_within_its_time(plane: Plane) -> None:
    plane.publish(document(version=1))
    kit = plane.kit(config_ttl_seconds=3600)
    assert kit.config().version == 1
    plane.publish(document(version=2))
    assert kit.config().version == 1
    assert kit.config(fresh=True).version == 2


def test_a_forged_config_is_refused_and_the_last_good_one_serves_on(plane: Plane) -> None:
    plane.publish(document(version=2), signature="0" * 64)
    kit = plane.kit(config_ttl_seconds=0)
    with pytest.raises(ConfigRefused):
        kit.config()
    plane.publish(document(version=3))
    assert kit.config().version == 3
    plane.publish(document(version=4, status="suspended"), signature="0" * 64)
    assert kit.config().version == 3
    assert kit.complete("support", "one two three", 5).input_tokens == 3


def test_an_older_config_is_not_taken_back(plane: Plane) -> None:
    plane.publish(document(version=1))
    plane.publish(document(version=2))
    kit = plane.kit(config_ttl_seconds=0)
    assert kit.config().version == 2
    plane.point(1)
    assert kit.config().version == 2


def test_a_document_under_another_versions_name_is_refused(plane: Plane) -> None:
    text, signature = signed(document(version=1), plane.key)
    plane.put("v#00000005", {"document": {"S": text.decode()}, "signature": {"S": signature}, "version": {"N": "5"}})
    plane.point(5)
    with pytest.raises(ConfigRefused, match="holds version 1"):
        plane.kit().config()


def test_answers_go_on_while_the_config_table_is_away(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.publish(document(version=1))
    kit = plane.kit(config_ttl_seconds=0)
    assert kit.config().version == 1
    plane.aws.fault("server_error", operation="GetItem", times=50)
    assert kit.complete("support", "a b", 3).input_tokens == 2
    with pytest.raises(ConfigUnavailable):
        plane.kit().config()


def test_a_suspended_tenant_is_not_served(plane: Plane) -> None:
    plane.publish(document(version=1))
    kit = plane.kit(config_ttl_seconds=0)
    kit.complete("support", "a", 1)
    plane.publish(document(version=2, status="suspended"))
    before = plane.aws.calls().get("InvokeEndpoint", 0)
    with pytest.raises(TenantSuspended):
        kit.complete("support", "a", 1)
    assert plane.aws.calls().get("InvokeEndpoint", 0) == before


def test_an_unknown_route_names_those_there_are(plane: Plane) -> None:
    plane.publish(document())
    with pytest.raises(UnknownRoute, match="support"):
        plane.kit().complete("sales", "a", 1)
