"""Reserve, dispatch, settle against the local AWS: nobody gets past a budget, and nothing held is lost."""

from __future__ import annotations

import http.server
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from dataplane.budgets import NOTHING, Budgets, Limit, Tokens
from dataplane.errors import InvalidRequest, LimitExceeded, LimitsBusy, LimitsUnavailable
from dataplane.limit_table import RESERVATION_SECONDS, LimitTable, Reservation
from dataplane.limits import COOL_SECONDS, Limiter
from dataplane.quick_table import QuickTable

if TYPE_CHECKING:
    from local_stack.emulator import EmulatorClient

TENANT = "ten_" + "0" * 25 + "7"
NOON = 1_795_176_000.0  # 2026-11-20T12:00:00Z
MINUTE = Budgets((Limit("total_tokens", "minute", 1000, "hard"),))


class Clock:
    """Seconds that go by when told."""

    def __init__(self, at: float = NOON) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def client(url: str | None = None) -> Any:
    config = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}, max_pool_connections=50)
    return boto3.client("dynamodb", endpoint_url=url or os.environ["AWS_ENDPOINT_URL"], config=config)


@pytest.fixture
def clock(aws: EmulatorClient) -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> LimitTable:
    return LimitTable(client(), os.environ["CP_LIMITS_TABLE"], TENANT, clock)


def used(table: LimitTable, budgets: Budgets, at: float = NOON) -> list[int]:
    return list(table.used(each.key for each in budgets.counters(at)).values())


def take(table: LimitTable, budgets: Budgets, tokens: Tokens, at: float = NOON) -> Reservation:
    return table.reserve(budgets.counters(at), tokens, at)


def test_a_reservation_counts_at_once_and_settling_puts_the_truth_in_its_place(table: LimitTable) -> None:
    held = take(table, MINUTE, Tokens(300, 400))
    assert used(table, MINUTE) == [700]
    assert table.settle(held, Tokens(100, 50)) is True
    assert used(table, MINUTE) == [150]


def test_a_full_budget_refuses_and_says_until_when(table: LimitTable) -> None:
    take(table, MINUTE, Tokens(500, 500))
    with pytest.raises(LimitExceeded) as refusal:
        take(table, MINUTE, Tokens(1, 0), NOON + 18.2)
    assert (refusal.value.retry_after_seconds, refusal.value.window, refusal.value.meter) == (
        42, "minute", "total_tokens",
    )  # fmt: skip
    assert used(table, MINUTE) == [1000]


def test_a_request_that_no_window_can_hold_is_refused_for_good(table: LimitTable) -> None:
    with pytest.raises(InvalidRequest, match="1001 total_tokens"):
        take(table, MINUTE, Tokens(1, 1000))
    assert used(table, MINUTE) == [0]


def test_all_counters_move_or_none(table: LimitTable) -> None:
    budgets = Budgets((Limit("input_tokens", "day", 1000, "hard"), Limit("output_tokens", "month", 100, "hard")))
    take(table, budgets, Tokens(10, 90))
    with pytest.raises(LimitExceeded) as refusal:
        take(table, budgets, Tokens(10, 20))
    assert (refusal.value.window, refusal.value.meter) == ("month", "output_tokens")
    assert used(table, budgets) == [10, 90]


def test_soft_marks_and_shadow_only_counts(table: LimitTable) -> None:
    soft, shadow = Limit("input_tokens", "day", 10, "soft"), Limit("output_tokens", "day", 10, "shadow")
    budgets = Budgets((soft, shadow, *MINUTE.limits))
    assert take(table, budgets, Tokens(8, 50)).over == ()
    assert take(table, budgets, Tokens(8, 50)).over == (soft,)
    assert used(table, budgets) == [16, 100, 116]


def test_settling_twice_changes_nothing(table: LimitTable) -> None:
    held = take(table, MINUTE, Tokens(300, 0))
    assert [table.settle(held, Tokens(100, 0)), table.settle(held, Tokens(999, 0))] == [True, False]
    assert used(table, MINUTE) == [100]


