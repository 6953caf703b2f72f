"""How long to wait before looking again. Pure: the installation's sweep interval is the unit, chance is an argument.

With the production sweep of 15 s: progress is looked at every 15 s, an error after 15 s doubling to 5 min, a quota or
capacity refusal after 15 min doubling to 6 h (nobody raises a quota within a minute, and each try is a GPU request),
denied access every 5 min, and what is settled every 10 min.
"""

POLL = 1
ERROR_FIRST, ERROR_LONGEST = 1, 20
SCARCE_FIRST, SCARCE_LONGEST = 60, 1440
DENIED = 20
RESYNC = 40
JITTER = 0.2


def poll_seconds(sweep_seconds: float) -> float:
    """Until the next look at something that AWS is changing."""
    return POLL * sweep_seconds


def error_seconds(sweep_seconds: float, failures: int, chance: float) -> float:
    """After a throttle, a timeout or AWS's own failure, the `failures`-th in a row (from 1)."""
    return _jittered(_doubling(ERROR_FIRST, ERROR_LONGEST, failures) * sweep_seconds, chance)


def scarce_seconds(sweep_seconds: float, failures: int, chance: float) -> float:
    """After a quota or capacity refusal, the `failures`-th in a row (from 1)."""
    return _jittered(_doubling(SCARCE_FIRST, SCARCE_LONGEST, failures) * sweep_seconds, chance)


def denied_seconds(sweep_seconds: float, chance: float) -> float:
    """After a refusal that only a person can lift."""
    return _jittered(DENIED * sweep_seconds, chance)


def resync_seconds(sweep_seconds: float, chance: float) -> float:
    """Until a settled resource is looked at for drift."""
    return _jittered(RESYNC * sweep_seconds, chance)


def _doubling(first: int, longest: int, failures: int) -> int:
    return int(min(first * 2 ** min(max(failures, 1) - 1, 20), longest))


def _jittered(seconds: float, chance: float) -> float:
    """Spread over 80-120 % by `chance` in [0, 1), so that a thousand rows do not come back together."""
    return seconds * (1 - JITTER + 2 * JITTER * chance)
