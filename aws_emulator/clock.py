"""The emulator's time: real time plus an offset that tests can move.

The offset lives in a file of plain integer text, so that a program on the other side can share it: whoever writes
the file moves the clock for all.
"""

import os
import threading
import time
from pathlib import Path


class Clock:
    """Seconds since the epoch, shifted by an offset in whole seconds."""

    def __init__(self, file: Path | None = None) -> None:
        """Take the offset from `file` at every reading; without one it is kept in memory and starts at 0."""
        self._file = file
        self._offset = 0
        self._lock = threading.Lock()

    def offset(self) -> int:
        """The offset in seconds. A missing or empty file means 0; an unreadable one keeps what was last known."""
        if self._file is not None:
            try:
                self._offset = int(self._file.read_text().strip() or 0)
            except FileNotFoundError:
                self._offset = 0
            except ValueError:
                pass
        return self._offset

    def now(self) -> float:
        """The emulated time, as seconds since the epoch."""
        return time.time() + self.offset()

    def advance(self, seconds: int) -> int:
        """Move the clock by `seconds` (may be negative) and return the new offset."""
        with self._lock:
            return self._write(self.offset() + seconds)

    def set_offset(self, seconds: int) -> int:
        """Put the clock `seconds` away from real time and return the new offset."""
        with self._lock:
            return self._write(seconds)

    def _write(self, seconds: int) -> int:
        self._offset = seconds
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # A rename, because a reader must never find the file half written.
            draft = self._file.with_name(f"{self._file.name}.{os.getpid()}.new")
            draft.write_text(str(seconds))
            draft.replace(self._file)
        return seconds
