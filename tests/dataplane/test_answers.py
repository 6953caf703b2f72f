"""Asking, counting what the answer reports, and putting the counts once."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from dataplane.budgets import Tokens
from dataplane.emit import KEYS_PER_PUT, Emitter
from dataplane.errors import InvalidRequest, ModelFailed, ModelUnavailable
from dataplane.invoke import read_answer, strip
from dataplane.usage import usage_of_completion
from tests.dataplane.conftest import NAMESPACE, TENANT, VERSION, document, route

if TYPE_CHECKING:
    from tests.dataplane.conftest import Plane


def now(plane: Plane) -> float:
    return float(plane.aws.get("clock")["now"])


def test_tokens_are_those_of_the_answer_and_reach_cloudwatch(plane: Plane) -> None:
    plane.publish(document())
    kit = plane.kit()
    first = kit.complete("support", "w " * 100, 7, options={"ignore_eos": True})
    second = kit.complete("support", "w " * 11, 5, options={"ignore_eos": True})
    assert (first.input_tokens, first.output_tokens, second.output_tokens) == (100, 7, 5)
    assert (first.adapter_version, first.line, first.version_number) == (VERSION, "pooled", 3)
    report = kit.flush()
    assert report.sent == {"InputTokens": 111, "OutputTokens": 12, "Requests": 2}
    span = now(plane) - 300, now(plane) + 300
    assert [plane.total(metric, *span) for metric in ("InputTokens", "OutputTokens", "Requests")] == [111, 12, 2]
    assert kit.flush().sent == {}
    assert plane.total("InputTokens", *span) == 111


def test_cached_tokens_are_no_input_tokens_and_are_put_only_where_there_are_any(plane: Plane) -> None:
    plane.publish(document())
    kit = plane.kit()
    plain = kit.complete("support", "w " * 10, 4)
    plane.aws.post("inference", {"cache_read_words": 6})
    stream = kit.stream("support", "w " * 10, 4)
    assert "".join(stream) == plain.text
    for said in (stream.completion, kit.complete("support", "w " * 10, 4)):
        assert (said.input_tokens, said.cached_input_tokens, said.prompt_tokens) == (4, 6, 10)
    plane.aws.post("inference", {"cache_read_words": 0})
    assert kit.complete("support", "w " * 10, 4) == plain
    assert kit.flush().sent == {"InputTokens": 28, "OutputTokens": 16, "Requests": 4, "CachedInputTokens": 12}
    span = now(plane) - 300, now(plane) + 300
    assert [plane.total(metric, *span) for metric in ("InputTokens", "CachedInputTokens")] == [28, 12]
    told = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
    assert usage_of_completion(told).tokens == Tokens(10, 4), "a limit counts the whole prompt"
    assert usage_of_completion(told | {"prompt_tokens_details": None}).cached_input_tokens == 0


def test_the_time_that_requests_took_is_put_beside_their_number(plane: Plane) -> None:
    plane.publish(document())
    kit = plane.kit()
    began = time.monotonic()
    for _ in range(3):
        kit.complete("support", "w " * 20, 5)
    for _ in kit.stream("support", "w " * 20, 5):
        pass
    most = 1000 * (time.monotonic() - began) + 3  # each is rounded to a whole millisecond
    kit.flush()
    span = now(plane) - 300, now(plane) + 300
    busy = plane.total("BusyMilliseconds", *span)
    assert plane.total("Requests", *span) == 4
    assert 4 <= busy <= most and busy == int(busy)
    assert 1 <= plane.total("BusyMilliseconds", *span, statistic="p90") <= busy, (
        "values, of which AWS gives percentiles"
    )


def test_a_body_cannot_choose_another_model_or_adapter(plane: Plane) -> None:
    options = {"model": "other", "adapters": ["other"], "stream": True, "temperature": 0.5, "max_tokens": 9999}
    assert strip(options) == {"temperature": 0.5, "max_tokens": 9999}
    plane.publish(document())
    kit = plane.kit()
    plain = kit.complete("support", "hello there", 8)
    assert kit.complete("support", "hello there", 8, options={"model": "other", "adapters": ["other"]}) == plain
    # The route's own prompt and limit win over whatever the options say.
    assert kit.complete("support", "hello there", 8, options={"prompt": "x", "max_tokens": 4000}) == plain


@pytest.mark.parametrize("max_tokens", [0, -1, 4097])
def test_more_than_the_limit_is_refused_before_anything_is_sent(plane: Plane, max_tokens: int) -> None:
    plane.publish(document())
    with pytest.raises(InvalidRequest, match="4096"):
        plane.kit().complete("support", "a", max_tokens)
    assert plane.aws.calls().get("InvokeEndpoint", 0) == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}',
        b'{"choices": [{"text": "a"}]}',
        b'{"choices": [{"text": "a"}], "usage": {"prompt_tokens": 1}}',
        b'{"choices": [{"text": "a"}], "usage": {"prompt_tokens": "1", "completion_tokens": 1}}',
        b'{"choices": [{"text": "a"}], "usage": {"prompt_tokens": -1, "completion_tokens": 1}}',
        b'{"choices": [{"text": "a"}], "usage": {"prompt_tokens": true, "completion_tokens": 1}}',
        b'{"choices": [{"text": "a"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1,'
        b'"prompt_tokens_details": {"cached_tokens": 2}}}',
    ],
)
def test_an_answer_without_whole_usage_is_refused(answer: bytes) -> None:
    with pytest.raises(ModelFailed):
        read_answer(answer, "component")


def test_a_refusal_names_component_and_request_and_counts_nothing(plane: Plane) -> None:
    gone = route(component="kit-gone")
    plane.publish(document(routes={"support": gone}))
    kit = plane.kit()
    with pytest.raises(ModelFailed, match=r"kit-gone refused: ValidationError.*not found.*request [^u]"):
        kit.complete("support", "a", 1)
    assert kit.flush().sent == {}


def test_an_endpoint_without_capacity_is_worth_another_try(plane: Plane) -> None:
    plane.publish(document())
    plane.aws.delays(update={"looks": 1})
    sagemaker: Any = boto3.client("sagemaker")
    sagemaker.update_inference_component_runtime_config(
        InferenceComponentName="kit-base", DesiredRuntimeConfig={"CopyCount": 0}
    )
    for _ in range(5):
        found = sagemaker.describe_inference_component(InferenceComponentName="kit-base")
    assert found["RuntimeConfig"]["CurrentCopyCount"] == 0
    with pytest.raises(ModelUnavailable):
        plane.kit().complete("support", "a", 1)


def test_an_invocation_is_not_repeated(plane: Plane) -> None:
    plane.publish(document())
    kit = plane.kit()
    kit.complete("support", "a", 1)
    before = plane.aws.calls()["InvokeEndpoint"]
    plane.aws.fault("server_error", operation="InvokeEndpoint", times=1)
    with pytest.raises(ModelUnavailable):
        kit.complete("support", "a", 1)
    assert plane.aws.calls()["InvokeEndpoint"] == before + 1


class CloudWatchThatFails:
    """Stands in for the network between the kit and CloudWatch, not for code of ours."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.puts: list[list[dict[str, Any]]] = []

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:
        if self.error is not None:
            raise self.error
        self.puts.append(MetricData)


