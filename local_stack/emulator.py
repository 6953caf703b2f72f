"""The local AWS as a process, and a small client for its control API (`/_emulator/`)."""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.paths import ROOT
from local_stack.processes import Guard, Part, spawn

# The reconciler looks about every two seconds: whatever is made here is seen on its way at least twice, as in AWS.
UNHURRIED: Mapping[str, Mapping[str, float]] = {"endpoint": {"seconds": 5.0}, "component": {"seconds": 5.0}}

# Loopback never goes through a proxy, whatever the environment says.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there, else any free port on loopback."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def part(*, port: int, clock_file: Path, state: Path | None, env: Mapping[str, str], log: Path, guard: Guard) -> Part:
    """The emulator on `port` of loopback; `state` keeps its world across restarts."""
    argv: list[str | Path] = [sys.executable, "-m", "aws_emulator", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--clock-file", clock_file]
    if state is not None:
        argv += ["--state-dir", state]
    return Part(
        "aws",
        lambda: spawn("aws", argv, env=env, cwd=ROOT, log=log, guard=guard),
        lambda _: EmulatorClient(f"http://127.0.0.1:{port}").is_healthy(),
    )


@dataclass(frozen=True)
class EmulatorClient:
    """What a demo or a test may do to the local AWS that nobody can do to the real one."""

    url: str

    def is_healthy(self) -> bool:
        try:
            return bool(self.get("health"))
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """The JSON answer of `GET /_emulator/path`; raises OSError when it is refused or nobody answers."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The JSON answer of `POST /_emulator/path`."""
        return self._call("POST", path, dict(body or {}))

    def delete(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The JSON answer of `DELETE /_emulator/path`."""
        return self._call("DELETE", path, dict(body) if body else None)

    def reset(self) -> None:
        """An empty account, no faults, the clock at zero."""
        self.post("reset")

    def advance(self, seconds: float) -> None:
        """Move its clock, and through the shared clock file ours, forward."""
        self.post("clock", {"advance_seconds": seconds})

    def delays(self, **delays: Mapping[str, float]) -> None:
        """How long things take: `endpoint={"looks": 2}` or `component={"seconds": 1}`, also `update`, `delete`."""
        self.post("delays", delays)

    def stream_at(self, words_per_second: float) -> None:
        """How fast streamed answers come; without it, as fast as they can be sent."""
        self.post("inference", {"words_per_second": words_per_second})

    def fault(self, fault: str, **scope: object) -> None:
        """Script one fault, e.g. `fault("throttle", operation="CreateEndpoint", times=2)`."""
        self.post("faults", {"fault": fault, **scope})

    def clear_faults(self) -> None:
        self.delete("faults")

    def put_role(self, account: str, role: str, trust_policy: Mapping[str, object]) -> str:
        """What an account's owner does: create a role, or change whom it trusts; its ARN."""
        body = {"account": account, "role": role, "trust_policy": trust_policy}
        return str(self.post("roles", body)["arn"])

    def delete_role(self, account: str, role: str) -> None:
        """What an account's owner may do one day: its sessions end with it."""
        self.delete("roles", {"account": account, "role": role})

    def end_sessions(self, account: str = "") -> None:
        """End the sessions of assumed roles, of one account or of all, before their time."""
        self.post("sessions", {"account": account})

    def calls(self) -> dict[str, int]:
        """How often each operation was called since the last reset."""
        counts: dict[str, int] = self.get("calls")
        return counts

    def _call(self, method: str, path: str, body: dict[str, object] | None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_emulator/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with OPENER.open(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as refused:
            text = refused.read().decode(errors="replace")
            raise OSError(f"{method} /_emulator/{path}: {refused.code} {text}") from refused
