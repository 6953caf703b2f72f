"""`run.py` starts everything, says where to sign in, and leaves nothing behind however it ends."""

from __future__ import annotations

import http.cookiejar
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.processes import Running, copy_project, descendants, eventually_gone, living

pytestmark = pytest.mark.e2e

HOSTILE = {
    "CP_DATABASE_URL": "postgresql://nobody@db.invalid/live",
    "CP_BROKER_URL": "redis://broker.invalid",
    "AWS_PROFILE": "production",
    "AWS_ENDPOINT_URL": "http://aws.invalid",
    "PGHOST": "db.invalid",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = copy_project(tmp_path_factory.mktemp("private") / "clone")
    yield folder
    assert _run(folder, "reset", "--yes").returncode == 0
    assert not (folder / "var").exists()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which nothing was ever started."""
    return copy_project(tmp_path_factory.mktemp("untouched") / "clone")


@pytest.fixture(scope="module")
def running(clone: Path) -> Iterator[Running]:
    """A stack that serves, started in an environment that names somebody's production; the last test stops it."""
    runner = Running(clone, "--empty", env=HOSTILE)
    try:
        runner.wait_for_line("Ctrl-C to stop")
        yield runner
    finally:
        runner.end()


def _run(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run.py", *words]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=120)


def _login(runner: Running) -> str:
    return runner.wait_for_line("http://127.0.0.1")


def _browser() -> urllib.request.OpenerDirector:
    """A client that keeps cookies, as a browser does."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    return urllib.request.build_opener(jar, urllib.request.ProxyHandler({}))


def test_login_link_works_once(running: Running) -> None:
    link = _login(running)
    with _browser().open(link, timeout=20) as page:
        assert page.status == 200
        body = page.read().decode()
    assert "login" not in page.url
    assert "admin" in body
    with pytest.raises(urllib.error.HTTPError) as second, _browser().open(link, timeout=20):
        pass
    assert second.value.code in (403, 404, 410)


def test_a_second_run_says_that_the_first_runs_and_where(clone: Path, running: Running) -> None:
    again = _run(clone)
    assert again.returncode == 1
    assert f"already runs here (process {running.process.pid}, http://127.0.0.1:" in again.stderr


def test_reset_refuses_while_it_runs(clone: Path, running: Running) -> None:
    assert _run(clone, "reset", "--yes").returncode == 1
    assert (clone / "var" / "stack.json").exists()


def test_manage_joins_the_running_stack(clone: Path, running: Running) -> None:
    known = _run(clone, "manage", "create_operator", "keeper", "--role", "viewer")
    assert "keeper (viewer)" in known.stdout, known.stderr


def test_a_part_that_dies_is_started_again(running: Running) -> None:
    [worker] = [pid for pid in descendants(running.process.pid) if _is_worker(pid) and os.getsid(pid) == pid]
    os.killpg(worker, signal.SIGKILL)
    running.wait_for_line("stopped with exit code -9; starting it again")


def test_ctrl_c_leaves_nothing_behind_but_the_data(clone: Path, running: Running) -> None:
    below = descendants(running.process.pid)
    assert len(below) > 8  # six parts, and children of theirs
    assert running.interrupt() == 0
    assert "Stopped." in running.output
    assert living(below) == set()
    # Without a running stack a command starts the database for as long as it takes, with the same data in it.
    after = _run(clone, "manage", "login_link", "keeper")
    assert after.stdout.startswith("/"), after.stderr


def test_kill_9_leaves_no_orphan_and_the_next_start_avoids_a_taken_port(clone: Path) -> None:
    killed = Running(clone, "--empty")
    try:
        url = _login(killed)
        killed.wait_for_line("Ctrl-C to stop")
        below = descendants(killed.process.pid)
    finally:
        killed.end()
    assert eventually_gone(below) == set()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", urlsplit(url).port or 0))
        taken.listen()
        again = Running(clone, "--empty")
        try:
            assert urlsplit(_login(again)).port != urlsplit(url).port
            again.wait_for_line("Ctrl-C to stop")
            assert again.interrupt() == 0
        finally:
            again.end()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "Ctrl-C stops all of it"),
        (["doctor"], "python"),
        (["test", "--list"], "integration"),
        (["manage", "version"], "5.2"),
        (["manage", "adapter", "--help"], "check"),
        (["demo", "--help"], "--external-aws"),
        (["reset", "--help"], "--yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_need_no_stack_start_none(untouched: Path, words: list[str], said: str) -> None:
    done = _run(untouched, *words)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert not (untouched / "var" / "log").exists()


def test_an_unknown_part_of_the_tests_is_named(clone: Path) -> None:
    done = _run(clone, "test", "nonsense")
    assert done.returncode == 2
    assert "There is no part nonsense" in done.stderr


def test_external_says_what_is_missing(clone: Path) -> None:
    command = [sys.executable, "run.py", "--external"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CP_", "AWS_"))}
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 2
    assert "CP_DATABASE_URL" in done.stdout


def _is_worker(pid: int) -> bool:
    try:
        return b"celery\0-A\0controlplane\0worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
