"""Bedrock: application inference profiles, and Converse through them, counted by AWS itself."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError
from urllib3.exceptions import ProtocolError

from tests.emulator.conftest import Aws, refusal

SONNET = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-5-sonnet-20241022-v2:0"
ACROSS = "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"


@pytest.fixture
def control(aws: Aws) -> Any:
    return aws.client("bedrock")


@pytest.fixture
def runtime(aws: Aws) -> Any:
    return aws.client("bedrock-runtime")


def make(control: Any, name: str = "p-1", source: str = SONNET, **more: Any) -> str:
    reply = control.create_inference_profile(inferenceProfileName=name, modelSource={"copyFrom": source}, **more)
    return str(reply["inferenceProfileArn"])


def ask(model: str, prompt: str = "hello there you", most: int = 9) -> dict[str, Any]:
    return {
        "modelId": model,
        "messages": [{"role": "user", "content": [{"text": prompt}]}],
        "inferenceConfig": {"maxTokens": most},
        "additionalModelRequestFields": {"ignore_eos": True},
    }


def counted(aws: Aws, profile: str) -> dict[str, float]:
    now = aws.now()
    found = {}
    for metric in ("InputTokenCount", "OutputTokenCount", "Invocations", "InvocationLatency"):
        stat = {
            "Metric": {
                "Namespace": "AWS/Bedrock",
                "MetricName": metric,
                "Dimensions": [{"Name": "ModelId", "Value": profile}],
            },
            "Period": 60,
            "Stat": "Sum",
        }
        reply = aws.cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "q", "MetricStat": stat}], StartTime=now - 600, EndTime=now + 60
        )
        found[metric] = sum(reply["MetricDataResults"][0]["Values"])
    return found


def test_a_profile_is_made_seen_tagged_and_deleted(control: Any) -> None:
    arn = make(control, tags=[{"key": "cp:tenant", "value": "ten_1"}])

    seen = control.get_inference_profile(inferenceProfileIdentifier=arn)
    assert (seen["inferenceProfileName"], seen["status"], seen["type"]) == ("p-1", "ACTIVE", "APPLICATION")
    assert seen["models"] == [{"modelArn": SONNET}]
    assert arn.endswith(f":application-inference-profile/{seen['inferenceProfileId']}")
    assert control.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "cp:tenant", "value": "ten_1"}]
    control.delete_inference_profile(inferenceProfileIdentifier=seen["inferenceProfileId"])
    assert control.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"] == []
    assert refusal(control.get_inference_profile, inferenceProfileIdentifier=arn)[0] == "ResourceNotFoundException"


def test_a_repeated_create_with_its_token_makes_one_profile_and_another_one_is_refused(control: Any) -> None:
    first = make(control, clientRequestToken="t")
    assert make(control, clientRequestToken="t") == first
    with pytest.raises(ClientError, match="ConflictException"):
        make(control, clientRequestToken="other")


def test_a_system_profile_leads_to_all_regions_of_its_geography(control: Any) -> None:
    make(control, source=ACROSS)
    [seen] = control.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    regions = {model["modelArn"].split(":")[3] for model in seen["models"]}
    assert regions == {"us-east-1", "us-east-2", "us-west-2"}


@pytest.mark.parametrize(
    "source",
    [SONNET.replace("sonnet", "sonata"), SONNET.replace("us-west-2", "us-east-1"), ACROSS.replace("/us.", "/eu.")],
)
def test_a_source_that_is_not_in_the_region_is_refused(control: Any, source: str) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        make(control, source=source)


def test_lists_go_page_by_page(control: Any) -> None:
    for number in range(5):
        make(control, f"p-{number}")
    names: list[str] = []
    pages = control.get_paginator("list_inference_profiles").paginate(
        typeEquals="APPLICATION", PaginationConfig={"PageSize": 2}
    )
    for page in pages:
        names += [each["inferenceProfileName"] for each in page["inferenceProfileSummaries"]]
    assert sorted(names) == [f"p-{number}" for number in range(5)]


def test_converse_answers_counts_and_puts_the_counts_under_the_profiles_id(
    aws: Aws, control: Any, runtime: Any
) -> None:
    arn, other = make(control), make(control, "p-2", ACROSS)

    said = runtime.converse(**ask(arn))
    assert said["usage"] == {"inputTokens": 3, "outputTokens": 9, "totalTokens": 12}
    text = said["output"]["message"]["content"][0]["text"]
    assert len(text.split()) == 9
    assert runtime.converse(**ask(other))["output"]["message"]["content"][0]["text"] != text
    runtime.converse(**ask(arn))

    expected = {"InputTokenCount": 6.0, "OutputTokenCount": 18.0, "Invocations": 2.0}
    found = counted(aws, arn.rpartition("/")[2])
    assert found.pop("InvocationLatency") >= 2, "at least a millisecond each"
    assert found == expected


def test_a_stream_says_the_same_and_ends_with_its_usage(control: Any, runtime: Any) -> None:
    arn = make(control)
    events = list(runtime.converse_stream(**ask(arn))["stream"])
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)
    assert text == runtime.converse(**ask(arn))["output"]["message"]["content"][0]["text"]
    assert events[0] == {"messageStart": {"role": "assistant"}}
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 9


@pytest.mark.parametrize(
    ("how", "error"),
    [({"stream_fail_after_words": 3}, EventStreamError), ({"stream_cut_after_words": 3}, ProtocolError)],
)
def test_a_stream_that_breaks_is_counted_all_the_same(
    aws: Aws, control: Any, runtime: Any, how: dict[str, int], error: type[Exception]
) -> None:
    arn = make(control)
    aws.control("inference", how)
    seen = []
    with pytest.raises(error):
        for event in runtime.converse_stream(**ask(arn))["stream"]:
            seen.append(event)
    assert sum("contentBlockDelta" in event for event in seen) == 3
    assert counted(aws, arn.rpartition("/")[2])["OutputTokenCount"] == 9.0


def test_who_asks_for_a_profile_that_is_not_there_is_told(runtime: Any) -> None:
    gone = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abcdefabcdef"
    assert refusal(runtime.converse, **ask(gone))[0] == "ResourceNotFoundException"


def test_a_throttle_that_was_ordered_strikes(aws: Aws, control: Any, runtime: Any) -> None:
    arn = make(control)
    aws.control("faults", {"fault": "throttle", "operation": "Converse"})
    assert refusal(runtime.converse, **ask(arn))[0] == "ThrottlingException"
    assert runtime.converse(**ask(arn))["usage"]["outputTokens"] == 9
