"""Exports: asked for in a moment, made in the background, kept for a week.

    claim (transaction) → write pages to a file on disk (none) → put it into the bucket (none) → done (transaction)

A worker may die on any line: the lease runs out and another makes the file again, under another key. The figures that
are kept (rows, sums, sha256) are those of the file that was put.
"""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from tempfile import TemporaryFile
from typing import IO, BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from aws import connect
from aws.errors import AwsError
from billing.exports.datasets import DATASETS, Dataset, ExportFails, Rows, Scope
from billing.exports.writers import open_writer
from billing.models import Export
from billing.states import EXPORT_MOVES, IN_FORCE, ExportState, InvoiceState
from core import clock
from core.actors import SYSTEM, Actor
from core.crashpoints import boundary
from core.errors import Conflict, DomainError, FieldError, Invalid
from core.states import StaleState, move
from events.record import record_event
from tenants.models import Tenant

KEPT = timedelta(days=7)
MOST_ATTEMPTS = 3
LONGEST = timedelta(days=366)
CHUNK = 1 << 20
# What a link to the bucket manages in the worst case, to renew the lease for before a file is put.
SLOWEST_BYTES_PER_SECOND = 1_000_000
STATES = {
    "invoices": (*IN_FORCE, InvoiceState.VOID, InvoiceState.DRAFT),
    "invoice-lines": (*IN_FORCE, InvoiceState.VOID),
    "focus-1.2": IN_FORCE,
}
FORMATS = {"focus-1.2": ("csv", "jsonl")}


class InvalidExport(Invalid):
    """Such a file cannot be made."""

    code = "invalid_export"
    title = "Invalid export"


class ExportNotReady(Conflict):
    """There is no file yet, or none any more."""

    code = "export_not_ready"
    title = "No file"


class _Overtaken(Exception):
    """Another worker took this export over."""


def request_export(
    *,
    dataset: str,
    format: str,
    tenant_id: int | None,
    start: datetime,
    end: datetime,
    states: Collection[str] = (),
    actor: Actor,
) -> Export:
    """Ask for a file over [start, end): documents by when their period begins, events by when they happened.

    `states` of documents are by default those that count: finalized and paid. Raises InvalidExport.
    """
    _refuse_impossible(dataset, format, start, end, states)
    with transaction.atomic(durable=True):
        export = Export.objects.create(
            tenant_id=tenant_id,
            dataset=dataset,
            format=format,
            period_start=start,
            period_end=end,
            invoice_states=sorted(states) or [str(state) for state in IN_FORCE],
            actor_kind=actor.kind,
            actor_ref=actor.ref,
            actor_name=actor.name,
        )
        tenant = Tenant.objects.get(pk=tenant_id) if tenant_id else None
        data = {"id": export.public_id, "dataset": dataset, "format": format}
        record_event("export.requested", tenant=tenant, subject=export, actor=actor, data=data)
    return export


def make_due_exports() -> int:
    """Make every export that waits or whose worker died; answers how many files were made."""
    made = 0
    while (export := _claim()) is not None:
        made += _make(export)
    return made


def expire_exports() -> int:
    """Erase the files whose time is over; their figures stay."""
    due = list(Export.objects.filter(state=ExportState.DONE, expires_at__lte=clock.now()).order_by("pk")[:100])
    for export in due:
        store = connect.artifacts()
        for found in list(store.list(_prefix(export))):
            store.delete(found.key)
        # A sweep that ran at the same time may have been first: what is erased twice is erased.
        with suppress(StaleState), transaction.atomic(durable=True):
            move(export, to=ExportState.EXPIRED, table=EXPORT_MOVES)
    return len(due)


def refuse_unready(export: Export) -> None:
    """Raises ExportNotReady unless there is a file."""
    if export.state != ExportState.DONE:
        is_on_its_way = export.state in (ExportState.QUEUED, ExportState.RUNNING)
        raise ExportNotReady(
            f"{export.public_id} is {export.state}.",
            hint="Wait until it is done." if is_on_its_way else "Ask for the export again.",
        )


