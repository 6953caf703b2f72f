"""The example handler, called as Lambda calls it, against real endpoints of the local AWS."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from dataplane.lambda_example import handler as example
from tests.dataplane.conftest import TENANT, VERSION, document

if TYPE_CHECKING:
    from tests.dataplane.conftest import Plane


@pytest.fixture
def function(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plane]:
    """The function's environment, and a process that starts cold."""
    plane.publish(document())
    monkeypatch.setenv("DATAPLANE_TENANT", TENANT)
    monkeypatch.setenv("DATAPLANE_TABLE", os.environ["CP_CONFIG_TABLE"])
    monkeypatch.setenv("DATAPLANE_LIMITS_TABLE", os.environ["CP_LIMITS_TABLE"])
    monkeypatch.setenv("DATAPLANE_CONFIG_KEY", plane.key.hex())
    example.kit.cache_clear()
    yield plane
    example.kit().close()
    example.kit.cache_clear()


def call(body: Any, *, is_encoded: bool = False) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of one request over a function URL."""
    text = body if isinstance(body, str) else json.dumps(body)
    sent = base64.b64encode(text.encode()).decode() if is_encoded else text
    reply = example.handler({"version": "2.0", "body": sent, "isBase64Encoded": is_encoded}, None)
    return reply["statusCode"], json.loads(reply["body"]), reply["headers"]


def test_an_answer_with_its_counts_which_have_left_before_the_process_freezes(function: Plane) -> None:
    asked = {"route": "support", "prompt": "図書館は 何時に 開きますか", "max_tokens": 5}
    status, answer, headers = call(asked)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert answer["usage"] == {"input_tokens": 3, "cached_input_tokens": 0, "output_tokens": 5}
    assert (answer["line"], answer["adapter_version"]) == ("pooled", VERSION)
    assert call(asked, is_encoded=True)[1] == answer
    now = float(function.aws.get("clock")["now"])
    assert function.total("Requests", now - 300, now + 300) == 2
    assert function.total("OutputTokens", now - 300, now + 300) == 10


def test_refusals_have_a_status_a_code_and_a_sentence(function: Plane) -> None:
    for body in ("", "[]", "{", {"route": "support"}, {"route": "support", "prompt": "a", "max_tokens": "9"}):
        assert call(body)[:1] == (400,)
    status, said, _ = call({"route": "support", "prompt": "a", "max_tokens": 10_000})
    assert (status, said["code"], "4096" in said["detail"]) == (400, "invalid_request", True)
    assert call({"route": "sales", "prompt": "a"})[0] == 404

    function.aws.fault("throttle", operation="InvokeEndpoint")
    status, said, headers = call({"route": "support", "prompt": "a"})
    assert (status, said["code"], headers["Retry-After"]) == (503, "model_unavailable", "1")
    assert "kit-base" not in said["detail"], "whose component it was stays inside"

    windows = [{"meter": "output_tokens", "window": "day", "amount": 10, "mode": "hard"}]
    limits = {"max_output_tokens": 4096, "timezone": "UTC", "windows": windows}
    function.publish(document(version=2, limits=limits))
    example.kit().config(fresh=True)
    assert call({"route": "support", "prompt": "a", "max_tokens": 8})[0] == 200
    status, said, headers = call({"route": "support", "prompt": "a", "max_tokens": 8})
    assert (status, said["code"]) == (429, "limit_exceeded")
    assert int(headers["Retry-After"]) > 0

    function.publish(document(version=3, status="suspended"))
    example.kit().config(fresh=True)
    assert call({"route": "support", "prompt": "a"})[:2] == (
        403,
        {"code": "tenant_suspended", "detail": "The model cannot answer this request now."},
    )
