"""Many workers at once, and workers that die: one number per invoice, no gap, nothing done by half."""

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction

from billing.models import Invoice, InvoiceSequence, UsageClaim
from billing.queries.issuers import the_issuer
from billing.services import closing
from billing.services.invoicing import draft_invoices, finalize_invoices, void_invoice
from billing.services.numbers import take_numbers
from billing.services.wallet import grant_credit
from billing.verification import CHECKS
from core import crashpoints
from core.periods import billing_month
from core.verification import run
from events.models import Event
from tests.factories import TESTER
from tests.integration.billing.conftest import seed_prices

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 16
FINALIZE_POINTS = (
    "finalize: before numbers",
    "finalize: numbered, before events",
    "finalize: before commit",
    "finalize: after commit",
)


@pytest.fixture
def committed_world(transactional_db: None, set_clock):
    from tests.support.billing_world import World

    seed_prices()
    return World(set_clock)


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Run `work` in `count` threads that start together; what one raises is its answer."""
    start = threading.Barrier(count)

    def run(number: int) -> object:
        try:
            start.wait()
            return work(number)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def numbers() -> list[str]:
    return sorted(Invoice.objects.exclude(number=None).values_list("number", flat=True))


def test_sixteen_workers_draft_one_period_once(committed_world, october) -> None:
    tenant = committed_world.tenant()
    committed_world.use(tenant, "input_tokens", 5)
    answers = in_threads(THREADS, lambda _: draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)[0].pk)
    assert len(set(answers)) == 1
    assert (Invoice.objects.count(), UsageClaim.objects.count()) == (1, 1)
    assert Event.objects.filter(name="invoice.drafted").count() == 1


def test_numbers_have_no_gap_though_every_fifth_transaction_rolls_back(committed_world) -> None:
    issuer = the_issuer()
    taken: list[str] = []

    def work(worker: int) -> None:
        for turn in range(40):
            mine: list[str] = []
            try:
                with transaction.atomic():
                    mine = take_numbers(issuer=issuer, kind="invoice", year=2026, count=1 + turn % 3)
                    if (worker + turn) % 5 == 0:
                        raise RuntimeError("rolled back on purpose")
            except RuntimeError:
                continue
            taken.extend(mine)

    assert in_threads(THREADS, work) == [None] * THREADS
    assert sorted(taken) == [f"INV-2026-{n:06d}" for n in range(1, len(taken) + 1)]


def test_finalize_and_void_at_once_leave_one_story(committed_world, october) -> None:
    tenant = committed_world.tenant()
    [draft] = draft_invoices(tenant_ids=[tenant.pk], period=october, actor=TESTER)

    def work(number: int) -> object:
        if number % 2:
            return void_invoice(invoice_id=draft.pk, reason="race", actor=TESTER)
        return finalize_invoices(invoice_ids=[draft.pk], actor=TESTER)

    in_threads(8, work)
    final = Invoice.objects.get(pk=draft.pk)
    assert final.state in ("finalized", "void") and final.number == "INV-2026-000001"
    assert UsageClaim.objects.filter(released_at=None).count() == (final.state == "finalized")
    assert Event.objects.filter(name="invoice.finalized").count() == 1


def test_finalizers_of_one_tenant_draw_its_credit_once(committed_world, october) -> None:
    tenant = committed_world.tenant()
    terms = {"expires_at": None, "reference": "PAY", "reason": "prepaid"}
    grant = grant_credit(tenant_id=tenant.pk, amount=Decimal(20), **terms, actor=TESTER)
    september = billing_month(2026, 9, "UTC")
    ids = [draft_invoices(tenant_ids=[tenant.pk], period=period, actor=TESTER)[0].pk for period in (september, october)]
    in_threads(THREADS, lambda number: finalize_invoices(invoice_ids=[ids[number % 2]], actor=TESTER))
    drawn = sum(invoice.prepaid for invoice in Invoice.objects.all())
    grant.refresh_from_db()
    assert (drawn, grant.remaining) == (Decimal(20), Decimal(0))
    assert all(verdict.holds for verdict in run(CHECKS))


@pytest.fixture
def disarm() -> Iterator[None]:
    yield
    crashpoints.arm(None)


@pytest.mark.parametrize("point", FINALIZE_POINTS)
def test_a_worker_that_dies_while_finalizing_leaves_nothing_or_all(committed_world, october, point, disarm) -> None:
    tenants = [committed_world.tenant() for _ in range(3)]
    drafts = draft_invoices(tenant_ids=[t.pk for t in tenants], period=october, actor=TESTER)
    ids = [draft.pk for draft in drafts]
    die_in_a_fork(point, lambda: finalize_invoices(invoice_ids=ids, actor=TESTER))
    survived = point == "finalize: after commit"
    assert len(numbers()) == Event.objects.filter(name="invoice.finalized").count() == (3 if survived else 0)
    finalize_invoices(invoice_ids=ids, actor=TESTER)
    assert numbers() == [f"INV-2026-{n:06d}" for n in (1, 2, 3)]
    assert Event.objects.filter(name="invoice.finalized").count() == 3
    assert InvoiceSequence.objects.get().last_number == 3


# In order, and each time the second batch of three: drafted; refreshed; numbered, and its numbers lost; finalized.
DEATHS = (
    ("draft: after commit", 2),
    ("draft: after commit", 2),
    ("finalize: numbered, before events", 2),
    ("finalize: after commit", 1),
)


def test_a_run_that_is_killed_half_way_again_and_again_ends_exact(
    committed_world, disarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "BATCH", 2)
    tenants = [committed_world.tenant(since=datetime(2026, 10, 1, tzinfo=UTC)) for _ in range(6)]
    for number, tenant in enumerate(tenants, start=1):
        committed_world.use(tenant, "input_tokens", number * 1_000_000)
    done = []
    for point, nth in DEATHS:
        die_in_a_fork(point, closing.close_due_periods, nth=nth)
        done.append((Invoice.objects.count(), len(numbers())))
    assert done == [(4, 0), (6, 0), (6, 2), (6, 4)]
    report = closing.close_due_periods()
    assert (len(report.drafted), len(report.finalized), report.waiting) == (0, 2, [])
    assert numbers() == [f"INV-2026-{n:06d}" for n in range(1, 7)]
    totals = [invoice.total for invoice in Invoice.objects.order_by("tenant_id")]
    assert totals == [29 + Decimal("0.60") * n for n in range(1, 7)]
    assert Event.objects.filter(name="invoice.drafted").count() == 6
    assert all(verdict.holds for verdict in run(CHECKS))
    assert closing.close_due_periods() == closing.CloseReport()


def race(committed_world, october, rounds: int) -> None:
    """In each round sixteen workers meet at one draft and finalize it, four of them with that of the round before.

    In every tenth two of them draft its period again meanwhile.
    """
    tenants = committed_world.tenants(rounds)
    for tenant in tenants:
        committed_world.use(tenant, "input_tokens", 1_000_000)
    for start in range(0, rounds, 100):
        ids = [tenant.pk for tenant in tenants[start : start + 100]]
        draft_invoices(tenant_ids=ids, period=october, actor=TESTER)
    drafts = list(Invoice.objects.order_by("tenant_id").values_list("pk", "tenant_id"))
    meeting = threading.Barrier(THREADS)
    answers: list[set[str | None]] = [set() for _ in drafts]

    def work(worker: int) -> None:
        for number, (invoice_id, tenant_id) in enumerate(drafts):
            meeting.wait(timeout=60)
            if worker < 2 and number % 10 == 0:
                draft_invoices(tenant_ids=[tenant_id], period=october, actor=TESTER)
            ids = {invoice_id, drafts[number - 1][0]} if worker > 11 else {invoice_id}
            answers[number].update(each.number for each in finalize_invoices(invoice_ids=ids, actor=TESTER))

    assert in_threads(THREADS, work) == [None] * THREADS
    assert numbers() == [f"INV-2026-{n:06d}" for n in range(1, rounds + 1)]
    assert InvoiceSequence.objects.get().last_number == rounds
    told = dict(Invoice.objects.values_list("pk", "number"))
    ids = [invoice_id for invoice_id, _ in drafts]
    assert answers == [{told[ids[number]], told[ids[number - 1]]} for number in range(rounds)]
    assert UsageClaim.objects.filter(released_at=None).count() == rounds
    assert Event.objects.filter(name="invoice.finalized").count() == rounds
    assert all(verdict.holds for verdict in run(CHECKS))


def test_sixteen_finalizers_never_claim_twice(committed_world, october) -> None:
    race(committed_world, october, 100)


@pytest.mark.long
def test_sixteen_finalizers_never_claim_twice_in_a_thousand_rounds(committed_world, october) -> None:
    race(committed_world, october, 1000)


def die_in_a_fork(point: str, work: Callable[[], object], *, nth: int = 1) -> None:
    """Run `work` in a child that is gone, without any cleaning up, once it passes `point` the nth time."""
    connection.close()
    child = os.fork()
    if child == 0:
        passes = itertools.count(1)

        def hook(passed: str) -> None:
            if passed == point and next(passes) == nth:
                os._exit(9)

        crashpoints.arm(hook)
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
