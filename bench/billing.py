"""An invoice run from daily roll-ups, beside one SQL statement that aggregates them and inserts the invoices."""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange  # noqa: E402

from billing.models import Invoice  # noqa: E402
from billing.queries.issuers import the_issuer  # noqa: E402
from billing.queries.segments import plan_segments, tenants_to_plan  # noqa: E402
from billing.services.closing import BATCH  # noqa: E402
from billing.services.drafting import write_drafts  # noqa: E402
from billing.services.invoicing import finalize_invoices  # noqa: E402
from billing.services.rate_cards import RateDraft, draft_rate_card, price_tier, publish_rate_card  # noqa: E402
from billing.services.seeding import seed_rate_cards  # noqa: E402
from core.actors import SYSTEM  # noqa: E402
from core.periods import billing_month  # noqa: E402
from tenants.models import Tenant, TierAssignment, TierVersion  # noqa: E402
from tenants.states import TenantState  # noqa: E402

FEW, MANY = 10_000, 100_000
ROUNDS = 3
WANTED_RATIO, WANTED_GROWTH, STATEMENTS_PER_50 = 0.3, 1.3, 1.0
# What Django's hook does not see: a batch of drafts is three COPY, and its two transactions begin and commit.
UNSEEN_PER_BATCH = 3 + 4
MONTH = billing_month(2026, 10, "UTC")
METERS = ("input_tokens", "output_tokens", "requests", "copy_seconds", "adapter_seconds", "stored_byte_hours")
PER = 1_000_000

SEALS = """
    INSERT INTO metering_seal (public_id, created_at, tenant_id, period_start, period_end, revision, bucket_count,
                               sha256, sealed_at)
    SELECT 'seal_' || lpad(t.id::text, 26, '0'), %(now)s, t.id, %(start)s, %(end)s, 1, 0, repeat('0', 64), %(now)s
    FROM tenants_tenant t WHERE NOT EXISTS (SELECT 1 FROM metering_seal s WHERE s.tenant_id = t.id)
"""
DAYS = """
    INSERT INTO metering_sealedday (seal_id, day, meter, line, adapter_version, quantity)
    SELECT s.id, day, meter, 'pooled', 'adv_1', (hashint8(s.id * 7 + number) & 1048575) + 1
    FROM metering_seal s
    CROSS JOIN generate_series(date '2026-10-01', date '2026-10-31', interval '1 day') day
    CROSS JOIN unnest(%(meters)s::text[]) WITH ORDINALITY AS m(meter, number)
    WHERE s.id = ANY(%(seals)s)
"""
# The fastest way to make these rows: the sums, the invoices, their lines and their claims in one statement, in the same
# tables with the same constraints; plain prices, no explanation, no hash, no numbers, no events.
ONE_STATEMENT = """
    WITH sums AS (
        SELECT s.tenant_id, s.id AS seal_id, d.meter, sum(d.quantity) AS quantity
        FROM metering_sealedday d JOIN metering_seal s ON s.id = d.seal_id
        WHERE s.tenant_id = ANY(%(tenants)s) GROUP BY 1, 2, 3
    ), priced AS (
        SELECT sums.*, r.id AS rate_id, r.position, r.description,
               round(sums.quantity * (r.parameters->>'unit_price')::numeric / (r.parameters->>'per')::numeric, 2)
                   AS amount
        FROM sums JOIN billing_rate r ON r.meter = sums.meter AND r.card_id = %(card)s
    ), made AS (
        INSERT INTO billing_invoice (public_id, created_at, tenant_id, issuer_id, kind, state, version, currency,
            period_start, period_end, timezone, language, subtotal, tax, total, prepaid, taxes, seller, buyer, reason,
            uncharged, content_schema, lines_sha256, content_sha256, refreshed_at, payment_reference, void_reason)
        SELECT 'inv_' || lpad(tenant_id::text, 26, '0'), %(now)s, tenant_id, %(issuer)s, 'invoice', 'draft', 1, 'USD',
            %(start)s, %(end)s, 'UTC', 'en', sum(amount), 0, sum(amount), 0, '[]', '{}', '{}', '', '{}', 2, '', '',
            %(now)s, '', ''
        FROM priced GROUP BY tenant_id RETURNING id, tenant_id
    ), lines AS (
        INSERT INTO billing_invoiceline (public_id, created_at, invoice_id, position, kind, rate_id, description,
            description_ja, meter, span_start, span_end, quantity, unit, unit_price, per, amount, tax_rate,
            explanation)
        SELECT 'il_' || lpad(made.id::text, 20, '0') || lpad(position::text, 6, '0'), %(now)s, made.id, position,
            'usage', rate_id, description, '', meter, %(start)s, %(end)s, quantity, 'unit', 1, 1, amount, 0, '{}'
        FROM priced JOIN made ON made.tenant_id = priced.tenant_id
    )
    INSERT INTO billing_usageclaim (invoice_id, tenant_id, seal_id)
    SELECT DISTINCT made.id, made.tenant_id, seal_id FROM priced JOIN made ON made.tenant_id = priced.tenant_id
"""


