"""The two web servers of `bench.registry`: the product's, and MLflow's where one is installed."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WORKERS = 2
MLFLOW_VERSION = "3.17.2"
"""The peer of all our figures; requirements/bench.in names it too."""
PATIENCE_SECONDS = 90


@dataclass(frozen=True)
class Server:
    """A web server that answers."""

    url: str
    pid: int


def mlflow_command() -> Path | None:
    """MLflow's console script: the one that BENCH_MLFLOW names, or the one beside this Python; None without either."""
    named = os.environ.get("BENCH_MLFLOW")
    found = named or shutil.which("mlflow", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


@contextmanager
def product() -> Iterator[Server]:
    """The product as the stack and the image start it: gunicorn's sync workers, which close each connection."""
    address = _free_address()
    argv = [sys.executable, "-m", "gunicorn", "controlplane.wsgi:application", "--bind", address]
    argv += ["--workers", str(WORKERS), "--worker-class", "sync", "--no-control-socket", "--log-level", "error"]
    with _running(argv, {"CP_PUBLIC_URL": f"http://{address}"}, address, "/health/live") as server:
        yield server


@contextmanager
def mlflow(command: Path, *, database_url: str, folder: Path) -> Iterator[Server]:
    """MLflow's server as its `--gunicorn-opts` run it: as many workers, four threads each, connections kept open."""
    address = _free_address()
    host, _, port = address.partition(":")
    argv = [str(command), "server", "--host", host, "--port", port, "--backend-store-uri", _sqlalchemy(database_url)]
    argv += ["--default-artifact-root", str(folder), "--no-serve-artifacts"]
    argv += ["--workers", str(WORKERS), "--gunicorn-opts", "--worker-class gthread --threads 4 --log-level error"]
    # It finds gunicorn on the path, and its job runner and telemetry would only cost it time.
    own = {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with _running(argv, own, address, "/health") as server:
        yield server


def migrate_mlflow(command: Path, *, database_url: str) -> None:
    """MLflow's own tables, made by MLflow."""
    argv = [str(command), "db", "upgrade", _sqlalchemy(database_url)]
    subprocess.run(argv, env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}, check=True, capture_output=True)


def version_of(command: Path) -> str:
    """What `mlflow --version` says."""
    said = subprocess.run([str(command), "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[-1]


@contextmanager
def _running(argv: Sequence[str], env: Mapping[str, str], address: str, path: str) -> Iterator[Server]:
    """A process that serves `path` at `address`, ended afterwards. Raises RuntimeError when it never answers."""
    process = subprocess.Popen(argv, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, f"http://{address}{path}")
        yield Server(f"http://{address}", process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"{Path(process.args[0]).name} did not start")  # type: ignore[index,arg-type]


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)
