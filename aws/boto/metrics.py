"""CloudWatch GetMetricData: batches of 500 queries, pages merged by id."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aws import errors
from aws.boto.translate import call, request_id
from aws.gateway import MetricName, SeriesQuery, SeriesReading, SeriesResult

QUERIES_PER_CALL = 500
COMPLETE = "Complete"
PARTIAL = "PartialData"


class BotoMetrics:
    """`MetricsGateway` over a boto3 `cloudwatch` client whose timestamps are epoch seconds."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def read_series(self, queries: Sequence[SeriesQuery], start: datetime, end: datetime) -> SeriesReading:
        """See MetricsGateway.read_series. Raises Retryable when a page is cut or a page token repeats itself."""
        series: dict[str, SeriesResult] = {}
        request_ids: list[str] = []
        for first in range(0, len(queries), QUERIES_PER_CALL):
            batch = queries[first : first + QUERIES_PER_CALL]
            merged = _Merge([query.id for query in batch])
            arguments = {
                "MetricDataQueries": [_question(query) for query in batch],
                "StartTime": start,
                "EndTime": end,
                "ScanBy": "TimestampAscending",
            }
            for page in self._pages(self._client.get_metric_data, "GetMetricData", "MetricDataResults", arguments):
                request_ids.append(request_id(page))
                merged.add(page)
            series.update(merged.results())
        return SeriesReading(series=series, request_ids=tuple(request_ids))

    def list_metrics(self, namespace: str, *, metric: str = "") -> tuple[list[MetricName], tuple[str, ...]]:
        """See MetricsGateway.list_metrics."""
        arguments = {"Namespace": namespace, **({"MetricName": metric} if metric else {})}
        found: list[MetricName] = []
        request_ids: list[str] = []
        for page in self._pages(self._client.list_metrics, "ListMetrics", "Metrics", arguments):
            request_ids.append(request_id(page))
            for entry in page["Metrics"]:
                dimensions = {part["Name"]: part["Value"] for part in entry.get("Dimensions", [])}
                found.append(MetricName(entry["Namespace"], entry["MetricName"], dimensions))
        return found, tuple(request_ids)

    def _pages(self, method: Any, operation: str, needed: str, arguments: dict[str, Any]) -> Any:
        token: str | None = None
        while True:
            page = call(method, operation, needed, **arguments, **({"NextToken": token} if token else {}))
            yield page
            following = page.get("NextToken")
            if not following:
                return
            if following == token:
                raise errors.Unreachable(
                    code="RepeatedToken",
                    message="a page names itself as the next page",
                    operation=operation,
                    request_id=request_id(page),
                )
            token = following


class _Merge:
    """Collects the pages of one call. A series is complete when its last page says so and no page failed."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._points: dict[str, list[tuple[int, float]]] = {id_: [] for id_ in ids}
        self._status: dict[str, str] = {}
        self._messages: dict[str, list[str]] = {id_: [] for id_ in ids}

    def add(self, page: dict[str, Any]) -> None:
        for result in page["MetricDataResults"]:
            id_ = result["Id"]
            stamps, values = result.get("Timestamps", []), result.get("Values", [])
            status = result.get("StatusCode", "NoStatus")
            if len(stamps) != len(values):
                status = "UnevenAnswer"
            self._points[id_].extend(zip(map(int, stamps), values, strict=False))
            if self._status.get(id_, PARTIAL) in (PARTIAL, COMPLETE):
                self._status[id_] = status
            self._messages[id_].extend(message.get("Value", "") for message in result.get("Messages", []))

    def results(self) -> dict[str, SeriesResult]:
        answers = {}
        for id_, points in self._points.items():
            status = self._status.get(id_, "NoAnswer")
            complete = status == COMPLETE
            said = "; ".join(filter(None, self._messages[id_]))
            message = said if complete else ": ".join(filter(None, [status, said]))
            answers[id_] = SeriesResult(points=sorted(points), complete=complete, message=message)
        return answers


def _question(query: SeriesQuery) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in sorted(query.dimensions.items())]
    metric = {"Namespace": query.namespace, "MetricName": query.metric, "Dimensions": dimensions}
    return {
        "Id": query.id,
        "MetricStat": {"Metric": metric, "Period": query.period_seconds, "Stat": query.statistic},
        "ReturnData": True,
    }
