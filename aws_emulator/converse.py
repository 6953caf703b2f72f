"""Bedrock's runtime: Converse and ConverseStream through application inference profiles, counted in CloudWatch.

AWS counts by itself, in the namespace AWS/Bedrock under the dimension ModelId, which for an application inference
profile is the profile's id. What was generated is counted whether or not the reader stayed to its end.
"""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from moto.core.eventstream import EventStreamEncoder

from aws_emulator.bedrock import find_profile
from aws_emulator.cloudwatch import CloudWatch
from aws_emulator.inference import complete
from aws_emulator.objects import Loaded, Profile
from aws_emulator.sagemaker import refuse_request
from aws_emulator.streaming import pace
from aws_emulator.wire import AwsError, ConnectionCut, Reply, Request, new_request_id
from aws_emulator.world import Caching, Streaming, World

PREFIX = "/model/"
_WHOLE, _STREAM = "/converse", "/converse-stream"
_LONGEST_BODY_BYTES = 25 * 1024 * 1024
_METERS = {
    "inputTokens": "InputTokenCount",
    "outputTokens": "OutputTokenCount",
    "cacheReadInputTokens": "CacheReadInputTokens",
    "cacheWriteInputTokens": "CacheWriteInputTokens",
}


def answer(world: World, metrics: CloudWatch, account: str, request: Request) -> Reply:
    """Answer one Converse or ConverseStream call. Raises AwsError."""
    is_stream = request.path.endswith(_STREAM)
    operation, suffix = ("ConverseStream", _STREAM) if is_stream else ("Converse", _WHOLE)
    if not request.path.endswith(suffix):
        raise AwsError("UnknownOperationException", "The emulator knows only Converse and ConverseStream here.", 404)
    identifier = unquote(request.path[len(PREFIX) : -len(suffix)])
    with world.lock:
        world.calls[operation] += 1
        profile = find_profile(world.region(account, request.region), identifier)
        lost = refuse_request(world, operation, profile.name, of_sagemaker=False)
    if len(request.body) > _LONGEST_BODY_BYTES:
        raise AwsError("ValidationException", f"The body must not exceed {_LONGEST_BODY_BYTES} bytes.", 400)
    began = time.monotonic()
    said = _generate(profile, request, world.caching)
    said["latencyMs"] = max(1, round(1000 * (time.monotonic() - began)))
    _count(metrics, account, request.region, profile, said)
    if is_stream:
        headers = [("Content-Type", "application/vnd.amazon.eventstream"), ("x-amzn-RequestId", new_request_id())]
        return Reply(200, headers, lost=lost, stream=_frames(said, world.streaming))
    headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", new_request_id())]
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": said["text"]}]}},
        "stopReason": said["stopReason"],
        "usage": said["usage"],
        "metrics": {"latencyMs": said["latencyMs"]},
    }
    return Reply(200, headers, json.dumps(body).encode(), lost)


def _generate(profile: Profile, request: Request, caching: Caching) -> dict[str, Any]:
    """The model's answer to the last user message: a function of the model and of what was said, for ever."""
    asked = request.json()
    try:
        prompt = "\n".join(part["text"] for message in asked["messages"] for part in message["content"])
        most = int((asked.get("inferenceConfig") or {}).get("maxTokens", 512))
    except (KeyError, TypeError, ValueError) as error:
        raise AwsError("ValidationException", f"The messages cannot be read: {type(error).__name__}.", 400) from error
    if not prompt or most < 1:
        raise AwsError("ValidationException", "The text of a message is empty, or maxTokens is less than 1.", 400)
    fields = asked.get("additionalModelRequestFields") or {}
    model = profile.models[0].rpartition("/")[2]
    completion = complete(Loaded(model), {"prompt": prompt, "max_tokens": most, "ignore_eos": fields.get("ignore_eos")})
    [choice], usage = completion["choices"], completion["usage"]
    read, written = caching.of(usage["prompt_tokens"])
    cached = {"cacheReadInputTokens": read, "cacheWriteInputTokens": written} if read or written else {}
    return {
        "text": choice["text"],
        "stopReason": "max_tokens" if choice["finish_reason"] == "length" else "end_turn",
        "usage": {
            "inputTokens": usage["prompt_tokens"] - read - written,
            "outputTokens": usage["completion_tokens"],
            "totalTokens": usage["total_tokens"],
            **cached,
        },
    }


def _count(metrics: CloudWatch, account: str, region: str, profile: Profile, said: dict[str, Any]) -> None:
    """Put what was generated. The latency is that of the generation: how a stream is slowed is not in it."""
    counted = {name: float(said["usage"][key]) for key, name in _METERS.items() if key in said["usage"]}
    counted |= {"Invocations": 1.0, "InvocationLatency": float(said["latencyMs"])}
    metrics.record(account, region, "AWS/Bedrock", {"ModelId": profile.id}, counted)


def _frames(said: dict[str, Any], how: Streaming) -> Iterator[bytes]:
    """The events of a streamed answer, slowed and broken as ordered. Raises ConnectionCut where it ends."""
    yield _event("messageStart", {"role": "assistant"})
    words = said["text"].split(" ")
    for sent, word in enumerate(words):
        if sent in (how.fail_after_words, how.cut_after_words):
            break
        pace(how)
        text = word if sent == 0 else f" {word}"
        yield _event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
    else:
        yield _event("contentBlockStop", {"contentBlockIndex": 0})
        yield _event("messageStop", {"stopReason": said["stopReason"]})
        yield _event("metadata", {"usage": said["usage"], "metrics": {"latencyMs": said["latencyMs"]}})
        return
    if sent == how.cut_after_words:
        raise ConnectionCut
    yield _failure()


def _event(kind: str, value: dict[str, Any]) -> bytes:
    headers = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    return EventStreamEncoder().encode_message(headers, json.dumps(value).encode())


def _failure() -> bytes:
    headers = {
        ":message-type": "exception",
        ":exception-type": "modelStreamErrorException",
        ":content-type": "application/json",
    }
    body = {"message": "The model's stream ended early.", "originalStatusCode": 500}
    return EventStreamEncoder().encode_message(headers, json.dumps(body).encode())
