"""The config is kept fresh beside the requests, which never wait for it after the first."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dataplane.config import FROZEN_SECONDS, ConfigReader
from dataplane.errors import ConfigUnavailable, TenantUnknown
from tests.dataplane.conftest import TENANT, document, signed

if TYPE_CHECKING:
    from tests.dataplane.conftest import Plane


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class Table:
    """Stands in for DynamoDB over the network: what it holds, and whether it hangs or is away."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.status = "active"
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()
        self.is_away = False

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool) -> dict[str, Any]:
        self.reads += 1
        self.gate.wait(10)
        if self.is_away:
            raise ConfigUnavailable("away")
        if Key["item"]["S"] == "current":
            return {"Item": {"version": {"N": str(self.version)}}}
        text, signature = signed(document(version=self.version, status=self.status), b"k")
        return {"Item": {"document": {"S": text.decode()}, "signature": {"S": signature}}}


def reader(table: Table, **options: Any) -> ConfigReader:
    return ConfigReader(client=table, table="t", tenant=TENANT, key=b"k", **{"ttl_seconds": 0.02, **options})


def test_a_newer_config_arrives_without_anybody_asking(plane: Plane) -> None:
    plane.publish(document(version=1))
    kit = plane.kit(config_ttl_seconds=0.05)
    assert kit.config().version == 1
    plane.publish(document(version=2))
    until(lambda: kit.config().version == 2)
    kit.close()


def test_nobody_waits_for_a_store_that_hangs() -> None:
    table = Table()
    config = reader(table)
    assert config.current().version == 1
    table.gate.clear()
    before = table.reads
    until(lambda: table.reads > before)
    began = time.monotonic()
    assert all(config.current().version == 1 for _ in range(100))
    assert time.monotonic() - began < 1
    table.version = 2
    table.gate.set()
    until(lambda: config.current().version == 2)
    config.close()


def test_the_last_good_config_serves_while_the_store_is_away_and_the_next_is_taken_when_it_is_back() -> None:
    table = Table()
    config = reader(table)
    config.current()
    table.is_away = True
    until(lambda: config.last_error is not None)
    assert config.current().version == 1
    table.version, table.is_away = 2, False
    until(lambda: config.current().version == 2)
    assert config.last_error is None
    config.close()


def test_an_erased_tenant_is_noticed_in_the_background(plane: Plane) -> None:
    plane.publish(document(version=1))
    kit = plane.kit(config_ttl_seconds=0.05)
    kit.config()
    dynamodb: Any = boto3.client("dynamodb")
    key = {"tenant": {"S": TENANT}, "item": {"S": "current"}}
    dynamodb.delete_item(TableName=os.environ["CP_CONFIG_TABLE"], Key=key)

    def is_unknown() -> bool:
        try:
            kit.config()
        except TenantUnknown:
            return True
        return False

    until(is_unknown)
    kit.close()


def test_a_process_that_was_frozen_asks_before_it_answers() -> None:
    table, now = Table(), [0.0]
    config = reader(table, ttl_seconds=3600, monotonic=lambda: now[0])
    assert config.current().version == 1
    table.version = 2
    now[0] = 3600.0
    assert config.current().version == 1, "the thread's turn"
    now[0] = 3600.0 + FROZEN_SECONDS
    assert config.current().version == 2, "the thread was frozen with the process"
    config.close()


def test_many_first_uses_ask_once() -> None:
    table = Table()
    table.gate.clear()
    config = reader(table, ttl_seconds=3600)
    found: list[int] = []
    uses = [threading.Thread(target=lambda: found.append(config.current().version)) for _ in range(8)]
    for use in uses:
        use.start()
    table.gate.set()
    for use in uses:
        use.join()
    assert found == [1] * 8
    assert table.reads == 2, "the pointer and the document"
    config.close()


def test_the_thread_ends_with_the_kit_and_with_close() -> None:
    table = Table()
    held, closed = reader(table), reader(table)
    held.current(), closed.current()
    threads = [thread for thread in threading.enumerate() if thread.name == "config"]
    closed.close()
    del held
    gc.collect()
    until(lambda: not any(thread.is_alive() for thread in threads))
    assert closed.current().version == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_keeps_its_own_config_fresh() -> None:
    table = Table()
    config = reader(table)
    config.current()
    with config._lock:  # what a thread may hold at the moment of a fork
        child = os.fork()
        if child == 0:
            try:
                config.current()
                table.version = 2
                until(lambda: config.current().version == 2)
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    config.close()