def pieces(export: Export) -> Iterator[bytes]:
    """The file, piece by piece; the bucket is asked when the first is wanted. Raises ExportNotReady."""
    refuse_unready(export)
    with connect.artifacts().open(export.artifact_key) as file:
        while piece := file.read(CHUNK):
            yield piece


def only_tenant(tenant_ids: Collection[int] | None) -> int | None:
    """Whose data an export holds when nobody says: all for who sees all, its own for who is bound to one tenant.

    Raises InvalidExport for a caller with several.
    """
    if tenant_ids is None:
        return None
    if len(tenant_ids) != 1:
        raise InvalidExport("Say of which tenant.", hint="Your access is limited to some tenants.")
    return next(iter(tenant_ids))


def _claim() -> Export | None:
    """Take the oldest export that nobody works on; those that failed too often are given up on the way."""
    while True:
        with transaction.atomic(durable=True):
            export = _waiting().order_by("pk").first()
            if export is None:
                return None
            if export.attempts < MOST_ATTEMPTS:
                return _taken(export)
            problem = export.problem or "The worker died each time."
            _fail(export, f"Tried {MOST_ATTEMPTS} times without an end. {problem}")


def _waiting() -> QuerySet[Export]:
    now = clock.real_now()
    waiting = Q(state=ExportState.QUEUED) | Q(state=ExportState.RUNNING, lease_until__lt=now)
    rows = Export.objects.select_for_update(no_key=True, of=("self",), skip_locked=True).select_related("tenant")
    return rows.filter(waiting)


def _taken(export: Export) -> Export:
    Export.objects.filter(pk=export.pk).update(
        state=ExportState.RUNNING,
        attempts=F("attempts") + 1,
        fence=F("fence") + 1,
        lease_until=clock.real_now() + timedelta(seconds=settings.LEASE_SECONDS),
        started_at=export.started_at or clock.now(),
        progress_done=0,
        row_count=0,
    )
    export.refresh_from_db()
    return export


def _make(export: Export) -> int:
    try:
        with TemporaryFile() as file:
            written = _write(export, file)
            _put(export, file, written)
    except _Overtaken:
        return 0
    except AwsError as error:
        # Nothing is lost: the next sweep after the lease tries again.
        told = f"{error} (request {error.request_id or 'unknown'})"
        Export.objects.filter(pk=export.pk, fence=export.fence).update(problem=told[:1000])
        return 0
    except (DomainError, ValueError) as error:
        with transaction.atomic(durable=True):
            ours = Export.objects.select_for_update(no_key=True).filter(pk=export.pk, fence=export.fence).first()
            if ours is not None and ours.state == ExportState.RUNNING:
                _fail(ours, str(error))
        return 0
    return 1


def _write(export: Export, file: IO[bytes]) -> Rows:
    """Write the rows, page by page; what is kept of them are their count and sums."""
    dataset = DATASETS[export.dataset]()
    tenant_ids = None if export.tenant_id is None else [export.tenant_id]
    scope = Scope(tenant_ids, export.period_start, export.period_end, tuple(export.invoice_states))
    writer = open_writer(export.format, file, dataset.columns, numeric=dataset.numeric)
    total = Rows()
    _renew(export, progress_total=dataset.count(scope))
    for page in dataset.pages(scope):
        for row in page.rows:
            writer.write(row)
        _add_up(total, page)
        export.row_count += len(page.rows)
        _renew(export, progress_done=total.subjects, row_count=export.row_count)
    writer.close()
    _check(dataset, total)
    return total


