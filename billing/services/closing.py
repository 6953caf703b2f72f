"""Closing periods on time: which months are due, drafting them when they are over, finalizing when grace has passed.

    period ends ──► usage of it was read ──► draft, 72 hours of grace ──► refreshed once more ──► finalized

The sweep is the queue: a month is due as long as its tenant has no invoice for it, so a crash, a missed run or usage
that is not known yet costs one sweep. What was once invoiced and then voided is never drafted again by itself: a
person voided it, and a person drafts and finalizes what replaces it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from django.db.models import Max

from billing.models import Invoice
from billing.services.invoicing import draft_invoices, finalize_invoices, refresh_drafts
from billing.states import InvoiceKind, InvoiceState
from core import clock
from core.actors import SYSTEM, Actor
from core.errors import DomainError
from core.periods import Period, month_containing
from tenants.models import Tenant
from tenants.states import TenantState

# Many enough that the statements per batch weigh little, few enough that a killed run repeats seconds of work.
BATCH = 2000
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A tenant's period that could not be closed yet, and why."""

    tenant: str
    period: Period
    code: str
    detail: str


@dataclass(slots=True)
class CloseReport:
    """What one sweep did."""

    drafted: list[Invoice] = field(default_factory=list)
    finalized: list[Invoice] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


def close_due_periods(*, as_of: datetime | None = None, actor: Actor = SYSTEM) -> CloseReport:
    """Draft every billing month that is over and has no invoice, and finalize the drafts whose grace has passed.

    A tenant whose usage is not fully known, or whose tier has no price, waits and is reported; it holds up nobody
    else. `as_of` is the instant to judge by, the business clock's now by default.
    """
    at = as_of or clock.now()
    report = CloseReport()
    for period, tenants in sorted(_due(at).items()):
        for batch in _batches(tenants):
            report.drafted += _draft(batch, period, actor, report)
    due = Invoice.objects.filter(state=InvoiceState.DRAFT, kind=InvoiceKind.INVOICE, grace_until__lte=at)
    for drafts in _batches(list(due.select_related("tenant").order_by("pk"))):
        report.finalized += _finalize(drafts, actor, report)
    return report


def unbilled_from(tenants: Collection[Tenant]) -> dict[int, datetime]:
    """From when on tenants were never invoiced: the end of their last invoice, or the month they became active.

    A void invoice counts as well: what replaces it is a person's decision. Who was never active is left out.
    """
    invoices = Invoice.objects.filter(tenant__in=tenants, kind=InvoiceKind.INVOICE)
    covered = dict(invoices.values_list("tenant_id").annotate(Max("period_end")).order_by())
    return {
        tenant.pk: covered.get(tenant.pk) or month_containing(tenant.activated_at, tenant.billing_timezone).start
        for tenant in tenants
        if tenant.activated_at is not None
    }


def months_between(start: datetime, until: datetime, timezone: str) -> Iterator[Period]:
    """The billing months that are over at `until`, the first of them from `start` on."""
    month = month_containing(start, timezone)
    while month.end <= until:
        yield Period(start, month.end)
        start = month.end
        month = month_containing(start, timezone)


def _due(at: datetime) -> dict[Period, list[Tenant]]:
    """The tenants whose month is over and not invoiced; who has left got its last invoice on the way out."""
    tenants = list(Tenant.objects.exclude(state=TenantState.OFFBOARDED).filter(activated_at__lt=at).order_by("pk"))
    starts = unbilled_from(tenants)
    due: dict[Period, list[Tenant]] = defaultdict(list)
    for tenant in tenants:
        for period in months_between(starts[tenant.pk], at, tenant.billing_timezone):
            due[period].append(tenant)
    return due


def _draft(tenants: list[Tenant], period: Period, actor: Actor, report: CloseReport) -> list[Invoice]:
    """Draft a batch; when it is refused, each tenant by itself, so that one holds up nobody else."""
    try:
        return draft_invoices(tenant_ids=[tenant.pk for tenant in tenants], period=period, actor=actor)
    except DomainError as refusal:
        if len(tenants) == 1:
            report.waiting.append(Waiting(tenants[0].public_id, period, refusal.code, refusal.detail))
            return []
        return [invoice for tenant in tenants for invoice in _draft([tenant], period, actor, report)]


def _finalize(drafts: list[Invoice], actor: Actor, report: CloseReport) -> list[Invoice]:
    ids = [draft.pk for draft in drafts]
    try:
        refresh_drafts(invoice_ids=ids, actor=actor)
        return finalize_invoices(invoice_ids=ids, actor=actor)
    except DomainError as refusal:
        if len(drafts) == 1:
            period = Period(drafts[0].period_start, drafts[0].period_end)
            report.waiting.append(Waiting(drafts[0].tenant.public_id, period, refusal.code, refusal.detail))
            return []
        return [invoice for draft in drafts for invoice in _finalize([draft], actor, report)]


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
