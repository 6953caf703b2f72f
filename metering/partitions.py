"""The months of the usage tables: each is a partition, made ahead by a job, dropped as a whole when its time is over.

There is no partition for everything else: a row for a month without a partition is refused, because in a table that
takes all it would stand in the way of the month for ever. Whoever writes usage calls `make_months` before.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection, transaction

from core.locks import advisory_lock

# In the order in which they refer to each other.
TABLES = ("metering_usagebucket", "metering_usagerevision", "metering_sealedbucket")

GONE = "SELECT max(month) + interval '1 month' FROM metering_droppedmonth"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

EXISTING = """
SELECT child.relname FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid
WHERE i.inhparent = %s::regclass AND NOT i.inhdetachpending ORDER BY 1
"""


def month_of(at: datetime) -> datetime:
    """The first instant of the month, in UTC, that `at` is in."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_after(month: datetime, count: int = 1) -> datetime:
    """The month `count` months later; earlier when it is negative."""
    whole = month.year * 12 + month.month - 1 + count
    return datetime(whole // 12, whole % 12 + 1, 1, tzinfo=UTC)


def existing_months() -> list[datetime]:
    """The months that usage can be written to, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(EXISTING, [TABLES[-1]])
        return [datetime.strptime(name[-7:], "%Ym%m").replace(tzinfo=UTC) for (name,) in cursor.fetchall()]


class MonthIsGone(Exception):
    """A month that was dropped is not made again: what seals claimed of it would be claimed twice."""


def kept_since() -> datetime:
    """From when on hours may be written: after the last month that was dropped; 1970 when none was."""
    with connection.cursor() as cursor:
        cursor.execute(GONE)
        gone: datetime | None = cursor.fetchone()[0]
    return gone or BEGINNING


def make_months(instants: Iterable[datetime]) -> list[datetime]:
    """Make the partitions that are missing for these instants; return the months made. Doing it again makes none.

    Called outside a transaction of the caller's, so that nobody waits for the locks of a new partition. Raises
    MonthIsGone for a month that was dropped.
    """
    wanted = {month_of(at) for at in instants}
    if wanted and min(wanted) < kept_since():
        raise MonthIsGone(f"The hours of {min(wanted):%Y-%m} are not kept any more; nothing is added to them.")
    if not wanted or wanted <= set(existing_months()):
        return []
    with transaction.atomic(durable=True):
        advisory_lock("metering.partitions")
        missing = sorted(wanted - set(existing_months()))
        for month in missing:
            for table in TABLES:
                _attach(table, month)
    return missing


def drop_month(month: datetime) -> None:
    """Drop a month's buckets, revisions and claims. The caller knows that they are not needed any more."""
    with transaction.atomic(), connection.cursor() as cursor:
        advisory_lock("metering.partitions")
        for table in reversed(TABLES):
            name = _name(table, month)
            cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
            cursor.execute(f"DROP TABLE {name}")


def _attach(table: str, month: datetime) -> None:
    # Made beside the table and attached: CREATE TABLE ... PARTITION OF would lock readers of the whole table out.
    name = _name(table, month)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{month.isoformat()}') "
            f"TO ('{month_after(month).isoformat()}')"
        )


def _name(table: str, month: datetime) -> str:
    return f"{table}_{month:%Ym%m}"
