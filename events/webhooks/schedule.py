"""When a delivery is tried again, when a failing endpoint rests, and when it is given up. Pure.

The delays are those of Standard Webhooks: ten tries over three days. Each is stretched by up to a tenth, by an amount
that the delivery's id and the try decide, so that what failed together does not come back together.
"""

import hashlib
from datetime import timedelta

DELAYS = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
JITTER = 0.1
DISABLED_AFTER = timedelta(days=5)
# Shorter than the delay that follows the same number of failures of a single delivery, which it so never postpones;
# long enough that thousands of messages waiting for a dead receiver do not keep a connection each busy.
LONGEST_REST = timedelta(minutes=2)


def delay_after(tries: int, *, seed: str) -> timedelta | None:
    """How long to wait after the failure of try number `tries`; None after the last."""
    if tries >= len(DELAYS):
        return None
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{tries}".encode()).digest()[:8], "big") / 2**64
    return DELAYS[tries] * (1 + JITTER * drawn)


def rest_after(consecutive_failures: int) -> timedelta:
    """How long an endpoint rests after this many failures in a row, whatever waits for it: 2 s, 4 s … 2 minutes."""
    return min(timedelta(seconds=2.0 ** min(consecutive_failures, 10)), LONGEST_REST)
