"""The plain loop beside which the collector is measured: boto3 as it comes, datetimes, executemany."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psycopg

METRICS, POINTS = 500, 12
HOUR = timedelta(hours=1)
# The columns and the key of ours, without parts; and, for who keeps the values alone, the least that can be kept.
TABLES = """
CREATE TABLE bench_bucket (tenant_id bigint, meter text, line text, adapter_version text, bucket_start timestamptz,
    bucket_seconds int, quantity numeric NOT NULL, source text, fetched_at timestamptz, request_id text,
    PRIMARY KEY (tenant_id, bucket_start, meter, line, adapter_version, source));
CREATE TABLE bench_revision (LIKE bench_bucket);
CREATE TABLE bench_day (tenant_id bigint, day date, meter text, line text, adapter_version text, quantity numeric,
    PRIMARY KEY (tenant_id, day, meter, line, adapter_version));
CREATE TABLE bench_value (tenant text, metric text, at timestamptz, value numeric, PRIMARY KEY (tenant, metric, at));
"""
PLAIN_VALUE = """
INSERT INTO bench_value VALUES (%s, %s, %s, %s) ON CONFLICT (tenant, metric, at) DO UPDATE SET value = EXCLUDED.value
"""
PLAIN_REVISION = """
INSERT INTO bench_revision SELECT * FROM bench_bucket
WHERE tenant_id = %(tenant)s AND bucket_start = %(at)s AND meter = %(meter)s AND line = 'pooled'
    AND adapter_version = 'base' AND source = %(source)s AND quantity <> %(value)s
"""
PLAIN_BUCKET = """
INSERT INTO bench_bucket VALUES (%(tenant)s, %(meter)s, 'pooled', 'base', %(at)s, 3600, %(value)s, %(source)s, %(now)s,
    %(request)s)
ON CONFLICT (tenant_id, bucket_start, meter, line, adapter_version, source)
DO UPDATE SET quantity = EXCLUDED.quantity, fetched_at = EXCLUDED.fetched_at, request_id = EXCLUDED.request_id
"""
PLAIN_DAYS = """
INSERT INTO bench_day SELECT tenant_id, (bucket_start AT TIME ZONE 'UTC')::date, meter, line, adapter_version,
    sum(quantity) FROM bench_bucket
WHERE bucket_start >= date_trunc('day', %(start)s::timestamptz, 'UTC')
    AND bucket_start < date_trunc('day', %(end)s::timestamptz, 'UTC') + interval '1 day' GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (tenant_id, day, meter, line, adapter_version) DO UPDATE SET quantity = EXCLUDED.quantity
"""


class PlainLoop:
    """What one writes first. `keeps_all`: also the values before and the sums of days, as the collector does."""

    def __init__(self, url: str, spans: Iterator[datetime], *, keeps_all: bool) -> None:
        from django.db import connection

        self._client: Any = boto3.client("cloudwatch", endpoint_url=url)
        self._spans = spans
        self._keeps_all = keeps_all
        self._queries = [
            {"Id": f"q{number}", "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "M", "Dimensions": [
                {"Name": "TenantId", "Value": f"t{number}"}]}, "Period": 3600, "Stat": "Sum"}}
            for number in range(METRICS)
        ]  # fmt: skip
        database = connection.get_connection_params()
        self._wanted = {name: database[name] for name in ("dbname", "user", "host", "port") if name in database}
        self._session_cpu = 0.0

    def __call__(self) -> None:
        """One call and its rows, committed."""
        start = next(self._spans)
        end = start + POINTS * HOUR
        reply = self._client.get_metric_data(MetricDataQueries=self._queries, StartTime=start, EndTime=end)
        points = [
            (result["Id"], at, value)
            for result in reply["MetricDataResults"]
            for at, value in zip(result["Timestamps"], result["Values"], strict=True)
        ]
        with psycopg.connect(**self._wanted) as mine, mine.cursor() as cursor:
            if self._keeps_all:
                rows = self._rows(points, reply["ResponseMetadata"].get("RequestId", ""))
                cursor.executemany(PLAIN_REVISION, rows)
                cursor.executemany(PLAIN_BUCKET, rows)
                cursor.execute(PLAIN_DAYS, {"start": start, "end": end - HOUR})
            else:
                cursor.executemany(PLAIN_VALUE, [(id_, "M", at, value) for id_, at, value in points])
            mine.commit()
            self._session_cpu += cpu_of(mine.info.backend_pid)

    def session_cpu(self) -> float:
        """Seconds of processor that its sessions in PostgreSQL have used so far."""
        return self._session_cpu

    def _rows(self, points: list[tuple[str, datetime, float]], request: str) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        return [
            {
                "tenant": int(id_[1:]) // 4, "meter": f"meter_{int(id_[1:]) % 4}", "at": at, "value": value,
                "source": "cloudwatch:us-west-2:N", "now": now, "request": request,
            }
            for id_, at, value in points
        ]  # fmt: skip


def cpu_of(pid: int) -> float:
    """Seconds of processor that a session in PostgreSQL has used so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
