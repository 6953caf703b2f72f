"""Prepaid credit and invoices: drawn when one is finalized, given back when it is voided. In the caller's transaction.

The rows of the grants are locked in the order of their keys, so finalizers of one tenant wait for each other and never
in a circle; the ledger's trigger and its CHECK refuse what would go below zero all the same.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import Max, Q

from billing.models import CreditEntry, CreditGrant, Invoice, InvoiceLine
from billing.rating.wallet import Balance, Draw, plan_draws
from billing.states import CreditEntryKind, InvoiceKind, LineKind
from core.actors import Actor

NAMES = ("Prepaid credit", "前払いクレジット")


def draw_credit(invoices: Sequence[Invoice], *, at: datetime, actor: Actor) -> dict[int, list[InvoiceLine]]:
    """Pay locked drafts from their tenants' credit as far as it goes: sets `prepaid`, writes a line per grant used.

    Answers those lines, by pk of the invoice.
    """
    payable = [invoice for invoice in invoices if invoice.kind != InvoiceKind.CREDIT_NOTE and invoice.total > 0]
    grants = _lock_open({invoice.tenant_id for invoice in payable}, at)
    drawn: dict[int, list[InvoiceLine]] = defaultdict(list)
    if not grants:
        return drawn
    last = InvoiceLine.objects.filter(invoice__in=payable, invoice__tenant__credit_grants__in=list(grants))
    positions = dict(last.values_list("invoice_id").annotate(Max("position")).order_by())
    balances: dict[tuple[int, str], list[CreditGrant]] = defaultdict(list)
    for grant in grants.values():
        balances[grant.tenant_id, grant.currency].append(grant)
    entries: list[CreditEntry] = []
    for invoice in payable:
        own = balances[invoice.tenant_id, invoice.currency]
        draws = plan_draws(invoice.total, [Balance(g.pk, g.remaining, g.expires_at) for g in own], at=at)
        for draw in draws:
            grant = grants[draw.grant_id]
            grant.remaining -= (
                draw.amount
            )  # in memory, for the tenant's next invoice; the ledger's trigger does the row
            row = _line(invoice, positions[invoice.pk] + 1 + len(drawn[invoice.pk]), draw, grant)
            drawn[invoice.pk].append(row)
            entries.append(_entry(grant, CreditEntryKind.DRAW, -draw.amount, actor, invoice=invoice))
        invoice.prepaid = sum((draw.amount for draw in draws), Decimal(0))
    InvoiceLine.objects.bulk_create(row for rows in drawn.values() for row in rows)
    CreditEntry.objects.bulk_create(entries)
    return drawn


def give_back(invoice: Invoice, *, at: datetime, actor: Actor) -> Decimal:
    """Return what a void invoice had drawn; answers how much.

    It goes back to its grant; when that has expired meanwhile, to a new one that lives on for as long as the old one
    still had when it was drawn from.
    """
    draws = CreditEntry.objects.filter(invoice=invoice, kind=CreditEntryKind.DRAW).select_related("grant")
    grants = CreditGrant.objects.select_for_update(no_key=True).filter(entries__in=draws).order_by("pk")
    known = {grant.pk: grant for grant in grants}
    returned = Decimal(0)
    for draw in draws.order_by("pk"):
        grant, amount = known[draw.grant_id], -draw.amount
        returned += amount
        if grant.expires_at is None or grant.expires_at > at:
            CreditEntry.objects.bulk_create([_entry(grant, CreditEntryKind.RETURN, amount, actor, invoice=invoice)])
            continue
        successor = CreditGrant.objects.create(
            tenant_id=grant.tenant_id,
            currency=grant.currency,
            amount=amount,
            expires_at=at + (grant.expires_at - draw.created_at),
            reference=f"{grant.public_id} returned by {invoice}",
            reason=f"{invoice} was voided after this credit had expired",
        )
        CreditEntry.objects.bulk_create([_entry(successor, CreditEntryKind.GRANT, amount, actor)])
    return returned


def _lock_open(tenant_ids: set[int], at: datetime) -> dict[int, CreditGrant]:
    open_now = Q(expires_at=None) | Q(expires_at__gt=at)
    rows = CreditGrant.objects.select_for_update(no_key=True).filter(open_now, tenant__any_of=tenant_ids)
    return {grant.pk: grant for grant in rows.filter(remaining__gt=0).order_by("pk")}


def _line(invoice: Invoice, position: int, draw: Draw, grant: CreditGrant) -> InvoiceLine:
    name, name_ja = NAMES
    return InvoiceLine(
        invoice=invoice,
        position=position,
        kind=LineKind.CREDIT,
        description=name,
        description_ja=name_ja,
        span_start=invoice.period_start,
        span_end=invoice.period_end,
        quantity=Decimal(1),
        unit="unit",
        per=1,
        amount=-draw.amount,
        tax_rate=Decimal(0),
        explanation={
            "credit": {
                "grant": grant.public_id,
                "reference": grant.reference,
                "expires_at": grant.expires_at.isoformat() if grant.expires_at else None,
            }
        },
    )


def _entry(
    grant: CreditGrant, kind: CreditEntryKind, amount: Decimal, actor: Actor, *, invoice: Invoice | None = None
) -> CreditEntry:
    return CreditEntry(
        grant=grant, tenant_id=grant.tenant_id, kind=kind, amount=amount, invoice=invoice, actor_name=actor.name
    )
