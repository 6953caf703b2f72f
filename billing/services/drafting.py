"""From sealed usage to drafts, for a set of tenants at once: a fixed number of statements, however many they are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db import connection, transaction
from django.db.models import QuerySet

from billing.assembly import assemble
from billing.models import Adjustment, Invoice, Issuer, UsageClaim
from billing.queries.segments import SegmentPlan
from billing.queries.terms import customer_terms
from billing.services.drafts import Draft, replace_drafts, save_drafts, take_over
from billing.services.records import record_invoice_events
from billing.services.usage import billable_seals, usage_of
from billing.states import InvoiceKind, InvoiceState
from core import clock
from core.actors import Actor
from core.errors import Conflict
from core.memory import without_cycle_search
from core.periods import Period
from tenants.models import Tenant

# What an invoice and its event say of a tenant; the rest of the row would only cost time.
PRINTED = (
    "public_id", "name", "external_id", "contact_email", "currency", "billing_timezone", "invoice_language",
)  # fmt: skip
# Thousands of invoices are rated between two statements; on a machine that is full that took half a minute.
PATIENCE = "SET LOCAL idle_in_transaction_session_timeout = '120s'"


class PeriodOverlaps(Conflict):
    """Part of the period is on another invoice that stands."""

    code = "period_overlaps"
    title = "Period invoiced already"


def write_drafts(*, plans: Mapping[int, Sequence[SegmentPlan]], issuer: Issuer, period: Period, actor: Actor) -> None:
    """Write, or refresh, the draft of every tenant in `plans` from what was sealed for it; one transaction.

    Raises PeriodOverlaps, and writes nothing, when part of the period is on another invoice that stands.
    """
    with transaction.atomic(durable=True), without_cycle_search():
        with connection.cursor() as cursor:
            cursor.execute(PATIENCE)
        locked = list(printed_tenants(Tenant.objects.filter(pk__any_of=list(plans))).select_for_update(no_key=True))
        existing = standing(locked, period, lock=True)
        by_hand = _once_voided(locked, period)
        terms = customer_terms(issuer, locked, period)
        adjustments, claimed = _adjustments(existing), _claimed(existing)
        seals = billable_seals(plans)
        usage = usage_of(seals)
        now = clock.now()

        def rate(tenant: Tenant) -> Draft:
            spans, before = plans[tenant.pk], existing.get(tenant.pk)
            made = assemble(
                tenant=tenant,
                issuer=issuer,
                period=period,
                segments=[plan.used(usage[tenant.pk, plan.span]) for plan in spans],
                terms=terms[tenant.pk],
                adjustments=adjustments[before.pk] if before else (),
                at=now,
            )
            if tenant.pk in by_hand:
                made.invoice.grace_until = None
            return Draft(made.invoice, made.lines, [seal.pk for plan in spans for seal in seals[tenant.pk, plan.span]])

        again = ((existing[tenant.pk], rate(tenant)) for tenant in locked if tenant.pk in existing)
        replace_drafts([draft for before, draft in again if take_over(draft, before, claimed[before.pk])])
        seen = Invoice.objects.filter(pk__any_of=_keys(existing.values()), state=InvoiceState.DRAFT)
        seen.update(refreshed_at=now)  # also of those whose words stayed the same
        unbilled = [tenant for tenant in locked if tenant.pk not in existing]
        new = save_drafts(map(rate, unbilled), at_most=len(unbilled))
        record_invoice_events("invoice.drafted", new, actor=actor)


def printed_tenants(tenants: QuerySet[Tenant]) -> QuerySet[Tenant]:
    """These in order of their keys, with what documents and their events say of them."""
    return tenants.only(*PRINTED).order_by("pk")


def standing(tenants: Sequence[Tenant], period: Period, *, lock: bool = False) -> dict[int, Invoice]:
    """The standing invoice of each tenant for this period. Raises PeriodOverlaps for one of another period.

    Asked before sealing, so that nothing is sealed for a refusal, and again under the locks of the tenants.
    """
    rows = Invoice.objects.standing().filter(tenant__any_of=_keys(tenants), kind=InvoiceKind.INVOICE)
    if lock:
        rows = rows.select_for_update(no_key=True)
    found: dict[int, Invoice] = {}
    for invoice in rows.filter(period_start__lt=period.end, period_end__gt=period.start):
        if (invoice.period_start, invoice.period_end) != (period.start, period.end):
            raise PeriodOverlaps(
                f"{invoice} covers {invoice.period_start.isoformat()} to {invoice.period_end.isoformat()}.",
                hint="Invoice the rest of the period, or void that invoice first.",
            )
        found[invoice.tenant_id] = invoice
    return found


def _once_voided(tenants: Sequence[Tenant], period: Period) -> set[int]:
    """Tenants with a void invoice for this period: a person finalizes what replaces it, not the clock."""
    void = Invoice.objects.filter(tenant__any_of=_keys(tenants), kind=InvoiceKind.INVOICE, state=InvoiceState.VOID)
    return set(
        void.filter(period_start=period.start, period_end=period.end).values_list("tenant_id", flat=True).distinct()
    )


def _adjustments(existing: Mapping[int, Invoice]) -> dict[int, list[Adjustment]]:
    found: dict[int, list[Adjustment]] = defaultdict(list)
    if existing:
        for row in Adjustment.objects.filter(invoice__any_of=_keys(existing.values())).order_by("pk"):
            found[row.invoice_id].append(row)
    return found


def _claimed(existing: Mapping[int, Invoice]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    if existing:
        claims = UsageClaim.objects.filter(invoice__any_of=_keys(existing.values()))
        for invoice_id, seal_id in claims.values_list("invoice_id", "seal_id"):
            found[invoice_id].add(seal_id)
    return found


def _keys(rows: Iterable[Tenant | Invoice]) -> list[int]:
    return [row.pk for row in rows]
