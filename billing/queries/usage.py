"""Usage that is not sealed yet, for previews; and the sealed sums behind an invoice."""

from collections.abc import Sequence

from django.db.models import Sum

from billing.models import Invoice
from billing.rating.lines import Usage
from core.periods import Period
from metering.models import SealedDay
from metering.queries import usage_between


def known_usage(tenant_id: int, span: Period) -> tuple[Usage, ...]:
    """What is known now of a tenant's usage within a span, per meter, line and adapter version."""
    rows = usage_between(tenant_ids=[tenant_id], start=span.start, end=span.end)
    return tuple(Usage(row.meter, row.quantity, row.line, row.adapter_version) for row in rows)


def sealed_total(invoice: Invoice, meters: Sequence[str]) -> dict[str, int]:
    """The sealed quantity per meter behind a document."""
    rows = SealedDay.objects.filter(seal__claims__invoice=invoice, meter__in=meters)
    totals = rows.values_list("meter").annotate(Sum("quantity")).order_by()
    return {meter: int(quantity) for meter, quantity in totals}
