"""Down the ladder: the next line, a wait, a refusal that says when; breakers that open, try and close."""

from __future__ import annotations

import os
import time
from typing import Any

import boto3
import pytest

from dataplane import Kit
from dataplane.errors import BreakerOpen, LimitExceeded, ModelFailed
from dataplane.reports import Reporter
from tests.dataplane.conftest import TENANT, Plane, document, route, target

BASE = {"adapter_version": "base", "version_number": None}
SONNET = "anthropic.claude-3-5-sonnet-20241022-v2:0"
HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"


def api(line: str, model: str, **changes: Any) -> dict[str, Any]:
    """A target on Bedrock, with an inference profile made for it."""
    control: Any = boto3.client("bedrock")
    source = f"arn:aws:bedrock:us-west-2::foundation-model/{model}"
    made = control.create_inference_profile(inferenceProfileName=f"kit-{line}", modelSource={"copyFrom": source})
    return {
        "line": line, "kind": "api", "account": "123456789012", "region": "us-west-2", "profile": f"kit-{line}",
        "model": made["inferenceProfileArn"], "dialect": "bedrock_converse", **BASE, **changes,
    }  # fmt: skip


def publish(plane: Plane, *targets: dict[str, Any], version: int = 1, **ladder: Any) -> None:
    steps = {"breaker": {"failures": 2, "open_seconds": 1}, "queue_seconds": 0, **ladder}
    limits = {"max_output_tokens": 4096, "timezone": "UTC"}
    plane.publish(document(version, routes={"base": route(*targets, adapter=None)}, ladder=steps, limits=limits))


def told(prefix: str) -> dict[str, Any]:
    """What a data plane reported, by the words of its key after the prefix."""
    dynamodb: Any = boto3.client("dynamodb")
    reply = dynamodb.query(
        TableName=os.environ["CP_LIMITS_TABLE"],
        KeyConditionExpression="tenant = :t AND begins_with(#i, :p)",
        ExpressionAttributeNames={"#i": "item"},
        ExpressionAttributeValues={":t": {"S": TENANT}, ":p": {"S": f"{prefix}#"}},
    )
    return {item["item"]["S"]: item for item in reply["Items"]}


def limited_kit(plane: Plane) -> Kit:
    return plane.kit(limits_table=os.environ["CP_LIMITS_TABLE"], config_ttl_seconds=0)


def test_an_api_line_answers_whole_and_streamed_and_aws_alone_counts(plane: Plane) -> None:
    publish(plane, api("strong-api", SONNET))
    kit = plane.kit()
    whole = kit.complete("base", "one two three", 40)
    assert (whole.line, whole.input_tokens, whole.adapter_version) == ("strong-api", 3, "base")
    assert whole.output_tokens == len(whole.text.split()) > 0
    stream = kit.stream("base", "one two three", 40)
    assert "".join(stream) == whole.text
    assert stream.completion.output_tokens == whole.output_tokens and not stream.completion.is_partial
    assert stream.completion.first_byte_seconds is not None
    plane.aws.post("inference", {"cache_read_words": 1, "cache_write_words": 1})
    cached = kit.stream("base", "one two three", 40)
    assert "".join(cached) == whole.text
    for said in (cached.completion, kit.complete("base", "one two three", 40)):
        assert (said.input_tokens, said.cached_input_tokens, said.cache_write_input_tokens) == (1, 1, 1)
        assert said.prompt_tokens == whole.prompt_tokens == 3
    assert kit.close().sent == {}, "Bedrock's metrics are the only ones"


@pytest.mark.parametrize("how", ["stream_cut_after_words", "stream_fail_after_words"])
def test_a_cut_answer_of_an_api_line_is_counted_as_far_as_it_came_and_flagged(plane: Plane, how: str) -> None:
    publish(plane, api("strong-api", SONNET))
    plane.aws.post("inference", {how: 3})
    stream = plane.kit().stream("base", "one two three", 40)
    assert len("".join(stream).split()) == 3
    assert stream.completion.is_partial and stream.completion.output_tokens == 3


def test_what_converse_has_no_word_for_and_what_names_a_model_is_left_out(plane: Plane) -> None:
    publish(plane, api("strong-api", SONNET))
    options = {"model": "another", "adapters": "theirs", "temperature": 0.5, "stop": "x", "best_of": 1}
    assert plane.kit().complete("base", "one", 8, options=options).line == "strong-api"


