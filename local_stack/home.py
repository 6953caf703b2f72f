"""One stack's folder (`var`, or `var/demo`): who holds it, what runs in it, and what a helper needs to join in."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from local_stack import environment
from local_stack.postgres import SHARED_BASE

GUARD_CLEARS_UP_SECONDS = 15.0


class AlreadyRunning(RuntimeError):
    """Another process holds this folder; the text names it and where it serves."""


@dataclass(frozen=True)
class Home:
    """The folder and the names in it."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "log"

    @property
    def clock_file(self) -> Path:
        return self.path / "clock"

    def clock_offset(self) -> int:
        """How many seconds the test clock of this stack is ahead of the machine's."""
        try:
            return int(self.clock_file.read_text().strip() or 0)
        except OSError:
            return 0

    @property
    def aws_state(self) -> Path:
        return self.path / "aws"

    @property
    def _state_file(self) -> Path:
        return self.path / "stack.json"

    @property
    def _outside_record(self) -> Path:
        return self.path / "outside-folder"

    def keys(self) -> dict[str, str]:
        """This folder's secrets, drawn on first use."""
        return environment.local_secrets(self.path / "secrets.env")

    def outside(self) -> Path:
        """The folder for what must lie outside private homes; its name is drawn once and recorded here."""
        if not self._outside_record.exists():
            self._outside_record.write_text(str(SHARED_BASE / os.urandom(6).hex()))
        return Path(self._outside_record.read_text().strip())

    def hold(self) -> int:
        """Take this folder for one stack and return the lock's descriptor. Raises AlreadyRunning.

        A stack that was killed is still being cleared up for a moment by its guard, which shares the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + GUARD_CLEARS_UP_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                running = self.running()
                if running is not None or time.monotonic() > deadline:
                    os.close(descriptor)
                    raise AlreadyRunning(_where(running)) from None
                time.sleep(0.2)

    def record(self, **facts: object) -> None:
        """Note what runs here, for `manage`, `doctor` and a second `run.py`."""
        fresh = self._state_file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({"pid": os.getpid(), **facts}))
        fresh.rename(self._state_file)

    def forget(self) -> None:
        """Nothing runs here any more."""
        self._state_file.unlink(missing_ok=True)

    def running(self) -> dict[str, object] | None:
        """What the running stack recorded; None when none runs."""
        if self._is_free():
            return None
        try:
            facts: dict[str, object] = json.loads(self._state_file.read_text())
            os.kill(int(str(facts["pid"])), 0)
        except PermissionError:
            return facts
        except (OSError, ValueError, KeyError):
            return None
        return facts

    def refuse_while_running(self) -> None:
        """Raises AlreadyRunning when a stack holds this folder."""
        if not self._is_free():
            raise AlreadyRunning(_where(self.running()))

    def _is_free(self) -> bool:
        """Whether nobody holds the lock; a recorded process number alone may by now be a stranger's."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def remove(self) -> None:
        """Delete the folder and everything outside that belongs to it. Raises AlreadyRunning, and deletes nothing."""
        self.refuse_while_running()
        if self._outside_record.exists():
            shutil.rmtree(self.outside(), ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)


def _where(running: dict[str, object] | None) -> str:
    if running is None:
        return "Another run.py in this clone is just starting or stopping; try again in a moment."
    url = running.get("url")
    return f"It already runs here (process {running['pid']}{f', {url}' if url else ''}); Ctrl-C there stops it."
