"""Usage that is not sealed yet, for previews; and the sealed sums behind an invoice."""

from collections.abc import Sequence

from django.db.models import Sum

from billing.models import Invoice
from billing.rating.lines import Usage
from core.periods import Period
from metering.models import SealedBucket, UsageBucket


def known_usage(tenant_id: int, span: Period) -> tuple[Usage, ...]:
    """What is known now of a tenant's usage within a span, per meter, line and adapter version."""
    rows = (
        UsageBucket.objects.filter(tenant_id=tenant_id, bucket_start__gte=span.start, bucket_start__lt=span.end)
        .values_list("meter", "line", "adapter_version")
        .annotate(Sum("quantity"))
        .order_by("meter", "line", "adapter_version")
    )
    return tuple(Usage(meter, int(quantity), line, version) for meter, line, version, quantity in rows if quantity)


def sealed_total(invoice: Invoice, meters: Sequence[str]) -> dict[str, int]:
    """The sealed quantity per meter behind a document."""
    rows = SealedBucket.objects.filter(seal__claims__invoice=invoice, bucket__meter__in=meters)
    totals = rows.values_list("bucket__meter").annotate(Sum("quantity")).order_by()
    return {meter: int(quantity) for meter, quantity in totals}
