"""What one answer costs its tenant: what the month's bill grows by, unrounded, by the engine that invoices use."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from billing.queries.segments import NoRateCard, SegmentPlan, plan_segments
from billing.queries.usage import known_usage
from billing.rating.lines import Usage, rate_segment, uncharged
from billing.rating.parameters import METERED
from billing.rating.proration import DIGITS
from core import clock
from core.periods import month_containing
from tenants.models import Tenant

TOKENS = ("input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class AnswerCost:
    """The amount before rounding, in the tenant's currency, and the rate card that says so."""

    amount: Decimal
    currency: str
    card: str


def answer_cost(
    tenant_id: int,
    *,
    line: str,
    adapter_version: str,
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
    cache_write_input_tokens: int = 0,
) -> AnswerCost | None:
    """What an answer on a line adds to what is known of the month: inside an allowance nothing, in a band its price.

    None when no rate of the tenant's prices tokens of that line. Fees and commitments do not depend on answers.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    now = clock.now()
    try:
        plans = plan_segments([tenant], month_containing(now, tenant.billing_timezone))[tenant.pk]
    except NoRateCard:
        return None
    plan = next((each for each in plans if each.span.start <= now < each.span.end), None)
    if plan is None:
        return None
    used = (
        Usage("input_tokens", input_tokens, line, adapter_version),
        Usage("output_tokens", output_tokens, line, adapter_version),
        Usage("cached_input_tokens", cached_input_tokens, line, adapter_version),
        Usage("cache_write_input_tokens", cache_write_input_tokens, line, adapter_version),
        Usage("requests", 1, line, adapter_version),
    )
    if set(TOKENS) <= set(uncharged(plan.used([Usage(meter, 1, line, adapter_version) for meter in TOKENS]))):
        return None
    known = known_usage(tenant.pk, plan.span)
    with localcontext(prec=DIGITS):
        amount = _metered(plan, [*known, *used]) - _metered(plan, known)
    return AnswerCost(amount, tenant.currency, f"{plan.card.name} {plan.card.number}")


def _metered(plan: SegmentPlan, usage: Sequence[Usage]) -> Decimal:
    lines = rate_segment(plan.used(usage))
    return sum((line.exact for line in lines if isinstance(line.rate.parameters, METERED)), Decimal(0))
