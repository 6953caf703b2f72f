"""Streaming from a real endpoint: the same answer, the same counts, and what is counted when it is cut."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING

import pytest

from dataplane.errors import ModelFailed, ModelUnavailable, TenantSuspended, UnknownRoute
from tests.dataplane.conftest import VERSION, document

if TYPE_CHECKING:
    from dataplane import Kit
    from tests.dataplane.conftest import Plane

PROMPT = "図書館は 何時に 開きますか"
EXACT = {"ignore_eos": True}


@pytest.fixture
def kit(plane: Plane) -> Kit:
    plane.publish(document())
    return plane.kit()


def stream_as(plane: Plane, **order: object) -> None:
    plane.aws.post("inference", order)


def sent(kit: Kit) -> dict[str, int]:
    return kit.flush().sent


def test_a_stream_gives_the_text_and_the_counts_of_the_whole_answer(plane: Plane, kit: Kit) -> None:
    whole = kit.complete("support", PROMPT, 20)
    assert sent(kit) == {"InputTokens": 3, "OutputTokens": whole.output_tokens, "Requests": 1}
    stream = kit.stream("support", PROMPT, 20)
    pieces = list(stream)
    done = stream.completion
    assert "".join(pieces) == done.text == whole.text
    assert len(pieces) > 1
    assert (done.input_tokens, done.output_tokens) == (whole.input_tokens, whole.output_tokens)
    assert (done.adapter_version, done.line, done.version_number) == (VERSION, "pooled", 3)
    assert not done.is_partial
    assert sent(kit) == {"InputTokens": 3, "OutputTokens": whole.output_tokens, "Requests": 1}


def test_parts_cut_anywhere_change_nothing(plane: Plane, kit: Kit) -> None:
    whole = kit.complete("support", PROMPT, 20)
    for size in (1, 2, 3, 5, *random.Random(3).sample(range(7, 600), 8)):
        stream_as(plane, stream_chunk_bytes=size)
        stream = kit.stream("support", PROMPT, 20)
        assert "".join(stream) == whole.text, size
        assert stream.completion.output_tokens == whole.output_tokens, size
        assert not stream.completion.is_partial


def test_a_piece_is_there_before_the_answer_is_finished(plane: Plane, kit: Kit) -> None:
    stream_as(plane, words_per_second=40)
    began = time.monotonic()
    stream = kit.stream("support", "a", 16, options=EXACT)
    first = next(stream)
    waited = time.monotonic() - began
    assert first
    for _ in stream:
        pass
    taken = time.monotonic() - began
    assert taken >= 0.4
    first_byte = stream.completion.first_byte_seconds
    assert first_byte is not None
    assert 0 < first_byte <= waited < taken / 2


BREAKS: list[tuple[dict[str, object], str]] = [
    ({"stream_fail_after_words": 5}, "ModelStreamError.*StreamBroken"),
    ({"stream_fail_after_words": 5, "stream_failure": "ModelInvocationTimeExceeded"}, "ModelInvocationTimeExceeded"),
    ({"stream_fail_after_words": 5, "stream_failure": "InternalStreamFailure"}, "InternalStreamFailure"),
    ({"stream_fail_after_words": 5, "stream_failure": "container_error"}, "gave up.*424"),
    ({"stream_fail_after_words": None, "stream_cut_after_words": 5}, "connection broke off"),
]


def test_a_cut_answer_is_counted_as_far_as_it_was_delivered(plane: Plane, kit: Kit) -> None:
    whole = kit.complete("support", PROMPT, 20, options=EXACT)
    sent(kit)
    for order, says in BREAKS:
        stream_as(plane, **order, stream_chunk_bytes=90)
        stream = kit.stream("support", PROMPT, 20, options=EXACT)
        text = "".join(stream)
        done = stream.completion
        assert text == done.text == " ".join(whole.text.split(" ")[:5])
        assert (done.input_tokens, done.output_tokens, done.is_partial) == (3, 5, True)
        assert re.search(says, done.cut_reason)
        assert sent(kit) == {"InputTokens": 3, "OutputTokens": 5, "Requests": 1}


def test_a_break_after_the_last_word_takes_nothing_away(plane: Plane, kit: Kit) -> None:
    """Each chunk brings its usage, so nothing is missing but the end mark."""
    stream_as(plane, stream_cut_after_words=20)
    stream = kit.stream("support", PROMPT, 20, options=EXACT)
    assert len("".join(stream).split(" ")) == 20
    assert (stream.completion.output_tokens, stream.completion.is_partial) == (20, False)


def test_a_stream_that_breaks_before_its_first_word_raises_and_counts_nothing(plane: Plane, kit: Kit) -> None:
    orders: list[tuple[dict[str, object], type[Exception]]] = [
        ({"stream_fail_after_words": 0}, ModelUnavailable),
        ({"stream_fail_after_words": 0, "stream_failure": "container_error"}, ModelFailed),
        ({"stream_fail_after_words": None, "stream_cut_after_words": 0}, ModelUnavailable),
    ]
    for order, error in orders:
        stream_as(plane, **order)
        with pytest.raises(error):
            kit.stream("support", PROMPT, 20)
    assert sent(kit) == {}


def test_a_reader_that_stops_pays_for_what_it_got(plane: Plane, kit: Kit) -> None:
    with kit.stream("support", PROMPT, 20, options=EXACT) as stream:
        with pytest.raises(RuntimeError, match="not ended"):
            _ = stream.completion
        got = [next(stream) for _ in range(4)]
    assert stream.completion.text == "".join(got)
    assert (stream.completion.output_tokens, stream.completion.is_partial) == (4, True)
    assert list(stream) == []
    stream.close()
    assert sent(kit) == {"InputTokens": 3, "OutputTokens": 4, "Requests": 1}
    assert len(list(kit.stream("support", PROMPT, 20, options=EXACT))) == 20, "the next one has a connection of its own"


def test_a_stream_is_refused_as_an_answer_is(plane: Plane, kit: Kit) -> None:
    with pytest.raises(UnknownRoute):
        kit.stream("sales", "a", 1)
    plane.aws.fault("throttle", operation="InvokeEndpointWithResponseStream")
    with pytest.raises(ModelUnavailable, match="ThrottlingException"):
        kit.stream("support", "a", 1)
    plane.publish(document(version=2, status="suspended"))
    kit.config(fresh=True)
    with pytest.raises(TenantSuspended):
        kit.stream("support", "a", 1)
    assert sent(kit) == {}


def test_a_body_cannot_turn_the_counting_off_or_choose_another_model(plane: Plane, kit: Kit) -> None:
    options = {"stream": False, "stream_options": {}, "model": "other", "adapters": ["other"], **EXACT}
    stream = kit.stream("support", PROMPT, 6, options=options)
    assert len(list(stream)) == 6
    assert stream.completion.output_tokens == 6
