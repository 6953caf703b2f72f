"""The ledger of serving time, on the business clock: opened when a resource is first seen to serve, closed once."""

from datetime import timedelta

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core.clock import now
from provisioning.models import ManagedResource, ResourceInterval
from provisioning.specs import REGISTRY_KINDS
from provisioning.states import Phase

SERVING = (Phase.READY, Phase.UPDATING)


def keep_ledger(row: ManagedResource, *, was_phase: str) -> None:
    """Open or close the row's interval when its phase has just changed; inside the caller's transaction.

    Serving ends when AWS takes the deletion, or when the object is found failed or gone.
    """
    if row.phase == was_phase or row.kind in REGISTRY_KINDS:
        return
    serves, served = row.phase in SERVING and row.ready_at is not None, was_phase in SERVING
    if serves and not _open(row):
        ResourceInterval.objects.create(resource=row, during=DateTimeTZRange(now(), None, "[)"))
    if served and row.phase not in SERVING:
        interval = _open(row)
        if interval is not None:
            start = interval.during.lower
            # Never empty, even when the clock was set back: an empty range has no end and would read as open.
            ended = DateTimeTZRange(start, max(now(), start + timedelta(microseconds=1)), "[)")
            ResourceInterval.objects.filter(pk=interval.pk).update(during=ended)


def _open(row: ManagedResource) -> ResourceInterval | None:
    return ResourceInterval.objects.filter(resource=row, during__endswith=None).first()
