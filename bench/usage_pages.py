"""Usage and invoice pages over many tenants and hours: what they take from the web server, 95 in a hundred.

    python3 run.py bench usage_pages [--long]

With `--long` 40 million hourly rows, as many as 10,000 tenants leave in 1,000 hours; without, the same tenants and
50 hours. The rows are made by the database and lie as collectors leave them: hour by hour, tenants side by side. Bytes
on their way to the disk are not part of a page, so the parts are made without a log. The floor is the answer to
`/health/live` from the same server in the same minutes: what is left of it is the machine and what else it does; so is
the processor's time beside each page, which other work hardly moves.
"""

import http.client
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from bench import billing, metering
from bench.plain_loop import cpu_of

from django.db import connection  # isort: skip  (bench.billing sets Django up)
from django.test import Client  # isort: skip

from accounts.services import create_operator  # isort: skip
from billing.models import InvoiceLine  # isort: skip

from core.actors import SYSTEM  # isort: skip
from metering import partitions  # isort: skip
from tenants.models import Tenant  # isort: skip

TENANTS = 10_000
HOURS, HOURS_LONG = 50, 1_000
METERS = ("input_tokens", "output_tokens", "requests", "copy_seconds")
SOURCE = "cloudwatch:us-west-2:ControlPlane/DataPlane"
WANTED_MS = 150
REQUESTS = 60
LOOKED_AT = 40

QUANTITY = "((hashint8(t.id * 7 + m.number) & 1048575) + 1)"
FILL = f"""
INSERT INTO {{part}} (tenant_id, meter, line, adapter_version, bucket_start, bucket_seconds, quantity, revision, source,
    fetched_at, request_id, sealed_quantity, sealed_revision)
SELECT t.id, m.meter, 'pooled', 'base', hour, 3600, {QUANTITY}, 1, '{SOURCE}', hour + interval '75 minutes',
    'bench-request', CASE WHEN hour < %(sealed)s THEN {QUANTITY} ELSE 0 END, (hour < %(sealed)s)::int
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS hour
CROSS JOIN (SELECT id FROM tenants_tenant ORDER BY id) t
CROSS JOIN unnest(%(meters)s::text[]) WITH ORDINALITY AS m(meter, number)
"""
SUMS = [
    """
    INSERT INTO metering_rollupzone (tenant_id, timezone) SELECT id, 'UTC' FROM tenants_tenant
    ON CONFLICT (tenant_id) DO NOTHING
    """,
    f"""
    INSERT INTO metering_usageday (tenant_id, day, meter, line, adapter_version, quantity)
    SELECT t.id, day, m.meter, 'pooled', 'base', {QUANTITY} * hours
    FROM (SELECT (hour AT TIME ZONE 'UTC')::date AS day, count(*) AS hours
          FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') hour
          GROUP BY 1) d
    CROSS JOIN tenants_tenant t CROSS JOIN unnest(%(meters)s::text[]) WITH ORDINALITY AS m(meter, number)
    """,
    f"""
    INSERT INTO metering_usagehour (hour, meter, line, quantity)
    SELECT hour, each.meter, 'pooled', each.quantity
    FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') hour
    CROSS JOIN (SELECT m.meter, sum({QUANTITY}) AS quantity FROM tenants_tenant t
                CROSS JOIN unnest(%(meters)s::text[]) WITH ORDINALITY AS m(meter, number) GROUP BY 1) each
    """,
    """
    INSERT INTO metering_monthtokens (tenant_id, month, tokens)
    SELECT tenant_id, date_trunc('month', day)::date, sum(quantity) FROM metering_usageday
    WHERE meter LIKE '%%tokens' GROUP BY 1, 2
    """,
    """
    INSERT INTO metering_meteringscope (key, account, region, bucket_seconds, starts_at, settled_until)
    SELECT 'bench-' || n, '', 'us-west-2', 3600, %(start)s, %(settled)s FROM generate_series(1, 50) n
    """,
    """
    INSERT INTO metering_enrolment (tenant_id, scope_id, account, region, starts_at)
    SELECT t.id, (SELECT min(id) FROM metering_meteringscope) + t.id %% 50, '', 'us-west-2', %(start)s
    FROM tenants_tenant t
    """,
    """
    INSERT INTO metering_collectionwindow (scope_id, starts_at, ends_at, state, due_at, reads, fetched_at, problem,
        request_ids, fence)
    SELECT s.id, hour, hour + interval '1 hour', CASE WHEN hour < %(settled)s THEN 'settled' ELSE 'provisional' END,
        CASE WHEN hour < %(settled)s THEN NULL ELSE hour + interval '17 days' END, 2, hour + interval '75 minutes', '',
        '{bench-request}', 1
    FROM metering_meteringscope s
    CROSS JOIN generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') hour
    """,
]
# Claims of the tenants whose lines are opened; a page reads those of one seal, found by their index.
CLAIMS = """
INSERT INTO metering_sealedbucket (seal_id, bucket_id, bucket_start, bucket_revision, quantity)
SELECT s.id, b.id, b.bucket_start, b.revision, b.quantity FROM metering_usagebucket b
JOIN metering_seal s ON s.tenant_id = b.tenant_id
WHERE b.tenant_id = ANY(%(looked_at)s) AND b.bucket_start < %(sealed)s AND b.bucket_start >= %(month)s
"""


