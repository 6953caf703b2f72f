"""The condition `access_lost`: an account whose role cannot be assumed, noticed by whoever tried, told once.

What runs there is left as it is. The condition ends by itself with the first answer from inside the account.
"""

from collections.abc import Collection, Iterable, Mapping

from django.db import transaction

from aws import errors
from core.actors import SYSTEM
from core.clock import now, real_now
from core.crashpoints import boundary
from events.record import record_event
from provisioning.models import AwsAccount, ManagedResource
from provisioning.reconciler.act import Result
from provisioning.reconciler.observe import Observation
from provisioning.states import StuckReason


def note_access(*, entered: Collection[str], lost: Mapping[str, errors.AccessLost]) -> None:
    """Keep which accounts answered and which could not be entered; events when that is news.

    An account that did both within one pass has lost its role meanwhile.
    """
    accounts = AwsAccount.objects.registered()
    newly_lost = accounts.filter(account_id__in=lost, access_lost_at=None)
    regained = accounts.filter(account_id__in=set(entered) - lost.keys(), access_lost_at__isnull=False)
    if not newly_lost.exists() and not regained.exists():
        return
    with boundary("commit access"), transaction.atomic(durable=True):
        for row in newly_lost.select_for_update(of=("self",), no_key=True).select_related("tenant"):
            error = lost[row.account_id]
            row.access_lost_at = now()
            row.access_detail = f"{error.message or error.code} (request {error.request_id or 'without an answer'})"
            _save_and_tell(row, "account.access_lost")
        for row in regained.select_for_update(of=("self",), no_key=True).select_related("tenant"):
            row.access_lost_at, row.access_detail = None, ""
            _save_and_tell(row, "account.access_regained")
            waiting = ManagedResource.objects.living().filter(
                account=row.account_id, stuck_reason=StuckReason.ACCESS_LOST
            )
            waiting.update(look_again_at=real_now())


def note_pass(
    rows: Iterable[ManagedResource], observations: Mapping[int, Observation], results: Mapping[int, Result]
) -> None:
    """What a pass has learned about the accounts of its rows."""
    entered, lost = set(), {}
    for row in rows:
        result = results.get(row.pk)
        met = (observations[row.pk].error, result.error if result else None)
        refused = next((error for error in met if isinstance(error, errors.AccessLost)), None)
        if refused is not None:
            lost[row.account] = refused
        elif met == (None, None):
            entered.add(row.account)
    note_access(entered=entered, lost=lost)


def _save_and_tell(row: AwsAccount, name: str) -> None:
    row.save(update_fields=["access_lost_at", "access_detail"])
    facts = {"account": row.account_id, "kind": row.kind, "condition": row.condition}
    record_event(name, tenant=row.tenant, subject=row, actor=SYSTEM, reason=row.access_detail, after=facts)
