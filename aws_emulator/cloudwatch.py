"""CloudWatch over JSON 1.0, as boto3 speaks to it: PutMetricData, GetMetricData and ListMetrics, with AWS's limits."""

import gzip
import hashlib
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from aws_emulator.clock import Clock
from aws_emulator.metric_store import DAY, MetricStore, Point, SeriesKey
from aws_emulator.shapes import find_faults, refusal, service_model
from aws_emulator.wire import AwsError, Reply, Request, json_reply, open_token, seal_token

_OLDEST_SECONDS, _NEWEST_SECONDS = 14 * DAY, 2 * 3600
_LARGEST_BODY_BYTES = 1024 * 1024
_MOST_DATA, _MOST_VALUES, _MOST_QUERIES, _MOST_DIMENSIONS = 1000, 150, 500, 30
_MOST_DATAPOINTS = 100_800
_METRICS_PER_PAGE = 500
_LARGEST_VALUE = 2.0**360
_HIGH_RESOLUTION_PERIODS = (1, 5, 10, 20, 30)
_STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"p(?:100|\d{1,2}(?:\.\d{1,10})?)")


def _wrong(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def _refused(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def _dimensions(given: list[dict[str, str]] | None, where: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple(sorted((item["Name"], item["Value"]) for item in given or []))
    if len(pairs) > _MOST_DIMENSIONS:
        raise _wrong(f"The collection {where}.Dimensions must not have a size greater than {_MOST_DIMENSIONS}.")
    if len({name for name, _ in pairs}) != len(pairs):
        raise _wrong(f"The parameter {where}.Dimensions names a dimension twice.")
    return pairs


class CloudWatch:
    """The metrics of all accounts. `late_seconds` is how long a new point stays unseen."""

    def __init__(self, clock: Clock) -> None:
        self.store = MetricStore()
        self.late_seconds = 0
        self.page_size = _MOST_DATAPOINTS
        self.on_put: Callable[[list[tuple[SeriesKey, Point]]], None] = lambda points: None
        """Called with what was accepted, under the store's lock."""
        self.on_reset: Callable[[], None] = lambda: None
        self._clock = clock
        self._operations: dict[str, Callable[[str, str, dict[str, Any]], dict[str, Any]]] = {
            "PutMetricData": self._put,
            "GetMetricData": self._get,
            "ListMetrics": self._list,
        }

    def answer(self, account: str, operation: str, request: Request) -> Reply:
        """Answer one call. Raises AwsError."""
        handler = self._operations.get(operation)
        if handler is None:
            raise AwsError("UnknownOperationException", f"The emulator does not know the operation {operation}.")
        if len(request.body) > _LARGEST_BODY_BYTES:
            raise AwsError("RequestEntityTooLarge", f"A request must not exceed {_LARGEST_BODY_BYTES} bytes.", 413)
        if request.headers.get("content-encoding") == "gzip":
            try:
                request.body = gzip.decompress(request.body)
            except (OSError, EOFError, zlib.error) as error:
                raise AwsError("SerializationException", f"The body is not gzip: {error}") from error
        parameters = {key: value for key, value in request.json().items() if value is not None}
        faults = find_faults(service_model("cloudwatch").operation_model(operation).input_shape, parameters)
        if faults:
            raise _refused(refusal(faults))
        return json_reply(handler(account, request.region, parameters), version="1.0")

    def reset(self) -> None:
        """Forget all points and go back to defaults."""
        self.store.clear()
        self.late_seconds, self.page_size = 0, _MOST_DATAPOINTS
        self.on_reset()

    def record(
        self, account: str, region: str, namespace: str, dimensions: dict[str, str], values: dict[str, float]
    ) -> None:
        """Keep what a service of AWS counts by itself, one value per metric, now; late like all other points."""
        now, pairs = self._clock.now(), tuple(sorted(dimensions.items()))
        begin = int(now // 60) * 60
        visible_at = now + self.late_seconds if self.late_seconds else 0.0
        points = [
            (
                SeriesKey(account, region, namespace, name, pairs),
                Point(begin, visible_at, "Count", value, 1.0, value, value),
            )
            for name, value in values.items()
        ]
        self._keep(points)

    # PutMetricData

    def _put(self, account: str, region: str, request: dict[str, Any]) -> dict[str, Any]:
        namespace = request["Namespace"]
        if namespace.startswith("AWS/"):
            raise _wrong("The value AWS/ for parameter Namespace is invalid.")
        data = list(request.get("MetricData") or [])
        for entity in request.get("EntityMetricData") or []:
            data.extend(entity.get("MetricData") or [])
        if not data:
            raise AwsError("MissingParameter", "The parameter MetricData is required.")
        if len(data) > _MOST_DATA:
            raise _wrong(f"The collection MetricData must not have a size greater than {_MOST_DATA}.")
        points, now = [], self._clock.now()
        for position, datum in enumerate(data, 1):
            where = f"MetricData.member.{position}"
            dimensions = _dimensions(datum.get("Dimensions"), where)
            key = SeriesKey(account, region, namespace, datum["MetricName"], dimensions)
            points.append((key, self._read_datum(datum, where, now)))
        self._keep(points)
        return {}

    def _keep(self, points: list[tuple[SeriesKey, Point]]) -> None:
        with self.store.lock:
            # First the journal: the store keeps these very points and lets later ones flow into them.
            self.on_put(points)
            for key, point in points:
                self.store.add(key, point)

    def _read_datum(self, datum: dict[str, Any], where: str, now: float) -> Point:
        at = datum.get("Timestamp", now)
        if at < now - _OLDEST_SECONDS:
            raise _wrong(f"The parameter {where}.Timestamp must specify a time within the past two weeks.")
        if at > now + _NEWEST_SECONDS:
            raise _wrong(f"The parameter {where}.Timestamp must specify a time no more than two hours in the future.")
        resolution = datum.get("StorageResolution", 60)
        if resolution not in (1, 60):
            raise _wrong(f"The parameter {where}.StorageResolution must be 1 or 60.")
        total, count, low, high, spread = _read_values(datum, where)
        for value in (total, count, low, high):
            if not math.isfinite(value) or abs(value) > _LARGEST_VALUE:
                raise _wrong(f"The value {value} of {where} is invalid.")
        begin = int(at // resolution) * resolution
        visible_at = now + self.late_seconds if self.late_seconds else 0.0
        return Point(begin, visible_at, datum.get("Unit", "None"), total, count, low, high, spread)

    # GetMetricData

    def _get(self, account: str, region: str, request: dict[str, Any]) -> dict[str, Any]:
        queries = request["MetricDataQueries"]
        if len(queries) > _MOST_QUERIES:
            raise _refused(f"The collection MetricDataQueries must not have a size greater than {_MOST_QUERIES}.")
        start, end = request["StartTime"], request["EndTime"]
        if start >= end:
            raise _refused("The parameter StartTime must be less than the parameter EndTime.")
        _check_queries(queries)
        told = {key: value for key, value in request.items() if key != "NextToken"}
        mark = hashlib.sha256(json.dumps([account, region, told], sort_keys=True).encode()).hexdigest()[:16]
        position, after = _open_page(request.get("NextToken"), mark)
        left = min(request.get("MaxDatapoints", _MOST_DATAPOINTS), self.page_size)
        descending = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        wanted = [query for query in queries if query.get("ReturnData", True)]
        answer: dict[str, Any] = {"MetricDataResults": [], "Messages": []}
        while position < len(wanted):
            if left == 0:
                answer["NextToken"] = seal_token([mark, position, after])
                break
            query = wanted[position]
            points = self._read_query(account, region, query["MetricStat"], start, end)
            if descending:
                points.reverse()
            if after is not None:
                points = [(at, value) for at, value in points if (at < after if descending else at > after)]
            page, rest = points[:left], points[left:]
            left -= len(page)
            answer["MetricDataResults"].append({
                "Id": query["Id"],
                "Label": query.get("Label") or query["MetricStat"]["Metric"]["MetricName"],
                "Timestamps": [at for at, _ in page],
                "Values": [value for _, value in page],
                "StatusCode": "PartialData" if rest else "Complete",
            })  # fmt: skip
            position, after = (position, page[-1][0]) if rest else (position + 1, None)
        return answer

    def _read_query(
        self, account: str, region: str, stat: dict[str, Any], start: float, end: float
    ) -> list[tuple[int, float]]:
        """The points of one query, oldest first."""
        now = self._clock.now()
        age, period = now - start, stat["Period"]
        # Which periods are kept depends on how long ago the range begins; for others AWS answers nothing, no error.
        step = 1 if age < 3 * 3600 else 60 if age < 15 * DAY else 300 if age < 63 * DAY else 3600
        if period % step:
            return []
        # Below a minute StartTime is taken as it is; else it is rounded down, the further the older it is.
        grain = max(step, 60) if period >= 60 else 1
        metric = stat["Metric"]
        key = SeriesKey(
            account, region, metric["Namespace"], metric["MetricName"],
            _dimensions(metric.get("Dimensions"), "MetricStat.Metric"),
        )  # fmt: skip
        rounded = int(start // grain) * grain
        found = self.store.read(key, rounded, math.ceil(end), period, stat.get("Unit"), now)
        told = [(at, point.statistic(stat["Stat"])) for at, point in found]
        return [(at, value) for at, value in told if value is not None]

    # ListMetrics

    def _list(self, account: str, region: str, request: dict[str, Any]) -> dict[str, Any]:
        wanted = [(item["Name"], item.get("Value")) for item in request.get("Dimensions") or []]
        rows = []
        for key in self.store.active(account, region, self._clock.now() - 14 * DAY):
            has = dict(key.dimensions)
            if (
                request.get("Namespace") in (None, key.namespace)
                and request.get("MetricName") in (None, key.metric)
                and all(name in has and value in (None, has[name]) for name, value in wanted)
            ):
                rows.append(key)
        start = 0
        if "NextToken" in request:
            try:
                start = int(open_token(request["NextToken"]))
            except (ValueError, TypeError) as error:
                raise AwsError("InvalidParameterValue", "Invalid NextToken.") from error
        page = rows[start : start + _METRICS_PER_PAGE]
        answer: dict[str, Any] = {
            "Metrics": [
                {
                    "Namespace": key.namespace,
                    "MetricName": key.metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in key.dimensions],
                }
                for key in page
            ]
        }
        if len(rows) > start + len(page):
            answer["NextToken"] = seal_token(start + len(page))
        return answer


def _read_values(datum: dict[str, Any], where: str) -> tuple[float, float, float, float, dict[float, float] | None]:
    """Total, count, lowest and highest of what one datum holds, and how often which value, if it says so."""
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if len(given) != 1:
        raise AwsError("InvalidParameterCombination", f"{where} needs exactly one of Value, Values, StatisticValues.")
    if "Value" in datum:
        value = float(datum["Value"])
        return value, 1.0, value, value, None
    if "StatisticValues" in datum:
        found = datum["StatisticValues"]
        if found["SampleCount"] <= 0 or found["Minimum"] > found["Maximum"]:
            raise _wrong(f"{where}.StatisticValues is not a set of statistics.")
        return float(found["Sum"]), float(found["SampleCount"]), float(found["Minimum"]), float(found["Maximum"]), None
    values = datum["Values"]
    counts = datum.get("Counts") or [1.0] * len(values)
    if not values or len(values) > _MOST_VALUES or len(counts) != len(values) or min(counts) <= 0:
        raise _wrong(f"{where} takes 1 to {_MOST_VALUES} Values and a positive count for each.")
    total = math.fsum(value * count for value, count in zip(values, counts, strict=True))
    spread: Counter[float] = Counter()
    for value, count in zip(values, counts, strict=True):
        spread[value] += count
    return total, math.fsum(counts), min(values), max(values), dict(spread)


def _check_queries(queries: list[dict[str, Any]]) -> None:
    seen = set()
    for query in queries:
        name = query["Id"]
        if not (name[0].islower() and name[0].isascii() and name.replace("_", "a").isalnum() and name.isascii()):
            raise _refused(
                f"The value {name} for parameter MetricDataQueries.member.Id is invalid: it must start "
                "with a lowercase letter and hold only letters, digits and underscores."
            )
        if name in seen:
            raise _refused(f"The Id {name} is used twice.")
        seen.add(name)
        if ("MetricStat" in query) == ("Expression" in query):
            raise _refused(f"Query {name} needs exactly one of MetricStat and Expression.")
        if "Expression" in query:
            raise _refused(f"Query {name}: the emulator does not compute expressions.")
        period, stat = query["MetricStat"]["Period"], query["MetricStat"]["Stat"]
        if period not in _HIGH_RESOLUTION_PERIODS and period % 60:
            raise _refused(f"Query {name}: Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
        if stat not in _STATISTICS and not _PERCENTILE.fullmatch(stat):
            raise _refused(f"Query {name}: the emulator computes {', '.join(_STATISTICS)} and p90, not {stat}.")


def _open_page(token: str | None, mark: str) -> tuple[int, int | None]:
    """Where the page of `token` begins: position of the query and the last timestamp given of it."""
    if token is None:
        return 0, None
    try:
        token_mark, position, after = open_token(token)
        if token_mark != mark:
            raise ValueError("of another request")
    except (ValueError, TypeError) as error:
        raise AwsError("InvalidNextToken", "The next token is invalid or belongs to another request.") from error
    return int(position), after
