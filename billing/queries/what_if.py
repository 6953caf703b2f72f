"""What a closed period would have cost under another card, tier or route: rated by the same engine, touching nothing.

The whole computation runs in a read-only transaction, so PostgreSQL itself refuses whatever would write.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from billing.assembly import assemble
from billing.content import LineRow
from billing.models import Adjustment, Invoice, RateCard, TierPrice, UsageClaim
from billing.queries.cards import card_terms
from billing.queries.issuers import the_issuer
from billing.queries.segments import NoRateCard, SegmentPlan, plan_segments
from billing.queries.terms import customer_terms
from billing.rating.lines import CardTerms, Segment, Usage
from billing.states import IN_FORCE, InvoiceKind
from core import clock
from core.errors import Conflict, Invalid
from core.periods import Period
from metering.queries import summarise
from tenants.queries import current_tier_version

BilledUsage = Mapping[tuple[int, datetime], list[Usage]]


class NotClosed(Conflict):
    """There is no final invoice for the period, so there is nothing to compare with."""

    code = "period_not_closed"
    title = "Period not closed"


class CurrencyDiffers(Invalid):
    """The card is in another currency than the invoice."""

    code = "currency_differs"
    title = "Other currency"


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What is different: the rate card, the tier (its card of today), or the serving line of all usage."""

    card_id: int | None = None
    tier: str | None = None
    serving_line: str | None = None


@dataclass(frozen=True, slots=True)
class Rerated:
    """An invoice with its notes as billed, and what the period would have come to; both without tax and prepaid."""

    invoice: Invoice
    billed: Decimal
    would_be: Decimal
    lines: list[LineRow]

    @property
    def difference(self) -> Decimal:
        """What the tenant would have paid more."""
        return self.would_be - self.billed


def what_if(invoice_id: int, otherwise: Otherwise) -> Rerated:
    """Re-rate the usage that a final invoice and its notes billed. Raises NotClosed, CurrencyDiffers and NoRateCard."""
    [rerated] = rerate(Invoice.objects.filter(pk=invoice_id), otherwise)
    return rerated


def rerate(invoices: QuerySet[Invoice], otherwise: Otherwise) -> list[Rerated]:
    """Re-rate final invoices, each with the notes over its late usage, in a fixed number of queries per period."""
    with _read_only():
        rows = list(invoices.select_related("tenant", "issuer").order_by("pk"))
        groups: dict[Period, list[Invoice]] = {}
        for invoice in rows:
            if invoice.kind != InvoiceKind.INVOICE or invoice.state not in IN_FORCE:
                raise NotClosed(f"{invoice} is no final invoice.", hint="Choose a period that was invoiced and closed.")
            groups.setdefault(Period(invoice.period_start, invoice.period_end), []).append(invoice)
        return [made for period, found in sorted(groups.items()) for made in _rerate(found, period, otherwise)]


def _rerate(invoices: Sequence[Invoice], period: Period, otherwise: Otherwise) -> Iterator[Rerated]:
    tenants = [invoice.tenant for invoice in invoices]
    plans = plan_segments(tenants, period)
    usage = _billed_usage(invoices)
    terms = customer_terms(the_issuer(), tenants, period)
    cards = _cards(otherwise, {invoice.currency for invoice in invoices})
    adjustments = _adjustments(invoices)
    billed = _billed(invoices)
    now = clock.now()
    for invoice in invoices:
        made = assemble(
            tenant=invoice.tenant,
            issuer=invoice.issuer,
            period=period,
            segments=[_segment(plan, usage, invoice, cards, otherwise) for plan in plans[invoice.tenant_id]],
            terms=terms[invoice.tenant_id],
            adjustments=adjustments.get(invoice.pk, ()),
            at=now,
        )
        yield Rerated(invoice, billed[invoice.pk], made.invoice.subtotal, made.lines)


def _segment(
    plan: SegmentPlan, usage: BilledUsage, invoice: Invoice, cards: Mapping[str, CardTerms], otherwise: Otherwise
) -> Segment:
    used = usage.get((invoice.pk, plan.span.start), [])
    if otherwise.serving_line:
        used = [replace(each, line=otherwise.serving_line) for each in used]
    return Segment(plan.span, plan.fee_span, plan.month, cards.get(invoice.currency, plan.card), tuple(used))


def _billed_usage(invoices: Sequence[Invoice]) -> BilledUsage:
    """What the invoices and their notes claimed, by invoice and start of the span."""
    claims = UsageClaim.objects.filter(
        Q(invoice__in=invoices) | Q(invoice__corrects__in=invoices), released_at=None
    ).values_list("seal_id", "seal__period_start", "invoice_id", "invoice__corrects_id")
    owner = {seal: (corrected or invoice, start) for seal, start, invoice, corrected in claims}
    totals: dict[tuple[tuple[int, datetime], str, str, str], int] = {}
    for row in summarise(list(owner)):
        key = (owner[row.seal_id], row.meter, row.line, row.adapter_version)
        totals[key] = totals.get(key, 0) + int(row.quantity)
    found: dict[tuple[int, datetime], list[Usage]] = {}
    for (span, meter, line, version), quantity in sorted(totals.items()):
        if quantity:
            found.setdefault(span, []).append(Usage(meter, quantity, line, version))
    return found


def _cards(otherwise: Otherwise, currencies: Collection[str]) -> dict[str, CardTerms]:
    """The card that prices everything instead, by currency; none when the cards stay."""
    if otherwise.card_id is not None:
        card = RateCard.objects.get(pk=otherwise.card_id)
        others = sorted(set(currencies) - {card.currency})
        if others:
            raise CurrencyDiffers(f"{card} does not price {', '.join(others)}.")
        return {card.currency: card_terms([card.pk])[card.pk]}
    if otherwise.tier is None:
        return {}
    version = current_tier_version(otherwise.tier)
    prices = TierPrice.objects.filter(tier_version=version, currency__in=currencies, effective__contains=clock.now())
    chosen = {price.currency: price.rate_card_id for price in prices}
    for currency in sorted(set(currencies) - set(chosen)):
        raise NoRateCard(f"The tier {otherwise.tier} has no price in {currency} today.")
    terms = card_terms(chosen.values())
    return {currency: terms[card_id] for currency, card_id in chosen.items()}


def _adjustments(invoices: Sequence[Invoice]) -> dict[int, list[Adjustment]]:
    found: dict[int, list[Adjustment]] = {}
    for row in Adjustment.objects.filter(invoice__in=invoices).order_by("pk"):
        found.setdefault(row.invoice_id, []).append(row)
    return found


def _billed(invoices: Sequence[Invoice]) -> dict[int, Decimal]:
    """The subtotals with the notes over late usage; credits that were given for other reasons are no price."""
    sums = {invoice.pk: invoice.subtotal for invoice in invoices}
    notes = Invoice.objects.filter(corrects__in=invoices, state__in=IN_FORCE, claims__isnull=False).distinct()
    for note in notes:
        assert note.corrects_id is not None  # the filter says so
        sums[note.corrects_id] += note.subtotal if note.kind == InvoiceKind.DEBIT_NOTE else -note.subtotal
    return sums


@contextmanager
def _read_only() -> Iterator[None]:
    """A transaction, or a part of one, in which nothing can be written; it leaves the rest of one as it was."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        yield
        transaction.set_rollback(True)