def _put(export: Export, file: IO[bytes], written: Rows) -> None:
    size, sha256 = _measure(file)
    key = f"{_prefix(export)}{export.fence}.{export.format}"
    _renew(export, seconds=settings.LEASE_SECONDS + size // SLOWEST_BYTES_PER_SECOND)
    store = connect.artifacts()
    for left in [found.key for found in store.list(_prefix(export)) if _fence_of(found.key) < export.fence]:
        store.delete(left)  # of a worker that died before it could say that the file is there
    with boundary("export put"):
        store.put(key, _from_start(file), sha256=sha256, if_absent=False)
    with boundary("export commit"), transaction.atomic(durable=True):
        ours = Export.objects.select_for_update(no_key=True, of=("self",)).select_related("tenant")
        row = ours.filter(pk=export.pk, fence=export.fence, state=ExportState.RUNNING).first()
        if row is None:
            raise _Overtaken
        now = clock.now()
        totals = {group: {k: f"{v:f}" for k, v in sums.items()} for group, sums in sorted(written.sums.items())}
        move(
            row, to=ExportState.DONE, table=EXPORT_MOVES, artifact_key=key, sha256=sha256, size_bytes=size,
            row_count=export.row_count, control_totals=totals, problem="", lease_until=None, finished_at=now,
            expires_at=now + KEPT,
        )  # fmt: skip
        data = {"id": row.public_id, "dataset": row.dataset, "rows": row.row_count, "sha256": sha256}
        record_event("export.ready", tenant=row.tenant, subject=row, actor=SYSTEM, data=data)


def _fail(export: Export, problem: str) -> None:
    """Inside the caller's transaction, which holds the row."""
    move(
        export, to=ExportState.FAILED, table=EXPORT_MOVES, problem=problem[:1000], lease_until=None,
        finished_at=clock.now(),
    )  # fmt: skip
    data = {"id": export.public_id, "dataset": export.dataset, "problem": problem[:200]}
    record_event("export.failed", tenant=export.tenant, subject=export, actor=SYSTEM, reason=problem[:500], data=data)


def _renew(export: Export, *, seconds: int | None = None, **progress: int) -> None:
    """Hold the export for another lease and say how far it is. Raises _Overtaken when it is not ours any more."""
    until = clock.real_now() + timedelta(seconds=seconds or settings.LEASE_SECONDS)
    ours = Export.objects.filter(pk=export.pk, fence=export.fence, state=ExportState.RUNNING)
    if not ours.update(lease_until=until, **progress):
        raise _Overtaken


def _add_up(total: Rows, page: Rows) -> None:
    total.subjects += page.subjects
    for group, sums in page.sums.items():
        total.add(group, **sums)
    for currency, due in page.due.items():
        total.due[currency] = total.due.get(currency, Decimal(0)) + due


def _check(dataset: Dataset, total: Rows) -> None:
    """The rows come to what their documents say, per currency. Raises ExportFails."""
    dataset.finish()
    for currency, due in total.due.items():
        written = total.sums.get(currency, {}).get("total", Decimal(0))
        if written != due:
            raise ExportFails(f"The rows come to {written} {currency}, their documents to {due}.")


def _measure(file: IO[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    source = _from_start(file)
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _from_start(file: IO[bytes]) -> BinaryIO:
    file.seek(0)
    return file  # type: ignore[return-value]  # a temporary file is a binary stream


def _prefix(export: Export) -> str:
    return f"exports/{export.public_id}/"


def _fence_of(key: str) -> int:
    return int(key.rpartition("/")[2].partition(".")[0])


def _refuse_impossible(dataset: str, format: str, start: datetime, end: datetime, states: Collection[str]) -> None:
    errors = []
    if dataset not in DATASETS:
        errors.append(FieldError("/dataset", "unknown", f"one of {', '.join(DATASETS)}"))
    elif format not in FORMATS.get(dataset, tuple(Export.Format.values)):
        wanted = ", ".join(FORMATS.get(dataset, tuple(Export.Format.values)))
        errors.append(FieldError("/format", "unknown", f"{dataset} comes as {wanted}"))
    if end <= start or end - start > LONGEST:
        errors.append(FieldError("/end", "invalid", f"after the start, and at most {LONGEST.days} days later"))
    if unknown := sorted(set(states) - set(STATES.get(dataset, ()))):
        allowed = ", ".join(STATES.get(dataset, ())) or "nothing: it has no documents"
        errors.append(FieldError("/states", "unknown", f"not {', '.join(unknown)}; {dataset} takes {allowed}"))
    if errors:
        raise InvalidExport(f"{errors[0].pointer}: {errors[0].detail}.", errors=errors)
