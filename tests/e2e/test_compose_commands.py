"""Every command of docker-compose.yml runs here too, with the production settings, against real servers."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_stack.emulator import OPENER, EmulatorClient, free_port
from local_stack.paths import ROOT
from local_stack.processes import Child, Guard, Part, spawn
from tests.e2e.conftest import Product

pytestmark = pytest.mark.e2e

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {name: service["command"] for name, service in SERVICES.items() if "build" in service}
WORKERS = sorted(name for name in OURS if name.startswith("worker-"))


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


@pytest.fixture
def env(product: Product) -> dict[str, str]:
    """The containers' environment, with this machine's servers in the place of the composed ones."""
    return product.stack.env | {"CP_ENVIRONMENT": "production", "CP_TEST_CLOCK_FILE": ""}


def _here(command: list[str], port: int) -> list[str]:
    """The command as it stands, but on a free port of loopback and with this Python."""
    places = {"0.0.0.0:8000": f"127.0.0.1:{port}", "0.0.0.0": "127.0.0.1", "8001": str(port), "python": sys.executable}
    return [places.get(word, word) for word in command]


def _part(name: str, port: int, env: dict[str, str], folder: Path, guard: Guard, serves: Any) -> Part:
    argv = [word.replace("/data", str(folder / "data")) for word in _here(OURS[name], port)]
    argv = [word.replace("/tmp/beat", str(folder / "beat")) for word in argv]
    return Part(name, lambda: spawn(name, argv, env=env, cwd=ROOT, log=folder / "log", guard=guard), serves)


def _start(name: str, port: int, env: dict[str, str], folder: Path, guard: Guard, serves: Any) -> Child:
    return _part(name, port, env, folder, guard, serves).start()


def test_nothing_in_compose_is_left_out() -> None:
    assert set(OURS) == {"migrate", "web", "beat", "aws", "aws-setup", *WORKERS}


@pytest.mark.parametrize("name", ["migrate", "aws-setup"])
def test_jobs_finish(name: str, env: dict[str, str]) -> None:
    done = subprocess.run(_here(OURS[name], 0), cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_web_is_healthy_by_the_image_s_own_check(env: dict[str, str], tmp_path: Path, guard: Guard) -> None:
    port = free_port()
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    [check] = [json.loads(line.strip().removeprefix("CMD ")) for line in lines if "urllib.request" in line]
    argv = [sys.executable, *(word.replace("8000", str(port)) for word in check[1:])]
    child = _start(
        "web", port, env, tmp_path, guard, lambda _: subprocess.run(argv, capture_output=True).returncode == 0
    )
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-Proto": "https"})
    with OPENER.open(request, timeout=10) as page:
        assert page.headers["Strict-Transport-Security"]
    child.stop()


def test_workers_become_ready_and_stop_when_asked(env: dict[str, str], tmp_path: Path, guard: Guard) -> None:
    parts = [_part(name, 0, env, tmp_path / name, guard, lambda child: " ready." in child.output()) for name in WORKERS]
    children = [part.launch() for part in parts]
    for part, child in zip(parts, children, strict=True):
        part.wait(child)
    for child in children:
        child.ask_to_stop()  # once: a second signal ends a worker that is already on its way out
    for child in children:
        child.process.wait(20)
        child.stop()
    assert [child.process.returncode for child in children] == [0] * len(WORKERS)


def test_beat_starts(env: dict[str, str], tmp_path: Path, guard: Guard) -> None:
    child = _start("beat", 0, env, tmp_path, guard, lambda child: "beat: Starting" in child.output())
    child.stop()


def test_the_local_aws_profile_serves(env: dict[str, str], tmp_path: Path, guard: Guard) -> None:
    port = free_port()
    client = EmulatorClient(f"http://127.0.0.1:{port}")
    child = _start("aws", port, env, tmp_path, guard, lambda _: client.is_healthy())
    child.stop()
