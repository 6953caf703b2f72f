"""The only clock.

`now()` is business time: signing up, usage, periods, invoices. A test clock can push it, and only the local stack
has one: the file that `CP_TEST_CLOCK_FILE` names holds an offset in whole seconds, which every process reads, so
that a demonstration can walk a billing month in a minute. `controlplane.checks` refuses the file next to real AWS.

`real_now()` is for leases and timeouts, which must not expire because somebody pushed the business clock.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

CLOCK_FILE_VARIABLE = "CP_TEST_CLOCK_FILE"


def real_now() -> datetime:
    """The machine's time, in UTC."""
    return datetime.now(UTC)


def now() -> datetime:
    """Business time in UTC: the machine's time plus the test clock's offset, where there is one."""
    return real_now() + timedelta(seconds=offset_seconds())


def offset_seconds() -> int:
    """How far the test clock is ahead of the machine; 0 without a test clock.

    Raises ValueError when the file holds anything but a whole number, because a clock must not be guessed.
    """
    path = os.environ.get(CLOCK_FILE_VARIABLE)
    if not path:
        return 0
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    return int(text) if text else 0
