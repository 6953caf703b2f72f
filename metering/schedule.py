"""When an hour of usage is read, and read again; pure.

CloudWatch converges within minutes, shows points stamped 3-24 h back after up to 2 h and older ones after 48 h or
more, and takes points up to two weeks old. So an hour is read soon after it closed, three times more until it
settles, and once after the last moment at which anything can still appear: what that finds after sealing is a
correction.
"""

from datetime import datetime, timedelta

WINDOW = timedelta(hours=1)
READS = (timedelta(minutes=15), timedelta(hours=3), timedelta(hours=24), timedelta(hours=72))
SETTLES_AFTER = READS[-1]
LAST_LOOK = timedelta(days=17)
RETRY = timedelta(minutes=5)

# How long CloudWatch keeps points that a period of so many seconds can be asked for; beyond it the answer is nothing.
RETENTION = {900: timedelta(days=63), 3600: timedelta(days=455)}
RETENTION_MARGIN = timedelta(hours=1)


def first_read(window_end: datetime) -> datetime:
    """When a window that has just closed is read for the first time."""
    return window_end + READS[0]


def next_read(window_end: datetime, read_at: datetime) -> datetime | None:
    """When a window that was read completely at `read_at` is due again; None when never."""
    moments = (window_end + after for after in (*READS, LAST_LOOK))
    return next((moment for moment in moments if moment > read_at), None)


def is_settling(window_end: datetime, read_at: datetime) -> bool:
    """Whether a complete read at `read_at` settles the window."""
    return read_at >= window_end + SETTLES_AFTER


def is_beyond_retention(window_start: datetime, bucket_seconds: int, at: datetime) -> bool:
    """Whether CloudWatch may no longer hold the window's points at this granularity, so that empty proves nothing."""
    return window_start < at - RETENTION[bucket_seconds] + RETENTION_MARGIN
