"""CloudWatch's rules for what may be put, and for what a reader gets to see."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.conftest import Aws, at, refusal

HOUR, DAY = 3600, 86_400
TENANT = [{"Name": "TenantId", "Value": "ten_1"}, {"Name": "Line", "Value": "pooled"}]


def put(aws: Aws, value: float, when: float, dimensions: list[dict[str, str]] = TENANT, **more: Any) -> None:
    namespace = more.pop("namespace", "ControlPlane/DataPlane")
    datum = {"MetricName": "InputTokens", "Dimensions": dimensions, "Timestamp": at(when), "Value": value, **more}
    if "Value" in more and more["Value"] is None:
        del datum["Value"]
    aws.cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])


def query(name: str = "q", period: int = HOUR, stat: str = "Sum", **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "ControlPlane/DataPlane", "MetricName": "InputTokens", "Dimensions": TENANT}
    return {"Id": name, "MetricStat": {"Metric": {**metric, **more}, "Period": period, "Stat": stat}}


def read(aws: Aws, start: float, end: float, *queries: dict[str, Any], **more: Any) -> list[tuple[float, float]]:
    """The points of a single query, oldest first."""
    answer = aws.cloudwatch.get_metric_data(
        MetricDataQueries=list(queries) or [query()], StartTime=at(start), EndTime=at(end),
        ScanBy="TimestampAscending", **more,
    )  # fmt: skip
    [result] = answer["MetricDataResults"]
    assert result["StatusCode"] == "Complete"
    return [(time.timestamp(), value) for time, value in zip(result["Timestamps"], result["Values"], strict=True)]


@pytest.fixture
def hour(aws: Aws) -> float:
    """The beginning of a whole hour, between two and three hours ago."""
    return aws.now() // HOUR * HOUR - 2 * HOUR


def test_points_fall_on_the_grid_of_the_period(aws: Aws, hour: float) -> None:
    put(aws, 3, hour + 61)
    put(aws, 4, hour + 3599)
    put(aws, 5, hour + 3600)
    assert read(aws, hour, hour + 2 * HOUR) == [(hour, 7), (hour + HOUR, 5)]
    assert read(aws, hour, hour + HOUR, query(period=60)) == [(hour + 60, 3), (hour + 3540, 4)]


def test_the_start_is_inclusive_and_the_end_exclusive(aws: Aws, hour: float) -> None:
    put(aws, 1, hour)
    put(aws, 2, hour + HOUR)
    assert read(aws, hour, hour + HOUR) == [(hour, 1)]
    assert read(aws, hour + HOUR, hour + 2 * HOUR) == [(hour + HOUR, 2)]


def test_the_start_is_rounded_down_to_the_minute(aws: Aws, hour: float) -> None:
    put(aws, 1, hour)
    assert read(aws, hour + 30, hour + HOUR) == [(hour, 1)]
    assert read(aws, hour + 61, hour + HOUR) == []


def test_namespace_metric_and_the_exact_dimensions_set_series_apart(aws: Aws, hour: float) -> None:
    put(aws, 5, hour)
    put(aws, 1000, hour, namespace="Other")
    put(aws, 2000, hour, dimensions=TENANT[:1])
    put(aws, 4000, hour, MetricName="OutputTokens")
    assert read(aws, hour, hour + HOUR) == [(hour, 5)]
    assert read(aws, hour, hour + HOUR, query(Dimensions=list(reversed(TENANT)))) == [(hour, 5)]
    assert read(aws, hour, hour + HOUR, query(Dimensions=[])) == []


def test_percentiles_need_the_values(aws: Aws, hour: float) -> None:
    """Of values and their counts there are some, of sets of statistics only where all values are the same."""
    put(aws, 0, hour, Value=None, Values=[10.0, 20.0, 900.0], Counts=[80, 15, 5])
    put(aws, 20, hour + 1)
    asked = [query(f"q{place}", stat=stat) for place, stat in enumerate(("p50", "p90", "p95", "p99.9", "p0"))]
    answer = aws.cloudwatch.get_metric_data(MetricDataQueries=asked, StartTime=at(hour), EndTime=at(hour + HOUR))
    assert [result["Values"] for result in answer["MetricDataResults"]] == [[10], [20], [20], [900], [10]]
    alike = {"SampleCount": 400, "Sum": 4000, "Minimum": 10, "Maximum": 10}
    put(aws, 0, hour, Value=None, StatisticValues=alike)
    assert read(aws, hour, hour + HOUR, query(stat="p99")) == [(hour, 20)]
    put(aws, 0, hour, Value=None, StatisticValues={**alike, "Maximum": 30})
    assert read(aws, hour, hour + HOUR, query(stat="p90")) == []
    assert read(aws, hour, hour + HOUR) == [(hour, 5600 + 20 + 4000 + 4000)], "sums go on"


def test_a_missing_point_is_absent_not_nought(aws: Aws, hour: float) -> None:
    put(aws, 0, hour + 120)
    assert read(aws, hour, hour + HOUR, query(period=60)) == [(hour + 120, 0)]
    assert read(aws, hour + HOUR, hour + 2 * HOUR) == []


@pytest.mark.parametrize(
    ("stat", "value"), [("Sum", 30), ("SampleCount", 4), ("Average", 7.5), ("Minimum", 2), ("Maximum", 14)]
)
def test_statistics_come_from_values_counts_and_statistic_sets(aws: Aws, hour: float, stat: str, value: float) -> None:
    put(aws, 14, hour)
    put(aws, 0, hour + 60, Value=None, Values=[2, 4], Counts=[1, 1])
    sets = {"SampleCount": 1, "Sum": 10, "Minimum": 10, "Maximum": 10}
    put(aws, 0, hour + 120, Value=None, StatisticValues=sets)
    assert read(aws, hour, hour + HOUR, query(stat=stat)) == [(hour, value)]


def test_a_unit_that_was_not_put_returns_nothing(aws: Aws, hour: float) -> None:
    put(aws, 5, hour, Unit="Count")
    wrong, right = query(), query()
    wrong["MetricStat"]["Unit"], right["MetricStat"]["Unit"] = "Bytes", "Count"
    assert read(aws, hour, hour + HOUR, wrong) == []
    assert read(aws, hour, hour + HOUR, right) == read(aws, hour, hour + HOUR) == [(hour, 5)]


@pytest.mark.parametrize(
    ("days", "period", "seen"),
    [
        (0, 10, True), (0, 60, True), (2, 10, False), (2, 60, True), (14, 60, True), (16, 60, False),
        (16, 300, True), (62, 300, True), (64, 300, False), (64, 3600, True), (454, 3600, True), (456, 3600, False),
    ],
)  # fmt: skip
def test_old_data_is_only_kept_in_long_periods(aws: Aws, days: int, period: int, seen: bool) -> None:
    when = aws.now() // HOUR * HOUR - HOUR
    put(aws, 5, when)
    aws.control("clock", {"advance_seconds": days * DAY})
    assert bool(read(aws, when, when + HOUR, query(period=period))) is seen


@pytest.mark.parametrize(("days", "grain"), [(1, 60), (20, 300), (70, 3600)])
def test_the_older_the_start_the_further_it_is_rounded_down(aws: Aws, days: int, grain: int) -> None:
    when = aws.now() // HOUR * HOUR - HOUR
    put(aws, 5, when)
    aws.control("clock", {"advance_seconds": days * DAY})
    assert read(aws, when + grain - 1, when + 2 * HOUR) == [(when, 5)]
    assert read(aws, when + grain, when + 2 * HOUR) == []


def test_a_late_point_is_unseen_until_its_delay_is_over(aws: Aws, hour: float) -> None:
    put(aws, 1, hour)
    aws.control("metrics", {"late_seconds": 7200})
    put(aws, 10, hour)
    assert read(aws, hour, hour + HOUR) == [(hour, 1)]
    aws.control("clock", {"advance_seconds": 7201})
    assert read(aws, hour, hour + HOUR) == [(hour, 11)]


@pytest.fixture
def three_series(aws: Aws, hour: float) -> Iterator[list[dict[str, Any]]]:
    """Queries a, b, c with 5, 0 and 4 points of a minute each."""
    for minute in range(5):
        put(aws, minute, hour + 60 * minute)
    for minute in range(4):
        put(aws, 100 + minute, hour + 60 * minute, MetricName="OutputTokens")
    yield [
        query("a", period=60),
        query("b", period=60, MetricName="Requests"),
        query("c", period=60, MetricName="OutputTokens"),
    ]


@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
def test_results_are_spread_over_pages_and_merge_to_the_whole(
    aws: Aws, hour: float, three_series: list[dict[str, Any]], order: str
) -> None:
    request = {
        "MetricDataQueries": three_series, "StartTime": at(hour), "EndTime": at(hour + HOUR), "ScanBy": order,
        "MaxDatapoints": 3,
    }  # fmt: skip
    pages, merged, last = [], {"a": [], "b": [], "c": []}, {}
    while True:
        answer = aws.cloudwatch.get_metric_data(**request)
        pages.append([(r["Id"], len(r["Values"]), r["StatusCode"]) for r in answer["MetricDataResults"]])
        for result in answer["MetricDataResults"]:
            merged[result["Id"]] += result["Values"]
            last[result["Id"]] = result["StatusCode"]
        if "NextToken" not in answer:
            break
        request["NextToken"] = answer["NextToken"]
    assert pages == [
        [("a", 3, "PartialData")],
        [("a", 2, "Complete"), ("b", 0, "Complete"), ("c", 1, "PartialData")],
        [("c", 3, "Complete")],
    ]
    step = 1 if order == "TimestampAscending" else -1
    assert merged == {"a": [0, 1, 2, 3, 4][::step], "b": [], "c": [100, 101, 102, 103][::step]}
    assert set(last.values()) == {"Complete"}


def test_the_emulator_can_be_told_to_give_small_pages(
    aws: Aws, hour: float, three_series: list[dict[str, Any]]
) -> None:
    aws.control("metrics", {"page_size": 2})
    request = {"MetricDataQueries": three_series, "StartTime": at(hour), "EndTime": at(hour + HOUR)}
    pages = aws.cloudwatch.get_paginator("get_metric_data").paginate(**request)
    assert len(list(pages)) == 5


def test_a_token_belongs_to_its_request(aws: Aws, hour: float, three_series: list[dict[str, Any]]) -> None:
    request = {
        "MetricDataQueries": three_series, "StartTime": at(hour), "EndTime": at(hour + HOUR), "MaxDatapoints": 3,
    }  # fmt: skip
    token = aws.cloudwatch.get_metric_data(**request)["NextToken"]
    for changes in ({"MaxDatapoints": 4, "NextToken": token}, {"NextToken": "made-up"}):
        assert refusal(aws.cloudwatch.get_metric_data, **{**request, **changes})[0] == "InvalidNextToken"


def test_newest_first_is_the_default(aws: Aws, hour: float) -> None:
    put(aws, 1, hour)
    put(aws, 2, hour + HOUR)
    answer = aws.cloudwatch.get_metric_data(
        MetricDataQueries=[query()], StartTime=at(hour), EndTime=at(hour + 2 * HOUR)
    )
    assert answer["MetricDataResults"][0]["Values"] == [2, 1]
    assert answer["MetricDataResults"][0]["Label"] == "InputTokens"


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([query("Capital")], "lowercase letter"),
        ([query("a-b")], "lowercase letter"),
        ([query("a"), query("a")], "used twice"),
        ([query(period=7)], "Period"),
        ([query(period=90)], "Period"),
        ([query(stat="tm99")], "tm99"),
        ([query(stat="p101")], "p101"),
        ([{"Id": "a"}], "exactly one of MetricStat and Expression"),
        ([{"Id": "a", "Expression": "SUM(METRICS())"}], "does not compute expressions"),
        ([query(f"q{number}") for number in range(501)], "greater than 500"),
        ([query(Dimensions=[{"Name": f"n{number}", "Value": "v"} for number in range(31)])], "30"),
    ],
)
def test_a_bad_query_is_refused(aws: Aws, hour: float, queries: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        aws.cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=at(hour), EndTime=at(hour + HOUR))


def test_five_hundred_queries_are_answered(aws: Aws, hour: float) -> None:
    put(aws, 1, hour)
    answer = aws.cloudwatch.get_metric_data(
        MetricDataQueries=[query(f"q{number}") for number in range(500)],
        StartTime=at(hour), EndTime=at(hour + HOUR),
    )  # fmt: skip
    assert [result["Values"] for result in answer["MetricDataResults"]] == [[1.0]] * 500


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": 15 * DAY}, "within the past two weeks"),
        ({"age": -3 * HOUR}, "two hours in the future"),
        ({"Value": float("nan")}, "invalid|type double"),
        ({"Value": 2.0**361}, "invalid"),
        ({"Value": None}, "exactly one of"),
        ({"Values": [1.0]}, "exactly one of"),
        ({"Value": None, "Values": [1.0] * 151}, "150"),
        ({"Value": None, "Values": [1.0, 2.0], "Counts": [1.0]}, "count"),
        ({"Unit": "Tokens"}, "enum"),
        ({"StorageResolution": 5}, "StorageResolution"),
        ({"Dimensions": [{"Name": f"n{number}", "Value": "v"} for number in range(31)]}, "30"),
        ({"Dimensions": [{"Name": "a", "Value": "1"}, {"Name": "a", "Value": "2"}]}, "twice"),
        ({"namespace": "AWS/SageMaker"}, "Namespace"),
    ],
)
def test_a_bad_point_is_refused_and_nothing_is_kept(
    aws: Aws, hour: float, changes: dict[str, Any], message: str
) -> None:
    when = aws.now() - changes.pop("age", 0) if "age" in changes else hour
    with pytest.raises(ClientError, match=message):
        put(aws, 1, when, **changes)
    assert aws.cloudwatch.list_metrics()["Metrics"] == []


def test_one_bad_point_refuses_the_whole_request(aws: Aws, hour: float) -> None:
    good = {"MetricName": "InputTokens", "Dimensions": TENANT, "Timestamp": at(hour), "Value": 1}
    bad = {**good, "Timestamp": at(hour - 20 * DAY)}
    with pytest.raises(ClientError, match=r"MetricData\.member\.2\.Timestamp"):
        aws.cloudwatch.put_metric_data(Namespace="ControlPlane/DataPlane", MetricData=[good, bad])
    assert read(aws, hour, hour + HOUR) == []


def test_a_thousand_points_go_in_one_zipped_request_and_no_more(aws: Aws, hour: float) -> None:
    points = [
        {"MetricName": "InputTokens", "Dimensions": TENANT, "Timestamp": at(hour + number), "Value": 1}
        for number in range(1000)
    ]
    aws.cloudwatch.put_metric_data(Namespace="ControlPlane/DataPlane", MetricData=points)
    assert read(aws, hour, hour + HOUR) == [(hour, 1000)]
    with pytest.raises(ClientError, match="greater than 1000"):
        aws.cloudwatch.put_metric_data(Namespace="ControlPlane/DataPlane", MetricData=[*points, points[0]])


def test_the_two_weeks_are_those_of_the_emulated_clock(aws: Aws) -> None:
    today = aws.now()
    aws.control("clock", {"advance_seconds": 20 * DAY})
    put(aws, 1, today + 20 * DAY)
    with pytest.raises(ClientError, match="past two weeks"):
        put(aws, 1, today)


def test_metrics_are_listed_while_they_are_active(aws: Aws, hour: float) -> None:
    put(aws, 1, hour)
    put(aws, 1, hour, namespace="Other", dimensions=[])
    found = aws.cloudwatch.list_metrics(Namespace="ControlPlane/DataPlane", Dimensions=TENANT[:1])["Metrics"]
    assert [metric["MetricName"] for metric in found] == ["InputTokens"]
    assert len(aws.cloudwatch.list_metrics()["Metrics"]) == 2
    aws.control("clock", {"advance_seconds": timedelta(days=15).days * DAY})
    assert aws.cloudwatch.list_metrics()["Metrics"] == []


def test_other_operations_are_refused_rather_than_answered_emptily(aws: Aws, hour: float) -> None:
    code, _ = refusal(
        aws.cloudwatch.get_metric_statistics,
        Namespace="N", MetricName="m", StartTime=at(hour), EndTime=at(hour + HOUR), Period=60, Statistics=["Sum"],
    )  # fmt: skip
    assert code == "UnknownOperationException"