def emitter(plane_client: Any, **options: Any) -> Emitter:
    return Emitter(client=plane_client, tenant=TENANT, **options)


def note(target: Emitter, at: float, tokens: int = 10) -> None:
    target.record(
        namespace=NAMESPACE, adapter_version=VERSION, line="pooled", at=at, input_tokens=tokens, output_tokens=1,
        busy_milliseconds=40,
    )  # fmt: skip


def test_a_put_whose_fate_is_unknown_is_not_repeated() -> None:
    client = CloudWatchThatFails(ReadTimeoutError(endpoint_url="http://cloudwatch"))
    target = emitter(client)
    note(target, 60)
    assert target.flush().unconfirmed == {"InputTokens": 10, "OutputTokens": 1, "Requests": 1}
    client.error = None
    assert target.flush().sent == {}
    assert client.puts == []


def test_a_throttled_put_is_kept_and_sent_once(plane: Plane) -> None:
    target = emitter(boto3.client("cloudwatch", config=Config(retries={"total_max_attempts": 1})))
    at = now(plane)
    note(target, at)
    plane.aws.fault("throttle", operation="PutMetricData", times=1)
    assert target.flush().kept == {"InputTokens": 10, "OutputTokens": 1, "Requests": 1}
    note(target, at, tokens=5)
    assert target.flush().sent == {"InputTokens": 15, "OutputTokens": 2, "Requests": 2}
    assert plane.total("InputTokens", at - 300, at + 300) == 15