def main() -> None:
    """Make the rows, open the pages, print what they took."""
    hours = HOURS_LONG if "--long" in sys.argv else HOURS
    began = time.perf_counter()
    billing._prices()
    billing._fill(TENANTS)
    tenants = list(Tenant.objects.order_by("pk")[:LOOKED_AT])
    billing._draft(list(Tenant.objects.order_by("pk").values_list("pk", flat=True)))
    billing._finalize([])
    fill_usage(hours, [tenant.pk for tenant in tenants])
    rows = hours * TENANTS * len(METERS)
    print(
        f"{TENANTS:,} tenants, {rows:,} hourly rows, {TENANTS:,} invoices: made in {time.perf_counter() - began:.0f} s"
    )
    with metering.web_server() as url:
        measure(url, tenants)


def fill_usage(hours: int, looked_at: Sequence[int]) -> None:
    """The last `hours` whole hours of everybody's usage, with its sums; October is sealed."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    start = end - timedelta(hours=hours)
    asked: dict[str, Any] = {
        "meters": list(METERS), "start": start, "end": end, "settled": max(start, end - timedelta(hours=72)),
        "sealed": billing.MONTH.end, "month": billing.MONTH.start, "looked_at": list(looked_at),
    }  # fmt: skip
    partitions.make_months([billing.MONTH.start])
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET maintenance_work_mem = '512MB'")
        month = partitions.month_of(start)
        while month < end:
            _fill_month(month, asked)
            month = partitions.month_after(month)
        for statement in SUMS:
            cursor.execute(statement, asked)
        cursor.execute(CLAIMS, asked)
        for table in ("bucket", "day", "hour"):
            cursor.execute(f"ANALYZE metering_usage{table}")
        cursor.execute("VACUUM ANALYZE metering_collectionwindow, metering_enrolment, metering_usageday")
        cursor.execute("VACUUM ANALYZE billing_invoice, billing_invoiceline, billing_usageclaim, events_event")


def _fill_month(month: datetime, asked: dict[str, Any]) -> None:
    """One part, filled before its keys are made: several times faster than row by row into all of them."""
    partitions.drop_month(month)
    part, following = f"metering_usagebucket_{month:%Ym%m}", partitions.month_after(month)
    within = asked | {"start": max(asked["start"], month), "end": min(asked["end"], following)}
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE UNLOGGED TABLE {part} (LIKE metering_usagebucket INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        cursor.execute(FILL.format(part=part), within)
        cursor.execute(
            f"ALTER TABLE metering_usagebucket ATTACH PARTITION {part} FOR VALUES FROM (%s) TO (%s)",
            [month.isoformat(), following.isoformat()],
        )
        for table in ("metering_usagerevision", "metering_sealedbucket"):
            partitions._attach(table, month)


def measure(url: str, tenants: Sequence[Tenant]) -> None:
    """Every page as often as `REQUESTS`, in turn with the floor, by one signed-in person."""
    client = Client()
    client.force_login(create_operator(name="bench", role="admin", actor=SYSTEM))
    cookie = client.cookies["sessionid"].value
    lines = list(
        InvoiceLine.objects.filter(invoice__tenant__in=tenants, meter="input_tokens").values_list(
            "public_id", "invoice__public_id"
        )
    )
    slugs = [tenant.slug for tenant in tenants]
    pages: dict[str, Callable[[int], str]] = {
        "floor: /health/live": lambda turn: "/health/live",
        "usage, this month": lambda turn: "/usage/",
        "usage, last month": lambda turn: "/usage/?range=last-month",
        "usage, one meter, 14 days": lambda turn: "/usage/?range=14-days&meter=requests",
        "usage, 2 days by hour": lambda turn: "/usage/?range=2-days&group=hour",
        "usage of a tenant": lambda turn: f"/tenants/{slugs[turn % len(slugs)]}/usage/",
        "usage of a tenant by hour": lambda turn: f"/tenants/{slugs[turn % len(slugs)]}/usage/?range=2-days&group=hour",
        "hours of a tenant": lambda turn: (
            f"/tenants/{slugs[turn % len(slugs)]}/usage/hours/?meter=input_tokens&line=pooled"
        ),
        "metering health": lambda turn: "/usage/health/",
        "invoices": lambda turn: "/billing/",
        "invoices of a month": lambda turn: "/billing/?state=finalized&month=2026-10",
        "invoices by a name": lambda turn: f"/billing/?q=Tenant+{turn + 17}",
        "invoices of a tenant": lambda turn: f"/tenants/{slugs[turn % len(slugs)]}/invoices/",
        "an invoice": lambda turn: f"/billing/invoices/{lines[turn % len(lines)][1]}/",
        "why a line": lambda turn: f"/billing/lines/{lines[turn % len(lines)][0]}/",
        "an invoice beside the last": lambda turn: f"/billing/invoices/{lines[turn % len(lines)][1]}/comparison/",
    }
    took: dict[str, list[float]] = {name: [] for name in pages}
    for turn in range(REQUESTS + 1):
        for name, address in pages.items():
            spent = get(url, address(turn), cookie)
            if turn:
                took[name].append(spent)
    connection.close()  # it waited longer than a session may
    cpu = {name: cpu_of_page(client, urlsplit(url).netloc, address(3)) for name, address in pages.items()}
    for name, seconds in took.items():
        p95 = 1000 * statistics.quantiles(seconds, n=20)[-1]
        said = "" if name.startswith("floor") else "   " + ("ok" if p95 <= WANTED_MS else f"ABOVE {WANTED_MS} ms")
        times = f"p50 {1000 * statistics.median(seconds):7.1f} ms   p95 {p95:7.1f} ms"
        print(f"{name:<30} {times}   CPU {1000 * cpu[name]:5.0f} ms{said}")


def cpu_of_page(client: Client, host: str, address: str) -> float:
    """Seconds of processor for a page, of the application and its session in PostgreSQL, without a web server."""
    connection.ensure_connection()
    session = connection.connection.info.backend_pid
    found = []
    for _ in range(5):
        began = time.process_time() + cpu_of(session)
        client.get(address, headers={"host": host})
        found.append(time.process_time() + cpu_of(session) - began)
    return statistics.median(found)


def get(url: str, address: str, cookie: str) -> float:
    """Seconds until the whole page is there. Raises SystemExit when it is not the page."""
    where = urlsplit(url)
    began = time.perf_counter()
    talk = http.client.HTTPConnection(where.hostname or "", where.port)
    talk.request("GET", address, headers={"Cookie": f"sessionid={cookie}"})
    answer = talk.getresponse()
    answer.read()
    talk.close()
    if answer.status != 200:
        raise SystemExit(f"{address} answered {answer.status}")
    return time.perf_counter() - began


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    main()
