"""The kit keeps the windows of its config: before the model is asked, and to the token afterwards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from dataplane.errors import DataPlaneError, LimitExceeded
from tests.dataplane.conftest import document, route
from tests.dataplane.test_config import SCHEMA

if TYPE_CHECKING:
    from local_stack.emulator import EmulatorClient
    from tests.dataplane.conftest import Plane


def limited(amount: int, mode: str = "hard", version: int = 1) -> dict[str, Any]:
    window = {"meter": "output_tokens", "window": "month", "amount": amount, "mode": mode}
    limits = {"max_output_tokens": 4096, "timezone": "Asia/Tokyo", "windows": [window]}
    jsonschema.validate(document(version, limits=limits), SCHEMA)
    return document(version, limits=limits)


def test_the_kit_refuses_at_the_limit_before_the_model_is_asked(plane: Plane, aws: EmulatorClient) -> None:
    plane.publish(limited(100))
    kit = plane.kit(limits_table=os.environ["CP_LIMITS_TABLE"])
    assert kit.complete("support", "one two", 60, options={"ignore_eos": True}).over == ()
    with pytest.raises(LimitExceeded) as refusal:
        kit.complete("support", "one two", 60, options={"ignore_eos": True})
    assert refusal.value.retry_after_seconds > 3600
    with kit.stream("support", "one two", 40, options={"ignore_eos": True}) as stream:
        assert len("".join(stream).split()) == 40
    with pytest.raises(LimitExceeded):
        kit.stream("support", "one two", 1)
    assert aws.calls()["InvokeEndpoint"] + aws.calls()["InvokeEndpointWithResponseStream"] == 2
    assert plane.kit().complete("support", "one two", 60).over == (), "without a table nobody looks"


def test_what_a_failed_request_held_is_given_back(plane: Plane) -> None:
    plane.publish(limited(100) | {"routes": {"support": route(component="gone")}})
    kit = plane.kit(limits_table=os.environ["CP_LIMITS_TABLE"])
    for _ in range(3):
        with pytest.raises(DataPlaneError, match="gone"):
            kit.complete("support", "one two", 90)
        with pytest.raises(DataPlaneError, match="gone"):
            kit.stream("support", "one two", 90)


def test_a_request_over_a_soft_limit_is_answered_and_marked(plane: Plane) -> None:
    plane.publish(limited(10, "soft"))
    kit = plane.kit(limits_table=os.environ["CP_LIMITS_TABLE"])
    [over] = kit.complete("support", "one two", 60).over
    assert (over.meter, over.window, over.mode) == ("output_tokens", "month", "soft")
    assert kit.stream("support", "one two", 60).close() is None


@pytest.mark.parametrize(
    "limits",
    [
        {"max_output_tokens": 1, "windows": [{"meter": "output_tokens", "window": "day", "amount": 1, "mode": "hard"}]},
        {"max_output_tokens": 1, "timezone": "UTC", "windows": []},
        {"max_output_tokens": 1, "timezone": "UTC", "windows": [{"meter": "requests"}]},
    ],
)
def test_the_schema_wants_a_zone_with_windows_and_whole_windows(limits: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document(limits=limits), SCHEMA)