def test_what_was_abandoned_is_given_back_before_anybody_is_refused(table: LimitTable, clock: Clock) -> None:
    day = Budgets((Limit("total_tokens", "day", 1000, "hard"),))
    take(table, day, Tokens(1000, 0))
    clock.at += RESERVATION_SECONDS
    with pytest.raises(LimitExceeded):
        take(table, day, Tokens(600, 0))
    clock.at += 1
    take(table, day, Tokens(600, 0))
    assert used(table, day) == [600]


def test_an_answer_that_comes_after_all_is_counted_in_full_and_once(table: LimitTable, clock: Clock) -> None:
    held = take(table, MINUTE, Tokens(500, 0))
    clock.at += RESERVATION_SECONDS + 1
    assert [table.give_back_expired(), table.give_back_expired()] == [1, 0]
    assert used(table, MINUTE) == [0]
    assert [table.settle(held, Tokens(20, 5)), table.settle(held, Tokens(20, 5))] == [True, False]
    assert used(table, MINUTE) == [25]


def test_a_reservation_is_found_by_its_id_in_every_state(table: LimitTable, clock: Clock) -> None:
    held = take(table, MINUTE, Tokens(30, 4))
    assert table.find(held.id) == held
    clock.at += RESERVATION_SECONDS + 1
    table.give_back_expired()
    assert table.find(held.id) == held
    table.settle(held, NOTHING)
    assert table.find(held.id) == held
    assert [table.find("rsv_" + "0" * 24), table.find("../held"), table.find("")] == [None, None, None]


@pytest.mark.parametrize(
    ("window", "last", "first"),
    [
        ("minute", NOON + 59.9, NOON + 60),
        ("day", NOON + 3 * 3600 - 1, NOON + 3 * 3600),  # midnight in Tokyo
        ("month", 1_796_050_799.0, 1_796_050_800.0),  # 2026-12-01 in Tokyo
    ],
)
def test_a_new_window_is_an_empty_one(table: LimitTable, window: str, last: float, first: float) -> None:
    budgets = Budgets((Limit("total_tokens", window, 100, "hard"),), "Asia/Tokyo")
    held = take(table, budgets, Tokens(100, 0), last)
    with pytest.raises(LimitExceeded) as refusal:
        take(table, budgets, Tokens(1, 0), last)
    assert refusal.value.retry_after_seconds == 1
    take(table, budgets, Tokens(100, 0), first)
    table.settle(held, Tokens(60, 0))  # counts where it was reserved
    assert [used(table, budgets, last), used(table, budgets, first)] == [[60], [100]]


# --- many at once -----------------------------------------------------------------------------------------------
REQUESTS, ESTIMATE, ACTUAL, AMOUNT = 50, Tokens(40, 60), Tokens(40, 20), 2000
CROWD = Budgets((Limit("total_tokens", "month", AMOUNT, "hard"), Limit("output_tokens", "day", 10**6, "soft")))


@cache
def quick_of(process_id: int) -> QuickTable:
    """A client per process, as the kit has it: sockets are not shared over a fork."""
    return quick()


def spend(_: int) -> int:
    """One request from start to end: how many tokens it used, 0 when it was refused."""
    limiter = Limiter(quick_of(os.getpid()), os.environ["CP_LIMITS_TABLE"], TENANT)
    try:
        ticket = limiter.reserve(CROWD, ESTIMATE, NOON)
    except LimitExceeded:
        return 0
    assert ticket.reservation is not None, "the table was there all the time"
    ticket.settle(ACTUAL)
    return ACTUAL.of("total_tokens")


def spend_in_threads() -> list[int]:
    with ThreadPoolExecutor(REQUESTS) as pool:
        return list(pool.map(spend, range(REQUESTS)))


def spend_in_processes() -> list[int]:
    # Forked: starting an interpreter with boto3 costs more than all that is tested here.
    with ProcessPoolExecutor(10, mp_context=multiprocessing.get_context("fork")) as pool:
        return list(pool.map(spend, range(REQUESTS)))