class Spent(NamedTuple):
    """Seconds on the clock and of processors; the second moves far less when the machine is busy with other things."""

    seconds: float
    cpu: float


def main() -> None:
    """Make tenants with a sealed month of roll-ups; draft and finalize it; print the figures against their floors."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--long", action="store_true", help=f"also {MANY:,} tenants")
    sizes = (FEW, MANY) if words.parse_args().long else (FEW,)
    card = _prices()
    per_invoice: dict[int, float] = {}
    for size in sizes:
        _fill(size)
        per_invoice[size] = _measure(size, card)
    if MANY in per_invoice:
        growth = per_invoice[MANY] / per_invoice[FEW]
        print(f"per invoice at {MANY:,} tenants: {growth:.2f} of that at {FEW:,}; wanted at most {WANTED_GROWTH}")


def _measure(size: int, card: Any) -> float:
    """Draft and finalize `size` tenants `ROUNDS` times, each beside the one statement; seconds per invoice."""
    tenants = list(Tenant.objects.order_by("pk").values_list("pk", flat=True)[:size])
    floors: list[Spent] = []
    drafts: list[Spent] = []
    finals: list[Spent] = []
    statements: list[int] = []
    before = _memory()
    for _ in range(ROUNDS if size == FEW else 1):
        floors.append(_one_statement(tenants, card))
        _undo()
        with _counted() as count:
            drafts.append(_draft(tenants))
            finals.append(_finalize(tenants))
        statements.append(count[0] + UNSEEN_PER_BATCH * len(list(_batches(tenants))))
        _check(size)
        _undo()
    floor, draft, final = (statistics.median(each.seconds for each in found) for found in (floors, drafts, finals))
    floor_cpu, draft_cpu, final_cpu = (
        statistics.median(each.cpu for each in found) for found in (floors, drafts, finals)
    )
    print(f"{size:,} tenants x {len(METERS)} meters x 31 days, medians of {len(floors)}:")
    for what, seconds, cpu in (
        ("one statement", floor, floor_cpu),
        ("drafting", draft, draft_cpu),
        ("drafting and finalizing", draft + final, draft_cpu + final_cpu),
    ):
        print(f"  {what:<26} {seconds:7.2f} s  {size / seconds:9,.0f} invoices/s  {floor / seconds:5.2f} of the floor")
        print(f"  {'':<26} {1000 * cpu / size:7.2f} ms of CPU per invoice  {floor_cpu / cpu:12.2f} of the floor")
    print(f"  wanted: at least {WANTED_RATIO} of the floor")
    each = statistics.median(statements) * 50 / size
    print(f"  {each:.2f} statements per 50 invoices; wanted at most {STATEMENTS_PER_50:.0f}")
    print(f"  the process grew by {max(0, _memory() - before):,} MiB over the run")
    return (draft + final) / size


def _draft(tenants: list[int]) -> Spent:
    began, issuer = _now(), the_issuer()
    for batch in _batches(tenants):
        plans = plan_segments(list(tenants_to_plan(batch)), MONTH)
        write_drafts(plans=plans, issuer=issuer, period=MONTH, actor=SYSTEM)
    return _since(began)


def _finalize(tenants: list[int]) -> Spent:
    began = _now()
    drafts = list(Invoice.objects.filter(state="draft").order_by("pk").values_list("pk", flat=True))
    for batch in _batches(drafts):
        finalize_invoices(invoice_ids=batch, actor=SYSTEM)
    return _since(began)


def _one_statement(tenants: list[int], card: Any) -> Spent:
    began = _now()
    asked = {
        "tenants": tenants, "card": card.pk, "issuer": the_issuer().pk, "start": MONTH.start, "end": MONTH.end,
        "now": datetime.now(UTC),
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(ONE_STATEMENT, asked)
    return _since(began)


def _now() -> Spent:
    """The clock, and what this process and its session in PostgreSQL have used of the processor."""
    session = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(session[11]) + int(session[12])
    return Spent(time.perf_counter(), time.process_time() + ticks / os.sysconf("SC_CLK_TCK"))


def _since(began: Spent) -> Spent:
    ended = _now()
    return Spent(ended.seconds - began.seconds, ended.cpu - began.cpu)


def _check(size: int) -> None:
    """Every tenant has one invoice, and the numbers have no gap: a fast run that is wrong is worth nothing."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT tenant_id), max(right(number, 6)::int), min(right(number, 6)::int)"
            " FROM billing_invoice WHERE state = 'finalized'"
        )
        found = cursor.fetchone()
    if found != (size, size, size, 1):
        raise SystemExit(f"The run is wrong: {found}.")


