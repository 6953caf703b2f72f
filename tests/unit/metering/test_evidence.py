"""The digest of an answer: the same facts give the same digest, other facts another."""

from dataclasses import replace

from aws.gateway import SeriesQuery, SeriesResult
from metering.evidence import answer_digest

INPUT = SeriesQuery("q0", "N", "InputTokens", {"TenantId": "ten_a", "Line": "pooled"}, 3600)
OUTPUT = SeriesQuery("q1", "N", "OutputTokens", {"TenantId": "ten_a", "Line": "pooled"}, 3600)
FIVE, NOTHING = SeriesResult([(1_763_600_400, 5.0)], True), SeriesResult([], True)


def test_order_and_our_ids_do_not_count() -> None:
    there = answer_digest([(INPUT, FIVE), (OUTPUT, NOTHING)])
    again = answer_digest([(replace(OUTPUT, id="q7"), NOTHING), (replace(INPUT, id="q9"), FIVE)])
    assert there == again and len(there) == 64


def test_whatever_was_answered_counts() -> None:
    said = {
        answer_digest([(INPUT, FIVE)]),
        answer_digest([(OUTPUT, FIVE)]),
        answer_digest([(INPUT, NOTHING)]),
        answer_digest([(INPUT, replace(FIVE, complete=False))]),
        answer_digest([(INPUT, SeriesResult([(1_763_600_400, 6.0)], True))]),
        answer_digest([(INPUT, FIVE), (OUTPUT, NOTHING)]),
    }
    assert len(said) == 6
