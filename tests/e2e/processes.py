"""Running `run.py` as a person would, and seeing what is left of it afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", ".hypothesis", "node_modules")


def copy_project(target: Path) -> Path:
    """A clone in a private folder (0700), sharing the installed packages of this one."""
    shutil.copytree(ROOT, target, ignore=NOT_COPIED, symlinks=True)
    (target / ".venv").symlink_to(Path(sys.prefix))
    target.chmod(0o700)
    return target


def living(pids: set[int]) -> set[int]:
    """Those that still run; one that only waits to be reaped does not."""
    return {pid for pid in pids if _state(pid) not in ("", "Z", "X")}


def descendants(pid: int) -> set[int]:
    """Every process below `pid`, however deep, without itself."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def eventually_gone(pids: set[int], seconds: float = 15.0) -> set[int]:
    """What of `pids` still runs after at most `seconds`."""
    deadline = time.monotonic() + seconds
    while (left := living(pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


class Running:
    """One `run.py` with its output."""

    def __init__(self, clone: Path, *words: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "run.py", *words],
            cwd=clone,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(list(self.lines))

    def wait_for_line(self, words: str, seconds: float = 120.0) -> str:
        """The first line that contains `words`; fails with the whole output when it does not come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if words in line:
                    return line.strip()
            assert self.process.poll() is None, f"run.py ended early:\n{self.output}"
            time.sleep(0.1)
        raise AssertionError(f"{words!r} was not said within {seconds:.0f} s:\n{self.output}")

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self, seconds: float = 60.0) -> int:
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def end(self) -> None:
        """Whatever a failed test left running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