@pytest.mark.parametrize("spend_all", [spend_in_threads, spend_in_processes])
def test_fifty_at_once_stay_within_the_budget(table: LimitTable, spend_all: Callable[[], list[int]]) -> None:
    spent = spend_all()
    assert len(spent) == REQUESTS
    total = sum(spent)
    # Were all holding at once, as many would pass as fit with their estimates.
    assert AMOUNT // ESTIMATE.of("total_tokens") * ACTUAL.of("total_tokens") <= total <= AMOUNT
    assert used(table, CROWD) == [total, total // 3]


def test_holds_alone_never_exceed_the_budget(table: LimitTable) -> None:
    gate = threading.Barrier(REQUESTS)

    def hold(_: int) -> bool:
        gate.wait()
        try:
            take(table, CROWD, Tokens(30, 40))
        except LimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(REQUESTS) as pool:
        assert sum(pool.map(hold, range(REQUESTS))) == AMOUNT // 70
    assert used(table, CROWD)[0] == AMOUNT // 70 * 70


class Colliding:
    """DynamoDB as it is when others write the same counters: the local AWS lets one transaction through at a time."""

    def __init__(self, collisions: int) -> None:
        self.left = collisions
        self._real = client()

    def transact_write_items(self, **arguments: Any) -> Any:
        if self.left == 0:
            return self._real.transact_write_items(**arguments)
        self.left -= 1
        reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
        refusal: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        raise ClientError(refusal, "TransactWriteItems")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_a_collision_is_tried_again(table: LimitTable) -> None:
    colliding = Colliding(5)
    limiter = Limiter(colliding, os.environ["CP_LIMITS_TABLE"], TENANT)
    limiter.reserve(MINUTE, Tokens(7, 0), NOON)
    assert (colliding.left, used(table, MINUTE)) == (0, [7])


def test_a_crowd_that_does_not_end_is_no_way_past_a_hard_limit(
    table: LimitTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.limit_table.PATIENCE_SECONDS", 0.02)
    colliding = Colliding(10**6)
    limiter = Limiter(colliding, os.environ["CP_LIMITS_TABLE"], TENANT)
    with pytest.raises(LimitsBusy):
        limiter.reserve(MINUTE, Tokens(7, 0), NOON)
    soft = Budgets((Limit("total_tokens", "day", 1000, "soft"),))
    limiter.reserve(soft, Tokens(7, 0), NOON).settle(Tokens(5, 0))
    colliding.left = 0
    limiter.reserve(MINUTE, Tokens(1, 0), NOON).settle(Tokens(1, 0))
    assert [used(table, MINUTE), used(table, soft)] == [[1], [5]]


# --- while the table is away ------------------------------------------------------------------------------------
@pytest.fixture
def outage(table: LimitTable, monkeypatch: pytest.MonkeyPatch) -> tuple[Limiter, Clock, Callable[[bool], None]]:
    """A limiter whose table can be taken away: its client then asks a port on which nobody listens."""
    here, gone = client(), client("http://127.0.0.1:9")
    since = Clock(0.0)
    limiter = Limiter(here, os.environ["CP_LIMITS_TABLE"], TENANT, monotonic=since)

    def set_away(is_away: bool) -> None:
        limiter._table._client = gone if is_away else here

    return limiter, since, set_away


def test_an_outage_costs_a_tenth_and_is_counted_afterwards(table: LimitTable, outage: Any) -> None:
    limiter, since, set_away = outage
    set_away(True)
    first = limiter.reserve(MINUTE, Tokens(60, 0), NOON)
    limiter.reserve(MINUTE, Tokens(40, 0), NOON)
    with pytest.raises(LimitsUnavailable):
        limiter.reserve(MINUTE, Tokens(1, 0), NOON)
    first.settle(Tokens(10, 0))  # what was not used may be used again
    limiter.reserve(MINUTE, Tokens(50, 0), NOON).settle(Tokens(50, 0))
    set_away(False)
    since.at += COOL_SECONDS
    limiter.reserve(MINUTE, Tokens(5, 0), NOON).settle(Tokens(5, 0))
    assert used(table, MINUTE) == [10 + 40 + 50 + 5]


def test_in_an_outage_a_budget_that_was_full_stays_full(table: LimitTable, outage: Any) -> None:
    limiter, _, set_away = outage
    take(table, MINUTE, Tokens(900, 0))  # by another process
    limiter.reserve(MINUTE, Tokens(95, 0), NOON).settle(Tokens(95, 0))
    set_away(True)
    limiter.reserve(MINUTE, Tokens(5, 0), NOON)
    with pytest.raises(LimitsUnavailable):
        limiter.reserve(MINUTE, Tokens(1, 0), NOON)
    limiter.reserve(MINUTE, Tokens(100, 0), NOON + 60)  # a new window, of which a tenth may go


def test_soft_and_shadow_let_everything_pass_in_an_outage(outage: Any) -> None:
    limiter, _, set_away = outage
    set_away(True)
    lenient = Budgets((Limit("total_tokens", "day", 1, "soft"), Limit("input_tokens", "day", 1, "shadow")))
    for _ in range(3):
        assert limiter.reserve(lenient, Tokens(100, 100), NOON).over == ()


def test_an_answer_that_ends_in_an_outage_is_settled_when_it_is_over(table: LimitTable, outage: Any) -> None:
    limiter, since, set_away = outage
    ticket = limiter.reserve(MINUTE, Tokens(500, 0), NOON)
    set_away(True)
    ticket.settle(Tokens(20, 0))
    ticket.settle(Tokens(20, 0))
    assert used(LimitTable(client(), os.environ["CP_LIMITS_TABLE"], TENANT), MINUTE) == [500]
    set_away(False)
    since.at += COOL_SECONDS
    limiter.reserve(MINUTE, Tokens(10, 0), NOON).release()
    assert used(table, MINUTE) == [20]


# --- the kit's own way to the table -----------------------------------------------------------------------------
def quick(url: str | None = None) -> QuickTable:
    return QuickTable(client(url), boto3.session.Session().get_credentials())


def test_the_quick_way_reserves_refuses_and_settles_as_the_clients_own(table: LimitTable, clock: Clock) -> None:
    ours = LimitTable(quick(), os.environ["CP_LIMITS_TABLE"], TENANT, clock)
    held = take(ours, MINUTE, Tokens(500, 490))
    with pytest.raises(LimitExceeded):
        take(ours, MINUTE, Tokens(11, 0))
    assert [ours.settle(held, Tokens(10, 5)), ours.settle(held, Tokens(10, 5))] == [True, False]
    assert used(table, MINUTE) == used(ours, MINUTE) == [15]


def test_the_quick_way_tells_what_is_wrong_in_the_clients_words() -> None:
    change = {"Put": {"TableName": "no-such-table", "Item": {"tenant": {"S": "x"}, "item": {"S": "y"}}}}
    with pytest.raises(ClientError) as refusal:
        quick().transact_write_items(TransactItems=[change])
    assert refusal.value.response["Error"]["Code"] == "ResourceNotFoundException"
    with pytest.raises(EndpointConnectionError):
        quick("http://127.0.0.1:9").transact_write_items(TransactItems=[change])
    with pytest.raises(NoCredentialsError):
        QuickTable(client(), None)


@pytest.mark.parametrize("token", [None, "session-token=="])
def test_the_quick_way_signs_as_botocore_does(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore import auth

    credentials, at = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", token), time.gmtime(NOON)
    ours = QuickTable(client(), credentials)._signed(b'{"a":1}', at)
    headers = {"X-Amz-Target": ours["x-amz-target"]}
    request = AWSRequest("POST", os.environ["AWS_ENDPOINT_URL"] + "/", headers=headers, data=b'{"a":1}')
    monkeypatch.setattr(auth, "get_current_datetime", lambda: datetime.fromtimestamp(NOON, UTC))
    auth.SigV4Auth(credentials, "dynamodb", "us-west-2").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert (ours["x-amz-date"], ours.get("x-amz-security-token")) == (request.headers["X-Amz-Date"], token)


class Unsteady(http.server.BaseHTTPRequestHandler):
    """Answers 500 first, then as it is told; remembers what it was asked."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if len(self.asked) == 1 else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_failed_try_is_the_same_transaction_again() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), Unsteady)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert quick(f"http://127.0.0.1:{server.server_address[1]}").transact_write_items(TransactItems=[]) == {}
    server.shutdown()
    server.server_close()
    first, second = Unsteady.asked
    assert first == second and len(first["ClientRequestToken"]) == 32
