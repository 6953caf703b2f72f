"""A month of a trace, invoiced on every tier, equals an independent computation to the token and to the cent."""

import csv
import io
import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from billing.focus.mapping import COLUMNS
from billing.focus.validator import check_dataset
from billing.models import Invoice
from billing.queries import reconcile
from billing.services.documents import render
from billing.services.invoicing import draft_invoices, finalize_invoices
from tests.factories import TESTER
from tests.support.billing_oracle import Trace, expected, read_trace

REAL = Trace(requests=8_819, tokens_in=18_059_974, tokens_out=245_896)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Two thousand requests over a month: long prompts, short answers, bursts."""
    dice = random.Random(20261001)
    path = tmp_path / "trace.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
        for _ in range(2_000):
            at = datetime(2026, 10, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(31 * 86_400))
            writer.writerow([f"{at:%Y-%m-%d %H:%M:%S}.0000000", dice.randint(1, 30_000), dice.randint(1, 900)])
    return path


def replay(world, tenant, path: Path) -> None:
    """Put a trace's tokens into the hours of October that its requests fall into."""
    hours: Counter[tuple[str, datetime]] = Counter()
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["TIMESTAMP"][:19]).replace(tzinfo=UTC)
            hour = at.replace(year=2026, month=10, minute=0, second=0, microsecond=0)
            hours["input_tokens", hour] += int(row["ContextTokens"])
            hours["output_tokens", hour] += int(row["GeneratedTokens"])
    world.use_many(tenant, hours)


def seen(invoice: Invoice) -> dict[str, Fraction]:
    amounts = {line.description: Fraction(line.amount) for line in invoice.lines.order_by("position")}
    totals = {"subtotal": invoice.subtotal, "tax": invoice.tax, "total": invoice.total}
    return amounts | {name: Fraction(amount) for name, amount in totals.items()}


def invoice_month(world, october, path: Path, tier: str, currency: str, *, seconds: int = 0, since=None) -> Invoice:
    tenant = world.tenant(tier=tier, currency=currency, **({"since": since} if since else {}))
    replay(world, tenant, path)
    for hour in range(-(-seconds // 3600)):
        at = october.start + timedelta(hours=hour)
        world.use(tenant, "endpoint_seconds", min(3600, seconds - hour * 3600), at=at, line="dedicated", version="")
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)
    [invoice] = finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)
    return Invoice.objects.get(pk=invoice.pk)


@pytest.mark.parametrize("currency", ["USD", "JPY"])
@pytest.mark.parametrize(("tier", "seconds"), [("basic", 0), ("advanced", 0), ("premium", 100_000)])
def test_every_tier_agrees_with_the_oracle(world, october, trace, tier, seconds, currency) -> None:
    invoice = invoice_month(world, october, trace, tier, currency, seconds=seconds)
    asked = read_trace(trace)
    wanted = expected(tier, currency, tokens_in=asked.tokens_in, tokens_out=asked.tokens_out, endpoint_seconds=seconds)
    assert seen(invoice) == wanted
    invoiced = {line.meter: int(line.quantity) for line in invoice.lines.filter(meter__endswith="_tokens")}
    assert invoiced == {"input_tokens": asked.tokens_in, "output_tokens": asked.tokens_out}
    assert reconcile(invoice).state == "matched"
    rows = list(csv.DictReader(io.StringIO(render(invoice_id=invoice.pk, format="focus").body.decode())))
    assert check_dataset(COLUMNS, rows) == []
    assert sum(Fraction(row["BilledCost"]) for row in rows) == Fraction(invoice.total)


@pytest.mark.parametrize("tier", ["basic", "advanced", "premium"])
def test_a_month_begun_late_agrees_too(world, october, tmp_path, tier) -> None:
    path = tmp_path / "late.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2026-10-25 10:00:00.0,3333333,77777\n")
    invoice = invoice_month(world, october, path, tier, "USD", since=datetime(2026, 10, 24, 13, 20, tzinfo=UTC))
    month = Fraction(7 * 24 + 11, 31 * 24)
    assert seen(invoice) == expected(tier, "USD", tokens_in=3_333_333, tokens_out=77_777, month=month)


@pytest.mark.skipif("TRACE_FILE" not in os.environ, reason="TRACE_FILE names a trace that the project does not hold")
def test_the_real_trace_agrees(world, october) -> None:
    path = Path(os.environ["TRACE_FILE"])
    asked = read_trace(path)
    invoice = invoice_month(world, october, path, "basic", "USD")
    assert seen(invoice) == expected("basic", "USD", tokens_in=asked.tokens_in, tokens_out=asked.tokens_out)
    if path.name == "azure-llm-inference-2023-code.csv":
        assert asked == REAL
