"""What an invoice would say if its period ended with what is known now; the same engine, and nothing is saved."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.assembly import assemble
from billing.content import LineRow
from billing.models import Invoice
from billing.queries.issuers import the_issuer
from billing.queries.segments import plan_segments
from billing.queries.terms import customer_terms
from billing.queries.usage import known_usage
from billing.queries.wallet import list_grants
from billing.rating.lines import Segment
from billing.rating.wallet import Balance, plan_draws
from core import clock
from core.periods import Period, month_containing
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Preview:
    """An invoice that does not exist, with lines that do not either; `computed_at` says from which knowledge.

    Its `prepaid` is what would be drawn from the tenant's credit if it were closed now.
    """

    invoice: Invoice
    lines: list[LineRow]
    computed_at: datetime


def preview(tenant_id: int, period: Period | None = None) -> Preview:
    """The invoice of a period as far as usage is known, the tenant's current billing month by default.

    Fees and commitments are those of the whole period. Raises NoRateCard, PeriodSpansMonths and NoIssuer.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    issuer = the_issuer()
    wanted = period or month_containing(clock.now(), tenant.billing_timezone)
    segments = [
        Segment(plan.span, plan.fee_span, plan.month, plan.card, known_usage(tenant.pk, plan.span))
        for plan in plan_segments([tenant], wanted)[tenant.pk]
    ]
    now = clock.now()
    terms = customer_terms(issuer, [tenant], wanted)[tenant.pk]
    made = assemble(tenant=tenant, issuer=issuer, period=wanted, segments=segments, terms=terms, at=now)
    made.invoice.prepaid = _would_draw(made.invoice, now)
    return Preview(made.invoice, made.lines, now)


def _would_draw(invoice: Invoice, at: datetime) -> Decimal:
    """How much of the total the tenant's open prepaid credit in its currency would pay if it were closed now."""
    grants = list_grants(tenant_ids=[invoice.tenant_id], is_open=True).filter(currency=invoice.currency)
    balances = [Balance(grant.pk, grant.remaining, grant.expires_at) for grant in grants]
    return sum((draw.amount for draw in plan_draws(invoice.total, balances, at=at)), Decimal(0))
