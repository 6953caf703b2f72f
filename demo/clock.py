"""The month that the demo lives through: a test clock that moves the product and the local AWS together, and how fast
the local AWS answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from local_stack.emulator import EmulatorClient


class StoryClock:
    """Business time. Without an emulator of ours (another AWS-compatible server) it is real time and cannot move."""

    def __init__(self, aws: EmulatorClient | None, file: Path | None) -> None:
        self._aws = aws
        self._file = file

    @property
    def can_move(self) -> bool:
        return self._aws is not None

    def now(self) -> datetime:
        """The business time."""
        offset = int(self._file.read_text().strip() or 0) if self._file else 0
        return datetime.now(UTC) + timedelta(seconds=offset)

    def let_copies_say(self, words_per_second: float | None) -> None:
        """From now on a copy of a model answers one request after the other, this fast; None: all of them at once."""
        if self._aws is not None:
            self._aws.post("inference", {"copy_words_per_second": words_per_second})

    def move_to(self, moment: datetime) -> None:
        """Forward to `moment`; never back."""
        ahead = (moment - self.now()).total_seconds()
        if self._aws is not None and ahead > 0:
            self._aws.advance(int(ahead) + 1)


def first_of_next_month(moment: datetime) -> datetime:
    """Midnight UTC on the first day of the month after `moment`'s."""
    year, month = divmod(moment.year * 12 + moment.month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)