def test_one_stale_stamp_does_not_hold_the_others_back(plane: Plane) -> None:
    target = emitter(boto3.client("cloudwatch", config=Config(retries={"total_max_attempts": 1})))
    at = now(plane)
    note(target, at - 20 * 86400, tokens=1000)
    for minute in range(40):
        note(target, at - 60 * minute)
    report = target.flush()
    assert report.refused["InputTokens"] == 1000
    assert report.sent["InputTokens"] == 400
    assert plane.total("InputTokens", at - 3600, at + 300) == 400


def test_a_full_buffer_pushes_the_oldest_out_and_says_so() -> None:
    target = emitter(CloudWatchThatFails(None), max_keys=2)
    for minute in range(3):
        note(target, 60 * minute, tokens=10 + minute)
    assert target.buffered == 2
    assert target.dropped == {"InputTokens": 10, "OutputTokens": 1, "Requests": 1}


def test_busy_times_of_all_lengths_fit_into_a_put_and_keep_their_sum() -> None:
    """At worst: every bucket is filled, for as many versions as one put takes."""
    client = CloudWatchThatFails(None)
    target = emitter(client)
    times = [int(1.2**power * (1 + tenth / 10)) for power in range(74) for tenth in (0, 0.6, 1.3)] + [0, 10**9]
    for version in range(KEYS_PER_PUT):
        for took in times:
            target.record(
                namespace=NAMESPACE, adapter_version=f"{VERSION}{version:030}", line="pooled", at=60,
                input_tokens=1, output_tokens=1, busy_milliseconds=took,
            )  # fmt: skip
    target.flush()
    [put] = client.puts
    busy = [datum for datum in put if datum["MetricName"] == "BusyMilliseconds"]
    assert len(busy) == KEYS_PER_PUT and len(json.dumps(put)) < 1 << 20
    for datum in busy[:3]:
        values, counts = datum["Values"], datum["Counts"]
        assert 100 < len(values) <= 150 and len(set(values)) == len(values) and min(counts) >= 1
        assert sum(counts) == len(times)
        assert sum(value * count for value, count in zip(values, counts, strict=True)) == sum(times), "it is metered"
        told = sorted(value for value, count in zip(values, counts, strict=True) for _ in range(count))
        pairs = zip(told, sorted(times), strict=True)
        assert all(abs(said - took) <= 0.2 * took for said, took in pairs if took < 600_000)


def test_a_put_holds_at_most_a_thousand_data() -> None:
    client = CloudWatchThatFails(None)
    target = emitter(client)
    for minute in range(700):
        note(target, 60 * minute)
    assert target.flush().sent["Requests"] == 700
    assert [len(put) for put in client.puts] == [664, 664, 664, 664, 144]  # room for cached tokens and Errors in each
    assert len({json.dumps(datum["Timestamp"]) for put in client.puts for datum in put}) == 700
