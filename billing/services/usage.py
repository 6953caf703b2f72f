"""Sealed usage per segment: sealed and read in as few calls as there are different spans.

A period is sealed as often as it is asked for, and each seal holds what changed since the one before; what a segment
used is therefore the sum over its seals.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Exists, OuterRef

from billing.models import UsageClaim
from billing.queries.segments import SegmentPlan
from billing.rating.lines import Usage
from billing.states import InvoiceState
from core.actors import Actor
from core.periods import Period
from metering.models import Seal
from metering.queries import summarise
from metering.services.sealing import seal_usage

Sealed = Mapping[tuple[int, Period], Sequence[Seal]]


def seal_spans(plans: Mapping[int, Sequence[SegmentPlan]], *, actor: Actor) -> None:
    """Seal every span of the plans; each call has its own transaction.

    Raises UsageIncomplete when usage of a span is not fully known yet.
    """
    groups: dict[Period, list[int]] = defaultdict(list)
    for tenant_id, segments in plans.items():
        for plan in segments:
            groups[plan.span].append(tenant_id)
    for span, tenant_ids in sorted(groups.items()):
        seal_usage(tenant_ids=tenant_ids, period_start=span.start, period_end=span.end, actor=actor)


def billable_seals(plans: Mapping[int, Sequence[SegmentPlan]]) -> Sealed:
    """The seals of every span that no finalized invoice or note has claimed, in order of their revision."""
    wanted = {(tenant_id, plan.span) for tenant_id, segments in plans.items() for plan in segments}
    claimed = UsageClaim.objects.filter(seal=OuterRef("pk"), released_at=None).exclude(
        invoice__state=InvoiceState.DRAFT
    )
    found: dict[tuple[int, Period], list[Seal]] = {key: [] for key in wanted}
    rows = Seal.objects.filter(
        ~Exists(claimed), tenant__any_of=list(plans), period_start__in={span.start for _, span in wanted}
    )
    for seal in rows.only("tenant_id", "period_start", "period_end", "revision").order_by("revision"):
        key = (seal.tenant_id, Period(seal.period_start, seal.period_end))
        if key in found:
            found[key].append(seal)
    return found


def usage_of(groups: Mapping[tuple[int, Period], Iterable[Seal]]) -> dict[tuple[int, Period], tuple[Usage, ...]]:
    """What each group of seals adds up to, per meter, line and adapter version."""
    group_of = {seal.pk: key for key, seals in groups.items() for seal in seals}
    totals: dict[tuple[int, Period], Counter[tuple[str, str, str]]] = {key: Counter() for key in groups}
    for row in summarise(list(group_of)):
        totals[group_of[row.seal_id]][row.meter, row.line, row.adapter_version] += int(row.quantity)
    return {
        key: tuple(
            Usage(meter, quantity, line, version)
            for (meter, line, version), quantity in sorted(total.items())
            if quantity
        )
        for key, total in totals.items()
    }
