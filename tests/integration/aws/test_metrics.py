"""CloudWatch: batches, pages merged by id, and completeness as CloudWatch says it."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest

from aws import connect, errors
from aws.gateway import SeriesQuery

NAMESPACE = "Test/Metrics"


def hour() -> datetime:
    """The beginning of an hour two hours ago."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)


def put(tenant: str, at: datetime, value: float) -> None:
    dimensions = [{"Name": "TenantId", "Value": tenant}]
    datum = {"MetricName": "InputTokens", "Dimensions": dimensions, "Timestamp": at, "Value": value, "Unit": "Count"}
    boto3.client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=[datum])


def ask(id_: str, tenant: str, period_seconds: int = 300) -> SeriesQuery:
    return SeriesQuery(id_, NAMESPACE, "InputTokens", {"TenantId": tenant}, period_seconds)


def test_values_come_as_epoch_seconds_and_numbers(aws):
    start = hour()
    for minutes, value in ((0, 5), (1, 7), (10, 11)):
        put("a", start + timedelta(minutes=minutes), value)
    reading = connect.metrics().read_series([ask("q1", "a"), ask("q2", "b")], start, start + timedelta(hours=1))
    base = int(start.timestamp())
    assert reading.series["q1"].points == [(base, 12.0), (base + 600, 11.0)]
    assert all(isinstance(at, int) for at, _ in reading.series["q1"].points)
    assert reading.series["q2"].points == [] and reading.series["q2"].complete
    assert reading.is_complete and all(reading.request_ids)


def test_pages_are_merged_by_id(aws):
    start = hour()
    for minutes in range(0, 60, 5):
        put("a", start + timedelta(minutes=minutes), minutes + 1)
    aws.post("metrics", {"page_size": 5})
    reading = connect.metrics().read_series([ask("q1", "a")], start, start + timedelta(hours=1))
    assert [value for _, value in reading.series["q1"].points] == [minutes + 1.0 for minutes in range(0, 60, 5)]
    assert reading.is_complete and len(reading.request_ids) == 3


def test_five_hundred_and_more_queries_are_split(aws):
    start = hour()
    put("t7", start, 3)
    queries = [ask(f"q{number}", f"t{number}") for number in range(501)]
    reading = connect.metrics().read_series(queries, start, start + timedelta(hours=1))
    assert len(reading.series) == 501 and len(reading.request_ids) == 2
    assert reading.series["q7"].points == [(int(start.timestamp()), 3.0)]


def test_the_metrics_of_a_namespace(aws):
    put("a", hour(), 1)
    found, request_ids = connect.metrics().list_metrics(NAMESPACE)
    assert [(each.metric, dict(each.dimensions)) for each in found] == [("InputTokens", {"TenantId": "a"})]
    assert all(request_ids)


def test_a_refused_question_is_rejected(aws):
    start = hour()
    with pytest.raises(errors.Rejected):
        connect.metrics().read_series([ask("Q1", "a")], start, start + timedelta(hours=1))