def _undo() -> None:
    """Empty what a run wrote, so that each begins alike."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE billing_invoice, billing_invoiceline, billing_usageclaim, billing_invoicesequence,"
            " events_event, events_outbox CASCADE"
        )


def _prices() -> Any:
    call_command("seed_catalogue", verbosity=0)
    seed_rate_cards(actor=SYSTEM)
    rates = [
        RateDraft(meter.replace("_", "-"), "per_unit", {"unit_price": "1.23", "per": PER}, meter, meter=meter)
        for meter in METERS
    ]
    card = draft_rate_card(name="Bench", currency="USD", rates=rates, actor=SYSTEM)
    publish_rate_card(card_id=card.pk, actor=SYSTEM)
    tier = TierVersion.objects.get(tier__key="basic", number=1)
    price_tier(tier_version_id=tier.pk, card_id=card.pk, effective_from=datetime(2026, 9, 1, tzinfo=UTC), actor=SYSTEM)
    return card


def _fill(size: int) -> None:
    """Tenants on the basic tier since August, each with a sealed October of daily roll-ups."""
    have = Tenant.objects.count()
    tier = TierVersion.objects.get(tier__key="basic", number=1)
    then = datetime(2026, 8, 1, tzinfo=UTC)
    stay = DateTimeTZRange(then, None, "[)")
    for numbers in _batches(list(range(have + 1, size + 1))):
        made = Tenant.objects.bulk_create(
            Tenant(
                name=f"Tenant {number}",
                slug=f"bench-{number}",
                currency="USD",
                billing_timezone="UTC",
                state=TenantState.ACTIVE,
                signed_up_at=then,
                activated_at=then,
            )
            for number in numbers
        )
        TierAssignment.objects.bulk_create(
            TierAssignment(tenant=tenant, tier_version=tier, period=stay) for tenant in made
        )
    asked: dict[str, Any] = {"start": MONTH.start, "end": MONTH.end, "now": MONTH.end + timedelta(days=4)}
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(SEALS, asked)
        cursor.execute("SELECT id FROM metering_seal ORDER BY id OFFSET %s", [have])
        for batch in _batches([row[0] for row in cursor.fetchall()]):
            cursor.execute(DAYS, {"meters": list(METERS), "seals": batch})
        cursor.execute("VACUUM ANALYZE metering_sealedday, metering_seal, tenants_tenant, tenants_tierassignment")


@contextmanager
def _counted() -> Iterator[list[int]]:
    """How many statements are sent meanwhile."""
    count = [0]

    def counting(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        count[0] += 1
        return execute(sql, params, many, context)

    with connection.execute_wrapper(counting):
        yield count


def _batches(rows: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
