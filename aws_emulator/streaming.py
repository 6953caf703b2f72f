"""InvokeEndpointWithResponseStream: the answer of `inference`, word by word, as LMI sends it and AWS wraps it.

LMI takes vLLM's OpenAI chunks, strips `data: ` and sends JSON lines; the closing `[DONE]` becomes an empty line. Usage
comes only when the request asks with `stream_options`. AWS wraps the bytes in event-stream frames whose ends have
nothing to do with ends of lines.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from moto.core.eventstream import EventStreamEncoder

from aws_emulator.copies import Copies, Place
from aws_emulator.inference import accept, complete, with_cache
from aws_emulator.wire import ConnectionCut, Reply, Request, new_request_id
from aws_emulator.world import Streaming, World

SUFFIX = "/invocations-response-stream"
OPERATION = "InvokeEndpointWithResponseStream"
CONTAINER_ERROR = "container_error"
"""The container itself gives up: a last line that holds its error, in a stream that ends well for AWS."""
FAILURES = ("StreamBroken", "ModelInvocationTimeExceeded", "InternalStreamFailure", CONTAINER_ERROR)


def answer(world: World, account: str, request: Request) -> Reply:
    """Answer one InvokeEndpointWithResponseStream call. Raises AwsError while nothing has been sent."""
    call = accept(world, account, request, OPERATION, SUFFIX)
    completion = with_cache(complete(call.loaded, call.asked), world.caching)
    if call.asked.get("stream"):
        content_type, lines = "application/jsonlines", _lines(completion, call.asked, int(world.clock.now()))
    else:
        # A container that is not asked to stream answers whole; AWS frames that too.
        content_type, lines = "application/json", [json.dumps(completion).encode()]
    headers = [
        ("Content-Type", "application/vnd.amazon.eventstream"),
        ("X-Amzn-SageMaker-Content-Type", content_type),
        ("x-Amzn-Invoked-Production-Variant", call.variant),
        ("x-amzn-RequestId", new_request_id()),
    ]
    frames = _frames(lines, world.streaming, world.copies)
    return Reply(200, headers, lost=call.lost, stream=_in_turn(frames, world.copies, call.place))


def _lines(completion: dict[str, Any], asked: dict[str, Any], created: int) -> list[bytes]:
    """One line per word, then the usage if it was asked for, then the empty line that stands for `[DONE]`."""
    [choice], usage = completion["choices"], completion["usage"]
    options = asked.get("stream_options") or {}
    is_counted = bool(options.get("include_usage"))
    is_counted_always = is_counted and bool(options.get("continuous_usage_stats"))
    head = {"id": completion["id"], "object": "text_completion", "created": created, "model": completion["model"]}
    words = str(choice["text"]).split(" ")
    lines = []
    for number, word in enumerate(words, start=1):
        text = word if number == 1 else f" {word}"
        reason = choice["finish_reason"] if number == len(words) else None
        chunk = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": None}
        counted = {"usage": _usage(usage["prompt_tokens"], number)} if is_counted_always else {}
        lines.append(_line({**head, "choices": [chunk], **counted}))
    if is_counted:
        lines.append(_line({**head, "choices": [], "usage": usage}))
    return [*lines, b"\n"]


def _usage(tokens_in: int, tokens_out: int) -> dict[str, int]:
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _in_turn(frames: Iterator[bytes], copies: Copies, place: Place) -> Iterator[bytes]:
    """The frames, once a copy takes the request; it is the copy's until the last frame is out."""
    with copies.taken(place):
        yield from frames


def _frames(lines: list[bytes], how: Streaming, copies: Copies) -> Iterator[bytes]:
    """The lines as PayloadParts, cut, slowed and broken as ordered. Raises ConnectionCut where the connection ends."""
    waiting = b""
    for sent, line in enumerate(lines):
        if sent in (how.fail_after_words, how.cut_after_words):
            break
        pace(how)
        copies.say(1)
        waiting += line
        size = how.chunk_bytes or len(waiting)
        while len(waiting) >= size:
            yield _part(waiting[:size])
            waiting = waiting[size:]
    else:
        sent = len(lines)
    if sent == how.fail_after_words and how.failure == CONTAINER_ERROR:
        waiting += _line({"error": "Input validation error: the engine died", "code": 424})
    if waiting:
        yield _part(waiting)
    if sent == how.cut_after_words:
        raise ConnectionCut
    if sent == how.fail_after_words and how.failure != CONTAINER_ERROR:
        yield _failure(how.failure)


def pace(how: Streaming) -> None:
    """Wait as long as one word takes."""
    if how.words_per_second:
        time.sleep(1 / how.words_per_second)


def _part(data: bytes) -> bytes:
    headers = {":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}
    return EventStreamEncoder().encode_message(headers, data)


def _failure(kind: str) -> bytes:
    """The frame in which AWS tells that a stream broke; the HTTP status was 200 long ago."""
    if kind == "InternalStreamFailure":
        name, body = kind, {"Message": "The stream failed inside the service."}
    else:
        name, body = "ModelStreamError", {"Message": f"The model's stream ended early: {kind}.", "ErrorCode": kind}
    headers = {":message-type": "exception", ":exception-type": name, ":content-type": "application/json"}
    return EventStreamEncoder().encode_message(headers, json.dumps(body).encode())
