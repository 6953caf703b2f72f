"""Rows whose passes kill the worker: found by counting, worked on alone, and parked before they stop everything else.

A claim counts an attempt in its own commit; the record of the pass takes the count back to zero. So a row that still
has attempts when it is claimed was in the hands of a worker that died. Whose fault that was nobody can tell from a
batch: from the third attempt on such a row is claimed alone, and five deaths park it. Between two deaths lies a lease,
in which the others are served. A retry, or another wish, starts the count anew.
"""

from collections.abc import Collection, Sequence

from django.db.models import Q

from provisioning.models import ManagedResource
from provisioning.states import StuckReason

# Two deaths in company: a machine that goes down twice parks nobody, and a whole batch is not worked on one by one
# for a single restart.
ALONE_FROM = 2
MOST_ATTEMPTS = 5
WHY = (
    f"{MOST_ATTEMPTS} passes over this resource ended with the death of their worker, the last ones with nothing else "
    "in hand. It is looked at no more until somebody retries or the wish changes; the worker's log has the reason."
)


def most_attempts_left() -> Q:
    """Rows that may be tried, and those whose last try has just failed: a dead worker's lease is still on them."""
    return Q(attempts__lt=MOST_ATTEMPTS) | Q(lease_until__isnull=False)


def worth_claiming(due: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """From (pk, attempts) in the order of becoming due: the pks to work on together now, and those to park.

    A suspect comes alone when its turn has come, so neither it nor the others wait for ever.
    """
    deadly = [pk for pk, attempts in due if attempts >= MOST_ATTEMPTS]
    living = [(pk, attempts) for pk, attempts in due if attempts < MOST_ATTEMPTS]
    if living and living[0][1] >= ALONE_FROM:
        return [living[0][0]], deadly
    return [pk for pk, attempts in living if attempts < ALONE_FROM], deadly


def park(pks: Collection[int]) -> list[ManagedResource]:
    """Say why, take the dead worker's lease away; inside the caller's transaction, rows locked. Gives the rows."""
    if not pks:
        return []
    rows = ManagedResource.objects.filter(pk__in=pks)
    rows.update(stuck_reason=StuckReason.TERMINAL, detail=WHY, lease_owner=None, lease_until=None)
    return list(rows.select_related("tenant").order_by("pk"))
