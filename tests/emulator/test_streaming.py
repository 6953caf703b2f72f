"""Streams as AWS sends them: framed, cut anywhere, broken in words or in the wire."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import EventStreamError
from urllib3.exceptions import ProtocolError

from aws_emulator.streaming import FAILURES
from tests.emulator.conftest import Aws, refusal

COUNTED = {"include_usage": True}


def ask(aws: Aws, prompt: str = "hello there", options: Any = COUNTED, **body: Any) -> Any:
    asked = {"prompt": prompt, "max_tokens": 12, "ignore_eos": True, "stream": True, **body}
    if options:
        asked["stream_options"] = options
    return aws.runtime.invoke_endpoint_with_response_stream(
        EndpointName="endpoint", InferenceComponentName="base", ContentType="application/json", Body=json.dumps(asked)
    )


def parts(reply: Any) -> list[bytes]:
    return [event["PayloadPart"]["Bytes"] for event in reply["Body"]]


def delivered(reply: Any) -> tuple[list[bytes], Exception | None]:
    """The parts until the end, and what ended them."""
    found: list[bytes] = []
    try:
        for event in reply["Body"]:
            found.append(event["PayloadPart"]["Bytes"])
    except Exception as error:
        return found, error
    return found, None


def chunks(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.split(b"\n") if line]


def text_of(found: list[Any]) -> str:
    return "".join(chunk["choices"][0]["text"] for chunk in found if chunk["choices"])


def test_a_stream_is_lines_of_json_and_says_the_same_as_the_whole_answer(stage: Aws) -> None:
    reply = ask(stage)
    assert reply["ContentType"] == "application/jsonlines"
    assert reply["InvokedProductionVariant"] == "main"
    data = b"".join(parts(reply))
    assert b"data:" not in data
    assert data.endswith(b"}\n\n"), "[DONE] is an empty line"
    *words, last = chunks(data)
    whole = stage.invoke("base", ignore_eos=True)
    assert text_of(words) == whole["choices"][0]["text"]
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert [chunk["choices"][0]["finish_reason"] for chunk in words] == [None] * 11 + ["length"]
    assert stage.control("calls")["InvokeEndpointWithResponseStream"] == 1


def test_usage_comes_only_when_asked_for(stage: Aws) -> None:
    assert all("usage" not in chunk for chunk in chunks(b"".join(parts(ask(stage, options=None)))))
    always = chunks(b"".join(parts(ask(stage, options={**COUNTED, "continuous_usage_stats": True}))))
    assert [chunk["usage"]["completion_tokens"] for chunk in always] == [*range(1, 13), 12]
    not_counted = chunks(b"".join(parts(ask(stage, options={"continuous_usage_stats": True}))))
    assert all("usage" not in chunk for chunk in not_counted)


def test_a_body_that_asks_for_no_stream_is_answered_whole(stage: Aws) -> None:
    reply = ask(stage, stream=False)
    assert reply["ContentType"] == "application/json"
    [data] = parts(reply)
    assert json.loads(data) == stage.invoke("base", ignore_eos=True)


def test_parts_end_anywhere_in_lines_and_in_characters(stage: Aws) -> None:
    prompt = "図書館は何時に開きますか"
    plain = b"".join(parts(ask(stage, prompt)))
    assert any(byte > 127 for byte in plain)
    for size in (1, 7, 100_000):
        stage.control("inference", {"stream_chunk_bytes": size})
        found = parts(ask(stage, prompt))
        assert len(b"".join(found)) == len(plain)
        assert text_of(chunks(b"".join(found))) == text_of(chunks(plain))
        assert all(len(part) == size for part in found[:-1])
    assert text_of(chunks(plain)) == stage.invoke("base", prompt, ignore_eos=True)["choices"][0]["text"]


def test_words_come_as_they_are_made(stage: Aws) -> None:
    stage.control("inference", {"words_per_second": 40})
    began = time.monotonic()
    events = iter(ask(stage)["Body"])
    next(events)
    first = time.monotonic() - began
    for _ in events:
        pass
    assert time.monotonic() - began > 0.3
    assert first < 0.2


@pytest.mark.parametrize("failure", FAILURES[:3])
def test_a_broken_stream_is_an_exception_in_the_stream(stage: Aws, failure: str) -> None:
    stage.control("inference", {"stream_fail_after_words": 3, "stream_failure": failure, "stream_chunk_bytes": 50})
    found, error = delivered(ask(stage))
    assert len(chunks(b"".join(found))) == 3
    assert isinstance(error, EventStreamError)
    # botocore keeps the exception's name and message, and drops ErrorCode.
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    assert code == ("InternalStreamFailure" if failure == "InternalStreamFailure" else "ModelStreamError")
    assert code == failure or failure in message


def test_a_container_that_gives_up_says_so_in_its_last_line(stage: Aws) -> None:
    stage.control("inference", {"stream_fail_after_words": 2, "stream_failure": "container_error"})
    found, error = delivered(ask(stage))
    *words, last = chunks(b"".join(found))
    assert (len(words), last["code"], error) == (2, 424, None)


def test_a_cut_connection_delivers_what_was_sent_and_leaves_the_server_well(stage: Aws) -> None:
    stage.control("inference", {"stream_cut_after_words": 5})
    found, error = delivered(ask(stage))
    assert len(chunks(b"".join(found))) == 5
    assert isinstance(error, ProtocolError), "urllib3's own: botocore does not wrap it"
    stage.control("inference", {"stream_cut_after_words": None})
    assert delivered(ask(stage))[1] is None


def test_a_request_that_is_refused_streams_nothing(stage: Aws) -> None:
    stage.control("faults", {"fault": "throttle", "operation": "InvokeEndpointWithResponseStream"})
    assert refusal(ask, aws=stage)[0] == "ThrottlingException"
    assert refusal(ask, aws=stage, prompt=3)[0] == "ModelError"


def test_orders_that_make_no_sense_are_refused_and_change_nothing(stage: Aws) -> None:
    for order in (
        {"stream_chunk_bytes": 0},
        {"stream_cut_after_words": -1},
        {"words_per_second": 0},
        {"words_per_second": "fast"},
        {"stream_failure": "sulks"},
        {"stream_pause": 1},
    ):
        assert stage.control_refusal("inference", order)
    answered = stage.control("inference", {"words_per_second": 1000})
    assert answered["streaming"] == {
        "chunk_bytes": None, "words_per_second": 1000, "fail_after_words": None,
        "failure": "StreamBroken", "cut_after_words": None,
    }  # fmt: skip
