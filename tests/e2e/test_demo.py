"""`run.py demo` does the main job without a person, agrees with itself, and says so in JSON."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dataplane.trace import make_trace
from demo.tenants import ACCEPTED, REFUSED
from local_stack.emulator import free_port
from local_stack.emulator import part as emulator_part
from local_stack.processes import Guard
from tests.conftest import ENV
from tests.e2e.processes import copy_project

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = copy_project(tmp_path_factory.mktemp("demo") / "clone")
    yield folder
    subprocess.run([sys.executable, "run.py", "reset", "--yes"], cwd=folder, check=True, capture_output=True)


def _demo(clone: Path, *words: str) -> tuple[dict[str, Any], str]:
    """The summary, of a demo that found no disagreement, and everything it printed."""
    file = clone / "summary.json"
    command = [sys.executable, "run.py", "demo", "--json", str(file), *words]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    summary: dict[str, Any] = json.loads(file.read_text())
    return summary, done.stdout


def test_the_demo_agrees_with_itself(clone: Path) -> None:
    trace = ["--trace", os.environ["TRACE_FILE"]] if "TRACE_FILE" in os.environ else []
    summary, printed = _demo(clone, *trace)
    assert summary["tenants"] == 3
    assert summary["adapters"]["accepted"] == sorted(ACCEPTED)
    assert {
        refused["name"]: REFUSED[refused["name"]] in refused["codes"] for refused in summary["adapters"]["refused"]
    } == (dict.fromkeys(REFUSED, True))
    tokens = summary["tokens"]
    assert tokens["trace_in"] == tokens["metered_in"] == tokens["invoiced_in"] > 1_000_000
    assert tokens["trace_out"] == tokens["metered_out"] == tokens["invoiced_out"] > 10_000
    if trace and "azure-llm-inference-2023-code" in trace[1]:
        assert (tokens["trace_in"], tokens["trace_out"]) == (18_059_974, 245_896)
    assert len({invoice["tenant"] for invoice in summary["invoices"]}) == len(summary["invoices"]) == 3
    for invoice in summary["invoices"]:
        assert Decimal(invoice["total"]) > 0
        assert invoice["lines"]
        assert (clone / "var" / "demo" / "out" / f"{invoice['number']}.pdf").read_bytes().startswith(b"%PDF-")
        assert "," in (clone / "var" / "demo" / "out" / f"{invoice['number']}.csv").read_text()
    assert {key: summary["rollback"][key] for key in ("from", "to")} == {"from": 2, "to": 1}
    assert 0 < summary["rollback"]["seconds"] < 30
    assert summary["crash"] == {"kills": 1, "leaked": 0, "doubled": 0}
    assert summary["offboarded"]["left_in_aws"] == 0
    assert summary["example_a"]["code"] == "limit_exceeded" and 0 < summary["example_a"]["retry_after_seconds"] <= 60
    charged = {line["description"]: Decimal(line["amount"]) for line in summary["example_b"]["invoice"]["lines"]}
    assert charged["Input tokens, strong-api"] > charged["Input tokens, cheap-api"] > 0
    assert {"Output tokens, strong-api", "Output tokens, cheap-api"} <= set(charged)
    assert summary["example_b"]["new_month_line"] == "strong-api"
    assert summary["example_c"]["lines"] == ["strong-api", "dedicated", "dedicated"]
    assert summary["example_c"]["flood"].keys() == {"pooled", "refused"}
    assert set(summary["seconds"]) == {"install", "start", "total"}
    assert "Everything agrees." in printed


@pytest.mark.long
def test_another_aws_is_used_by_its_documented_api_only(clone: Path, tmp_path: Path) -> None:
    guard = Guard()
    port = free_port()
    clock = tmp_path / "clock"
    child = emulator_part(port=port, clock_file=clock, state=None, env=ENV, log=tmp_path / "log", guard=guard).start()
    private: list[bytes] = []
    tunnel = _tunnel_to(port, private)
    Thread(target=tunnel.serve_forever, daemon=True).start()
    try:
        trace = tmp_path / "trace.csv"
        make_trace(requests=300).write(trace)
        address = f"http://127.0.0.1:{tunnel.server_address[1]}"
        summary, printed = _demo(clone, "--external-aws", address, "--trace", str(trace))
    finally:
        tunnel.shutdown()
        child.stop()
        guard.close()
    assert private == []
    assert summary["tenants"] == 3
    assert summary["crash"] == {"kills": 1, "leaked": 0, "doubled": 0}
    assert summary["rollback"]["to"] == 1
    assert "metering and invoices" in summary["skipped"]
    assert "skipped, a month and its grace pass only with a test clock" in printed


def _tunnel_to(port: int, private: list[bytes]) -> socketserver.ThreadingTCPServer:
    """Passes bytes to and from `port`, and remembers every request line for an address that is not AWS's."""

    class Tunnel(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as inner:
                Thread(target=self._pour, args=(inner, self.request), daemon=True).start()
                self._pour(self.request, inner, watch=True)

        def _pour(self, source: socket.socket, target: socket.socket, *, watch: bool = False) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 16):
                    if watch and b" /_emulator" in data:
                        private.append(data.splitlines()[0])
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    return Server(("127.0.0.1", 0), Tunnel)