def test_a_used_allowance_goes_to_the_next_line_and_comes_back_with_the_month(plane: Plane) -> None:
    strong = api("strong-api", SONNET, allowance={"window": "month", "amount": 100})
    publish(plane, strong, api("cheap-api", HAIKU))
    kit, june, july = limited_kit(plane), 1_782_000_000.0, 1_782_900_000.0  # 2026-06-21 and 2026-07-01
    lines = [kit.complete("base", "w " * 20, 20, at=june).line for _ in range(4)]
    assert lines[0] == "strong-api" and lines[-1] == "cheap-api" and sorted(lines, reverse=True) == lines
    assert kit.complete("base", "w " * 20, 20, at=july).line == "strong-api"
    kit.flush()
    [(key, item)] = told("degrade").items()
    assert key.endswith("#base#strong-api#cheap-api#limit_exceeded")
    assert int(item["times"]["N"]) == lines.count("cheap-api")


def test_a_request_that_is_larger_than_an_allowance_goes_to_the_next_line(plane: Plane) -> None:
    publish(plane, api("strong-api", SONNET, allowance={"window": "day", "amount": 10}), api("cheap-api", HAIKU))
    assert limited_kit(plane).complete("base", "w " * 20, 20).line == "cheap-api"


def test_where_every_allowance_is_used_the_refusal_says_when_to_come_again(plane: Plane) -> None:
    publish(plane, api("strong-api", SONNET, allowance={"window": "minute", "amount": 10}))
    with pytest.raises(LimitExceeded) as caught:
        limited_kit(plane).complete("base", "w " * 20, 20)
    assert caught.value.line == "strong-api" and 0 < caught.value.retry_after_seconds <= 60


def test_a_line_that_does_not_answer_is_passed_over_left_alone_and_tried_again(plane: Plane) -> None:
    publish(plane, api("strong-api", SONNET), api("cheap-api", HAIKU))
    plane.aws.post("faults", {"fault": "throttle", "operation": "Converse", "name_contains": "strong", "times": 2})
    kit = limited_kit(plane)
    assert [kit.complete("base", "a", 4).line for _ in range(3)] == ["cheap-api"] * 3
    asked = plane.aws.calls()["Converse"]
    kit.complete("base", "a", 4)
    assert plane.aws.calls()["Converse"] == asked + 1, "an open breaker asks nobody"
    [item] = told("breaker").values()
    assert item["state"]["S"] == "open" and "Throttling" in item["reason"]["S"]
    time.sleep(1.05)
    assert kit.complete("base", "a", 4).line == "strong-api"
    kit.flush()
    [item] = told("breaker").values()
    assert item["state"]["S"] == "closed"


def test_a_tripped_line_gets_no_traffic_until_it_is_reset(plane: Plane) -> None:
    strong, cheap = api("strong-api", SONNET), api("cheap-api", HAIKU)
    kit = limited_kit(plane)
    publish(plane, strong | {"is_tripped": True}, cheap)
    assert kit.complete("base", "a", 4).line == "cheap-api"
    publish(plane, strong | {"is_tripped": True}, version=2)
    with pytest.raises(BreakerOpen, match="by a person"):
        kit.complete("base", "a", 4)
    publish(plane, strong | {"resets": 1}, cheap, version=3)
    assert kit.complete("base", "a", 4).line == "strong-api"


def test_a_request_that_is_wrong_itself_tries_no_other_line_and_opens_no_breaker(plane: Plane) -> None:
    publish(plane, target(**BASE, component="gone"), api("cheap-api", HAIKU))
    kit = limited_kit(plane)
    for _ in range(3):
        with pytest.raises(ModelFailed):
            kit.complete("base", "a", 4)
    assert told("degrade") == {} and told("breaker") == {}


def test_a_queued_request_waits_for_its_line(plane: Plane) -> None:
    publish(plane, api("strong-api", SONNET), queue_seconds=3)
    plane.aws.post("faults", {"fault": "throttle", "operation": "Converse", "times": 1})
    kit = limited_kit(plane)
    assert kit.complete("base", "a", 4).line == "strong-api"
    kit.flush()
    assert [key.rsplit("#", 2)[1] for key in told("degrade")] == ["queue"]


def test_a_target_of_no_weight_is_passed_over(plane: Plane) -> None:
    publish(plane, api("strong-api", SONNET, weight=0), api("cheap-api", HAIKU))
    kit = plane.kit()
    assert {kit.complete("base", "a", 4).line for _ in range(5)} == {"cheap-api"}


def test_an_old_line_and_a_new_one_change_places_by_a_publish(plane: Plane) -> None:
    hosted, strong = target(**BASE), api("strong-api", SONNET)
    kit = plane.kit(config_ttl_seconds=0)
    seen = []
    for version, chosen in enumerate((hosted, strong, hosted), start=1):
        publish(plane, chosen, version=version)
        seen.append(kit.complete("base", "a", 4).line)
    assert seen == ["pooled", "strong-api", "pooled"]


def test_without_a_table_nothing_is_told_and_nothing_breaks() -> None:
    reporter = Reporter(None, "", "ten_x")
    reporter.degraded("base", "a", "b", "limit_exceeded", 0.0)
    reporter.tell_when_due()  # without a table nothing is told, and nothing breaks
