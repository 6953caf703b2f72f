"""A digest of what a source answered, so that it can be shown later that a bill rests on it; pure."""

import hashlib
from collections.abc import Iterable

import msgspec

from aws.gateway import SeriesQuery, SeriesResult


def answer_digest(answered: Iterable[tuple[SeriesQuery, SeriesResult]]) -> str:
    """The sha256, in hex, over each query with the points that came for it; the order of the queries does not count.

    The ids of the queries are left out: they are ours, and number the queries of one call.
    """
    series = sorted(
        [
            query.namespace,
            query.metric,
            sorted(query.dimensions.items()),
            query.period_seconds,
            query.statistic,
            result.complete,
            result.points,
        ]
        for query, result in answered
    )
    return hashlib.sha256(msgspec.json.encode(series)).hexdigest()
