"""Usage in: REST batches beside the bare INSERT of the same rows, the collector beside a plain boto3 loop.

The plain loop is what one writes first: boto3 as it comes with its datetimes and its checks, a connection per call,
executemany. It is run twice: once it keeps what the collector keeps (the values with where they came from, the values
before, and the sums of days), once the values alone. It opens no windows, looks at no status, takes no lock and digests
no answer; the collector does all of that and is not measured without it. CPU is of this process and of its sessions in
PostgreSQL: other work on the machine moves it far less than the clock.
"""

import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import django

from bench.measure import medians
from bench.plain_loop import METRICS, POINTS, TABLES, PlainLoop, cpu_of

EVENTS = 1000
HOUR = timedelta(hours=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
CALLERS, WORKERS = 4, 2
# Ordinary tables with the columns and the key of ours: with a log, without parts, without anything around them.
FLOOR_TABLES = """
CREATE TABLE bench_event (tenant_id bigint NOT NULL, series_id bigint NOT NULL, batch_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL, quantity bigint NOT NULL CHECK (quantity > 0), event_id varchar(64) NOT NULL,
    PRIMARY KEY (tenant_id, event_id));
"""
FLOOR_INSERT = """
INSERT INTO bench_event (tenant_id, event_id, series_id, batch_id, occurred_at, quantity)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[])
ON CONFLICT (tenant_id, event_id) DO NOTHING
"""


class Canned(BaseHTTPRequestHandler):
    """Answers GetCallerIdentity, and GetMetricData with the same points for every query of the span asked for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One call."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"GetCallerIdentity" in body:
            names = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
            said = "<Arn>arn:aws:iam::123456789012:user/bench</Arn><UserId>x</UserId><Account>123456789012</Account>"
            answer = f"<GetCallerIdentityResponse {names}><GetCallerIdentityResult>{said}</GetCallerIdentityResult>"
            return self._send("text/xml", (answer + "</GetCallerIdentityResponse>").encode())
        asked = json.loads(body)
        begin = int(asked["StartTime"])
        stamps = json.dumps([begin + hour * 3600 for hour in range(POINTS)])
        values = json.dumps([float(begin % 977 + hour) for hour in range(POINTS)])
        results = ",".join(
            f'{{"Id":"{query["Id"]}","Timestamps":{stamps},"Values":{values},"StatusCode":"Complete"}}'
            for query in asked["MetricDataQueries"]
        )
        self._send("application/x-amz-json-1.0", f'{{"MetricDataResults":[{results}]}}'.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _serve(ready: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canned)
    ready.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def canned_server() -> Iterator[str]:
    """The address of a canned CloudWatch in a process of its own."""
    near, far = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(far,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{near.recv()}"
    finally:
        process.terminate()
        process.join()


@contextmanager
def web_server() -> Iterator[str]:
    """The product's web server, as the stack starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    argv = [sys.executable, "-m", "gunicorn", "controlplane.wsgi:application", "--bind", address, "--no-control-socket"]
    argv += ["--workers", str(WORKERS), "--log-level", "error"]
    process = subprocess.Popen(argv, env=os.environ | {"CP_PUBLIC_URL": f"http://{address}"})
    try:
        for _ in range(300):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", int(address.partition(":")[2]))) == 0:
                    break
            time.sleep(0.1)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def events(tenant: str, turn: int) -> list[dict[str, Any]]:
    """A batch of new events, spread over the last hour."""
    now = datetime.now(UTC)
    return [
        {
            "id": f"req-{turn:06d}-{number:04d}-{os.getpid()}", "tenant": tenant, "meter": "output_tokens",
            "line": "pooled", "adapter_version": "base", "quantity": 1 + number,
            "occurred_at": (now - timedelta(seconds=3 * number)).isoformat(),
        }
        for number in range(EVENTS)
    ]  # fmt: skip


def at_once(job: Callable[[Any], None], make: Callable[[], Any], rounds: int) -> Callable[[], None]:
    """Each of CALLERS callers doing one batch, all at the same time; the batches are made before the clock starts."""
    pool = ThreadPoolExecutor(CALLERS)
    batches = [[make() for _ in range(CALLERS)] for _ in range(rounds + 1)]
    return lambda: consume(pool.map(job, batches.pop()))


def consume(results: Iterable[object]) -> None:
    """Wait for every one, and raise what any raised."""
    for _ in results:
        pass


def rest(url: str, key: str) -> Callable[[str], None]:
    """Posting one batch to the product's web server."""
    where = urlsplit(url)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(body: str) -> None:
        connection = http.client.HTTPConnection(where.hostname or "", where.port)
        connection.request("POST", "/api/v1/usage-events", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == 200 and json.loads(text)["accepted"] == EVENTS, text

    return post


def columns(batch: list[dict[str, Any]], number: int) -> list[list[Any]]:
    """A batch as the columns of the bare table."""
    return [
        [1] * EVENTS, [each["id"] for each in batch], [1] * EVENTS, [number] * EVENTS,
        [each["occurred_at"] for each in batch], [each["quantity"] for each in batch],
    ]  # fmt: skip


def bare_insert() -> Callable[[list[list[Any]]], None]:
    """The same rows by one INSERT from arrays, committed; each caller keeps a connection of its own."""
    from django.db import connection

    def insert(batch: list[list[Any]]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(FLOOR_INSERT, batch)

    return insert


def collector(scope: Any, spans: Iterator[datetime]) -> Callable[[], None]:
    """What the collector does with one claimed stretch of hours."""
    from django.db import transaction

    from core.periods import Period
    from metering import store
    from metering.services.collection import read_span

    def collect() -> None:
        start = next(spans)
        batch = read_span(scope, Period(start, start + POINTS * HOUR), start + 2 * POINTS * HOUR)
        assert not batch.problem and len(batch.readings) == METRICS * POINTS, (batch.problem, len(batch.readings))
        with transaction.atomic():
            store.write_readings(batch.readings)

    return collect


def compare_collector(scope: Any, url: str, starts: list[datetime], rounds: int) -> None:
    """The collector beside both plain loops, run in turn: on hours that nobody has read, then on the same again."""
    from django.db import connection

    session = connection.connection.info.backend_pid
    for what in ("first reads", "re-reads"):
        plain, values = (PlainLoop(url, iter(starts), keeps_all=each) for each in (True, False))
        jobs: dict[str, tuple[Callable[[], None], Callable[[], float]]] = {
            "ours": (collector(scope, iter(starts)), partial(cpu_of, session)),
            "plain": (plain, plain.session_cpu),
            "values": (values, values.session_cpu),
        }
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
        for turn in range(rounds + 1):
            for name, (job, session_cpu) in jobs.items():
                began, cpu = time.perf_counter(), time.process_time() + session_cpu()
                job()
                if turn:
                    spent[name].append((time.perf_counter() - began, time.process_time() + session_cpu() - cpu))
        took, used = ({name: statistics.median(each[at] for each in spent[name]) for name in spent} for at in (0, 1))
        rows = METRICS * POINTS
        show(f"collector, {what}", took["ours"], took["plain"], "plain loop that keeps the same", rows, 3)
        show(f"collector, {what}", took["ours"], took["values"], "plain loop, values alone", rows, 3)
        print(
            f"{'':<34} CPU {1000 * used['ours']:.0f} ms; the plain loop {1000 * used['plain']:.0f} ms "
            f"({used['plain'] / used['ours']:.2f} times), values alone {1000 * used['values']:.0f} ms "
            f"({used['values'] / used['ours']:.2f} times)"
        )


def many_tenants() -> Any:
    """A scope of tenants, each with one route: METRICS metrics together."""
    from core.actors import SYSTEM
    from metering.meters import CLOUDWATCH_METERS
    from metering.models import MeteringScope
    from metering.partitions import make_months
    from metering.services.enrolment import open_windows
    from provisioning.models import PublishedConfig
    from tenants.models import Tenant
    from tenants.services.onboarding import sign_up_tenant

    make_months(START + timedelta(days=30 * month) for month in range(4))
    route = {
        "adapter": None, "adapter_version": "base", "line": "pooled", "component": "c", "kind": "hosted",
        "version_number": None,
    }  # fmt: skip
    for number in range(METRICS // len(CLOUDWATCH_METERS)):
        tenant = sign_up_tenant(name=f"Bench {number}", slug=f"bench-{number}", tier_key="basic", actor=SYSTEM)
        document = {"region": "us-west-2", "metrics_namespace": "N", "routes": {"r": route}}
        made = PublishedConfig.objects.create(tenant=tenant, version=1, document=document)
        PublishedConfig.objects.filter(pk=made.pk).update(created_at=START)
    Tenant.objects.update(signed_up_at=START)
    open_windows(as_of=START + HOUR)
    return MeteringScope.objects.get()


def show(what: str, ours: float, floor: float, name: str, rows: int, wanted: float) -> None:
    """One line: how many rows a second, and what share of the floor's rate, or how many times it."""
    print(
        f"{what:<34} {rows / ours:>10,.0f}/s   {name:<40} {rows / floor:>10,.0f}/s   "
        f"ratio {floor / ours:5.2f} (wanted: {wanted} or more)"
    )


def main() -> None:
    """Measure both and print the ratios."""
    from django.db import connection

    from accounts.services import issue_api_key
    from core.actors import SYSTEM
    from tenants.models import Tenant

    rounds = 21 if "--long" in sys.argv else 11
    scope = many_tenants()
    tenant = Tenant.objects.order_by("pk")[0].public_id
    _, key = issue_api_key(name="bench", scopes=["usage.write"], actor=SYSTEM)
    with connection.cursor() as cursor:
        cursor.execute(FLOOR_TABLES + TABLES)
    turns = iter(range(10**6))
    with web_server() as url:
        jobs = {
            "ours": at_once(rest(url, key), lambda: json.dumps({"events": events(tenant, next(turns))}), rounds),
            "floor": at_once(bare_insert(), lambda: columns(events(tenant, turn := next(turns)), turn), rounds),
        }
        found = medians(jobs, rounds=rounds)
    rows = CALLERS * EVENTS
    show(
        f"REST, {CALLERS} callers × 1,000 events",
        found["ours"],
        found["floor"],
        "INSERT..unnest ON CONFLICT",
        rows,
        0.6,
    )
    starts = [START + number * POINTS * HOUR for number in range(rounds + 1)]
    compare_collector(scope, os.environ["AWS_ENDPOINT_URL"], starts, rounds)


if __name__ == "__main__":
    with canned_server() as canned:
        os.environ["AWS_ENDPOINT_URL"] = canned
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
        django.setup()
        main()
