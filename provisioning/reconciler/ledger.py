"""The ledger of serving time, on the business clock: opened when a resource is first seen to serve, closed once."""

from collections.abc import Iterable
from datetime import timedelta

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core.clock import now
from provisioning.models import ManagedResource, ResourceInterval
from provisioning.specs import REGISTRY_KINDS
from provisioning.states import SERVING, Phase


def keep_ledger(rows: Iterable[tuple[ManagedResource, str]]) -> None:
    """Open or close intervals of rows, each with the phase it just had; inside the caller's transaction.

    Serving ends when AWS takes the deletion, or when the object is found failed or gone. Another number of copies
    counts from when AWS has them on, as an interval of its own.
    """
    changed = [(row, was) for row, was in rows if row.phase != was and row.kind not in REGISTRY_KINDS]
    if not changed:
        return
    found = ResourceInterval.objects.filter(resource__in=[row.pk for row, _ in changed], during__endswith=None)
    still_open = {interval.resource_id: interval for interval in found}
    begun = []
    for row, was_phase in changed:
        serves, served = row.phase in SERVING and row.ready_at is not None, was_phase in SERVING
        interval, begins = still_open.get(row.pk), now()
        has_other_copies = interval is not None and row.phase == Phase.READY and interval.copies != _copies(row)
        if interval is not None and ((served and row.phase not in SERVING) or has_other_copies):
            start = interval.during.lower
            # Never empty, even when the clock was set back: an empty range has no end and would read as open.
            begins = max(begins, start + timedelta(microseconds=1))
            ResourceInterval.objects.filter(pk=interval.pk).update(during=DateTimeTZRange(start, begins, "[)"))
        if serves and (interval is None or has_other_copies):
            during = DateTimeTZRange(begins, None, "[)")
            begun.append(ResourceInterval(resource=row, during=during, copies=_copies(row)))
    ResourceInterval.objects.bulk_create(begun)


def _copies(row: ManagedResource) -> int:
    """How many of it serve; only components have copies."""
    return int(row.settings.get("copies", 1))
