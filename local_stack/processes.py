"""Child processes that never outlive us.

Two nets. The kernel signals each child when its parent dies (Linux). And a guard, forked first, waits on a pipe that
closes with us, then ends the process groups it was told of: that also reaches the children's children, and works
where the kernel offers no such signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
GUARD_PATIENCE_SECONDS = 8.0
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Guard:
    """A forked watcher that ends every registered process group once this process is gone, however it went."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._writing)
            _watch(reading)
        os.close(reading)

    def register(self, group: int, stop_signal: int) -> None:
        """From now on `group` is ended with us, first by `stop_signal`, then by SIGKILL."""
        self._tell(f"+{group} {int(stop_signal)}\n")

    def forget(self, group: int) -> None:
        """The group has ended; its number may be given to a stranger."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let the guard go; what is still registered is ended first."""
        os.close(self._writing)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, line.encode())


def _watch(pipe: int) -> None:
    """The guard's whole life; never returns."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, int] = {}
    text = b""
    while chunk := os.read(pipe, 4096):
        *lines, text = (text + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"+"):
                group, stop = line[1:].split()
                groups[int(group)] = int(stop)
            else:
                groups.pop(int(line[1:]), None)
    for leader, stop_signal in reversed(groups.items()):
        _signal_group(leader, stop_signal)
    deadline = time.monotonic() + GUARD_PATIENCE_SECONDS
    while time.monotonic() < deadline and any(group_is_alive(leader) for leader in groups):
        time.sleep(0.1)
    for leader in groups:
        _signal_group(leader, signal.SIGKILL)
    os._exit(0)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_is_alive(group: int) -> bool:
    """Whether any process of the group still runs; one that ended and only waits to be reaped does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return sys.platform != "linux" or any(found == group for found in _running_groups())


def _running_groups() -> Iterator[int]:
    """The group of every process that is not a zombie, from Linux's /proc."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name, which may hold anything) state ppid pgrp …
            state, _parent, group, *_ = stat.read_text().rpartition(")")[2].split()
            if state not in "ZX":
                yield int(group)


@dataclass
class Child:
    """A running program: its own session, its output in a log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    log_offset: int
    stop_signal: int
    guard: Guard

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Send its own stop signal and go on."""
        if self.is_running():
            self.process.send_signal(self.stop_signal)

    def stop(self, patience_seconds: float = 10.0) -> None:
        """Ask to stop, wait, then insist; afterwards nothing of the group is left."""
        if self.is_running():
            self.ask_to_stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_seconds)
        self.kill()

    def kill(self) -> None:
        """End the whole group at once."""
        _signal_group(self.pid, signal.SIGKILL)
        self.process.wait()
        self.guard.forget(self.pid)

    def output(self) -> str:
        """What it has written since it was launched."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.log_offset)
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def last_words(self) -> str:
        """The end of its output, for saying why it stopped."""
        return "\n".join(f"  {line}" for line in self.output().splitlines()[-8:])


def spawn(
    name: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    guard: Guard,
    stop_signal: int = signal.SIGTERM,
    user: tuple[int, int] | None = None,
) -> Child:
    """Start a program in its own session. Call it from the main thread: the kernel's signal follows the thread.

    `user` (uid, gid) is switched to before the death signal is set, because switching clears it.
    """
    parent = os.getpid()

    def last_will() -> None:
        if LIBC is not None:
            LIBC.prctl(PR_SET_PDEATHSIG, int(stop_signal))
            if os.getppid() != parent:
                os._exit(1)

    log.parent.mkdir(parents=True, exist_ok=True)
    uid, gid = user or (None, None)
    with log.open("ab") as output:
        offset = output.tell()
        process = subprocess.Popen(
            [str(part) for part in argv],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=last_will,
            user=uid,
            group=gid,
            extra_groups=[] if user else None,
        )
    guard.register(process.pid, stop_signal)
    return Child(name=name, process=process, log=log, log_offset=offset, stop_signal=stop_signal, guard=guard)


class StartFailed(RuntimeError):
    """A part of the stack did not become healthy; the text says which, why, and where its log is."""


@dataclass(frozen=True)
class Part:
    """One program of a stack: how to launch it, and how to see that it serves."""

    name: str
    launch: Callable[[], Child]
    serves: Callable[[Child], bool]
    patience_seconds: float = 60.0

    def start(self) -> Child:
        """Launch it and wait until it serves. Raises StartFailed."""
        child = self.launch()
        self.wait(child)
        return child

    def wait(self, child: Child) -> None:
        """Until `child`, launched from this, serves. Raises StartFailed when it ends first or time is up."""
        deadline = time.monotonic() + self.patience_seconds
        while not self.serves(child):
            if not child.is_running():
                raise StartFailed(_obituary(child, f"stopped with exit code {child.process.returncode}"))
            if time.monotonic() > deadline:
                raise StartFailed(_obituary(child, f"was not ready after {self.patience_seconds:.0f} s"))
            time.sleep(0.03)


def _obituary(child: Child, what: str) -> str:
    return f"{child.name} {what}; its log is {child.log}, ending with\n{child.last_words()}"
