"""One PostgreSQL, one Valkey and one local AWS per test process, each started by the first test that asks for it.

`tests/session.py` set the environment before this file was read. Sockets open to loopback only.
"""

from __future__ import annotations

import gc
import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_stack import aws_setup, emulator, postgres, valkey
from tests.session import AWS_PORT, CLOCK_FILE, ENV, GUARD, HOME, OUTSIDE, SOCKETS


# --- sockets ----------------------------------------------------------------------------------------------------
def _is_name_elsewhere(host: object) -> bool:
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
    is_address = name.replace(".", "").isdigit() or ":" in name
    return "." in name and not is_address and not name.endswith(("localhost", ".localdomain"))


def _only_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, so that no library's own way to connect goes round it. Name servers are other machines too."""
    if event == "socket.getaddrinfo" and _is_name_elsewhere(arguments[0]):
        raise PermissionError(f"Tests reach this machine only; something asked for the address of {arguments[0]!r}.")
    if event != "socket.connect":
        return
    sock, address = arguments
    if sock.family == socket.AF_UNIX or str(address[0]).startswith("127.") or address[0] in ("::1", "localhost"):
        return
    raise PermissionError(f"Tests reach this machine only; something tried to connect to {address[0]}.")


sys.addaudithook(_only_loopback)


# --- the long ones ----------------------------------------------------------------------------------------------
def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked `long`, with their full counts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="the full counts: run.py test --long"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is loaded by now stays to the end: looking through it for cycles again and again was a fifth of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


# --- the servers ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """The broker's URL, with a server behind it."""
    child = valkey.part(HOME, sockets=SOCKETS, log=HOME / "log" / "valkey.log", guard=GUARD).start()
    yield valkey.url(SOCKETS)
    child.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """A PostgreSQL of our own; the databases in it are pytest-django's."""
    place = postgres.place(HOME, outside=lambda: OUTSIDE)
    child = postgres.part(place, log=HOME / "log" / "postgres.log", guard=GUARD, durable=False).start()
    yield place
    child.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres_server: postgres.Postgres, valkey_server: str) -> None:
    """Start the servers when the first test asks for the database: committed events also ring the broker."""


@pytest.fixture(scope="session")
def aws_server() -> Iterator[emulator.EmulatorClient]:
    """The local AWS, once per session. Most tests want `aws`, which empties it first."""
    log = HOME / "log" / "aws.log"
    child = emulator.part(port=AWS_PORT, clock_file=CLOCK_FILE, state=None, env=ENV, log=log, guard=GUARD).start()
    yield emulator.EmulatorClient(ENV["AWS_ENDPOINT_URL"])
    child.stop()


@pytest.fixture
def aws(aws_server: emulator.EmulatorClient) -> Iterator[emulator.EmulatorClient]:
    """An empty local AWS with the installation's bucket and config table, its clock and faults at zero.

    The client scripts faults, delays and the clock; see `local_stack.emulator.EmulatorClient`.
    """
    aws_server.reset()
    CLOCK_FILE.write_text("0")
    aws_setup.create_bucket_and_tables(ENV)
    yield aws_server
    CLOCK_FILE.write_text("0")


@pytest.fixture
def aws_calls() -> Iterator[list[str]]:
    """The operations that boto3 is asked for in this process, by name.

    Left out are DynamoDB's and S3's, which hold our own data, and the look once per process whose account this is.
    """
    asked: list[str] = []

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg.startswith("Making request for") and isinstance(record.args, tuple):
                operation = record.args[0]
                service = operation.service_model.service_name
                if service not in ("dynamodb", "s3") and operation.name != "GetCallerIdentity":
                    asked.append(operation.name)

    log, counting = logging.getLogger("botocore.endpoint"), Counting()
    before = log.level
    log.addHandler(counting)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    yield asked
    log.removeHandler(counting)
    log.setLevel(before)
    log.propagate = True


@pytest.fixture
def clock_file() -> Iterator[Path]:
    """The test clock's offset in seconds, for tests without AWS; back to zero afterwards."""
    CLOCK_FILE.write_text("0")
    yield CLOCK_FILE
    CLOCK_FILE.write_text("0")
