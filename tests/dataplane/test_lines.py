"""Reading streams: any cut into parts gives the same text and the same counts."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.lines import LONGEST_LINE_CHARACTERS, AnswerReader, LineReader, StreamBroken, Tally

TEXTS = ["図書館", " は", " 何時\n", "", " né?", " 📚", ' "x"\\', "\u2028 y"]
WHOLE = "".join(TEXTS)


def usage(out: int) -> dict[str, int]:
    return {"prompt_tokens": 9, "completion_tokens": out, "total_tokens": 9 + out}


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def openai(prefix: str, *, chat: bool = False, done: str = "") -> bytes:
    """Chunks of vLLM; what LMI forwards has no prefix and an empty line for the end."""
    lines = []
    for number, text in enumerate(TEXTS):
        said = {"delta": {"content": text}} if chat else {"text": text}
        reason = "stop" if number == len(TEXTS) - 1 else None
        lines.append({"choices": [{"index": 0, **said, "finish_reason": reason}], "usage": None})
    lines.append({"choices": [], "usage": usage(11)})
    return "".join(f"{prefix}{dumped(line)}\n\n" for line in lines).encode() + f"{done}\n\n".encode()


def tokens(prefix: str, generated: int) -> bytes:
    """Token lines, of TGI or of LMI's `inputs` schema."""
    lines: list[dict[str, Any]] = [
        {"index": number, "token": {"id": number, "text": text, "logprob": -0.1}, "generated_text": None}
        for number, text in enumerate(TEXTS, start=1)
    ]
    end = {"finish_reason": "length", "generated_tokens": generated, "input_length": 9}
    last = {"token": {"id": 2, "text": "</s>", "special": True}, "generated_text": WHOLE, "details": end}
    return "".join(f"{prefix}{dumped(line)}\n\n" for line in [*lines, last]).encode()


STREAMS = {
    "vLLM": openai("data: ", done="data: [DONE]"),
    "vLLM, chat": openai("data: ", chat=True, done="data: [DONE]"),
    "LMI, prompt": openai(""),
    "TGI": b": keep-alive\n\n" + tokens("data:", 11),
    "LMI, inputs": tokens("", 12),
    "carriage returns": openai("data: ", done="data: [DONE]").replace(b"\n", b"\r\n"),
    "event names": b"event: message\nid: 1\nretry: 10\n" + openai("data: "),
    "whole": dumped({"choices": [{"text": WHOLE, "finish_reason": "stop"}], "usage": usage(11)}).encode(),
    "whole chat": dumped(
        {"choices": [{"index": 0, "message": {"content": WHOLE}, "finish_reason": "stop"}], "usage": usage(11)}
    ).encode(),
}


def read(parts: list[bytes]) -> tuple[str, Tally]:
    lines, answer = LineReader(), AnswerReader()
    text = "".join(answer.read(line) for part in parts for line in lines.feed(part))
    return text + "".join(answer.read(line) for line in lines.end()), answer.tally


@pytest.mark.parametrize("name", STREAMS)
def test_every_format_gives_text_and_usage(name: str) -> None:
    text, tally = read([STREAMS[name]])
    assert text == WHOLE
    assert (tally.input_tokens, tally.output_tokens, tally.is_final) == (9, 11, True)
    assert tally.finish_reason in ("stop", "length")


@pytest.mark.parametrize("name", STREAMS)
def test_no_single_cut_changes_anything(name: str) -> None:
    data = STREAMS[name]
    whole = read([data])
    for at in range(len(data) + 1):
        assert read([data[:at], data[at:]]) == whole, at
    assert read([data[at : at + 1] for at in range(len(data))]) == whole


@settings(max_examples=150, deadline=None)
@given(data=st.sampled_from(sorted(STREAMS)), cuts=st.lists(st.integers(0, 2000), max_size=40))
def test_no_cuts_change_anything(data: str, cuts: list[int]) -> None:
    stream = STREAMS[data]
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert read([stream[a:b] for a, b in pairwise(edges)]) == read([stream])


@settings(max_examples=150, deadline=None)
@given(stop=st.integers(0, 3000), name=st.sampled_from(["vLLM", "LMI, prompt", "TGI", "LMI, inputs"]))
def test_a_stream_that_stops_anywhere_gives_a_beginning_and_never_more_than_was_there(stop: int, name: str) -> None:
    lines, answer = LineReader(), AnswerReader()
    text = "".join(answer.read(line) for line in lines.feed(STREAMS[name][:stop]))
    assert WHOLE.startswith(text)
    assert answer.tally.pieces <= len(TEXTS)
    assert not answer.tally.is_final or text == WHOLE


def test_usage_with_every_chunk_counts_as_far_as_was_read() -> None:
    answer = AnswerReader()
    for number, text in enumerate(["a", " b c"], start=1):
        answer.read(dumped({"choices": [{"text": text, "finish_reason": None}], "usage": usage(2 * number)}))
    assert (answer.tally.input_tokens, answer.tally.output_tokens, answer.tally.is_final) == (9, 4, False)
    answer.read(dumped({"choices": [{"text": "", "finish_reason": "stop"}], "usage": usage(4)}))
    assert answer.tally.is_final


def test_another_answer_beside_the_first_is_not_mixed_in() -> None:
    answer = AnswerReader()
    both = [{"index": 1, "text": "other"}, {"index": 0, "text": "first"}]
    assert answer.read(dumped({"choices": both})) == "first"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"error": "the engine died", "code": 424}', "gave up: the engine died .code 424"),
        ('data:{"error":"Overloaded","error_type":"overloaded"}', "gave up: Overloaded"),
        ('data: {"error": {"message": "too long.", "code": 400}}', "gave up: too long .code 400"),
        ('{"token": {"id": -1, "text": ""}, "details": {"finish_reason": "error"}}', "gave up"),
        ('{"choices": [{}]}', "unknown form"),
        ('{"choices": [], "usage": {"prompt_tokens": 1}}', "unknown form"),
        ('{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": -1}}', "whole numbers"),
        ('{"choices": [], "usage": {"prompt_tokens": true, "completion_tokens": 1}}', "whole numbers"),
        ('{"token": {"id": 1, "text": "a"}, "details": {"generated_tokens": 0}}', "whole numbers"),
        (
            '{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, '
            '"prompt_tokens_details": {"cached_tokens": 2}}}',
            "more cached tokens",
        ),
        ("{}", "neither text nor usage"),
        ("[1]", "no JSON object"),
        ("<html>", "no JSON"),
    ],
)
def test_what_is_no_answer_is_said(line: str, says: str) -> None:
    with pytest.raises(StreamBroken, match=says):
        AnswerReader().read(line)


def test_bytes_that_are_no_text_and_lines_without_end_are_refused() -> None:
    with pytest.raises(StreamBroken, match="UTF-8"):
        list(LineReader().feed(b"\xff\n"))
    cut = LineReader()
    assert list(cut.feed("図".encode()[:2])) == []
    with pytest.raises(StreamBroken, match="UTF-8"):
        list(cut.end())
    with pytest.raises(StreamBroken, match="characters"):
        list(LineReader().feed(b"x" * (LONGEST_LINE_CHARACTERS + 1)))
