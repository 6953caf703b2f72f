"""The last invoice of a tenant that leaves."""

from datetime import datetime, timedelta

from billing.models import Invoice
from billing.services.closing import months_between, unbilled_from
from billing.services.invoicing import draft_invoices, finalize_invoices, refresh_drafts
from billing.states import InvoiceKind, InvoiceState
from core.actors import SYSTEM, Actor
from core.errors import DomainError
from core.periods import Period, bucket_seconds, floor_to_bucket
from tenants.models import OffboardingStep, Tenant
from tenants.services.offboarding import complete_offboarding_step
from tenants.states import TenantState


def issue_final_invoice(*, tenant_id: int, actor: Actor = SYSTEM) -> list[Invoice] | None:
    """Invoice everything that is left of a departing tenant, finalize it, and complete its step `final_invoice`.

    Answers None while it has to wait for its resources to be gone, and quietly the empty list when nothing was left
    or the step is done. Raises UsageIncomplete until metering has read the hours up to the last resource's end.
    What becomes known even later is corrected by a note.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    steps = {step.key: step for step in OffboardingStep.objects.filter(tenant=tenant)}
    final, resources = steps.get(OffboardingStep.Key.FINAL_INVOICE), steps.get(OffboardingStep.Key.RESOURCES)
    if tenant.state != TenantState.OFFBOARDING or final is None or final.done_at is not None:
        return []
    if resources is None or resources.done_at is None:
        return None
    bucket = bucket_seconds(tenant.billing_timezone, year=resources.done_at.year)
    end = floor_to_bucket(resources.done_at, bucket) + timedelta(seconds=bucket)
    issued = _invoice_the_rest(tenant, end, actor) if tenant.activated_at is not None else []
    # Read back, because an attempt that died may have issued them, too.
    numbers = Invoice.objects.filter(
        tenant=tenant, kind=InvoiceKind.INVOICE, finalized_at__gte=resources.done_at
    ).order_by("pk")
    detail = {"invoices": list(numbers.values_list("number", flat=True))}
    complete_offboarding_step(tenant_id=tenant.pk, key="final_invoice", detail=detail, actor=actor)
    return issued


def issue_final_invoices(*, actor: Actor = SYSTEM) -> dict[str, str]:
    """Try every departing tenant; answers, by public id, why the ones that still wait do."""
    waiting: dict[str, str] = {}
    for tenant in Tenant.objects.filter(state=TenantState.OFFBOARDING).order_by("pk"):
        try:
            if issue_final_invoice(tenant_id=tenant.pk, actor=actor) is None:
                waiting[tenant.public_id] = "Its resources are not gone yet."
        except DomainError as refusal:
            waiting[tenant.public_id] = refusal.detail
    return waiting


def _invoice_the_rest(tenant: Tenant, end: datetime, actor: Actor) -> list[Invoice]:
    """Draft the months that are over, then the part of the last one, and finalize all drafts of the tenant."""
    drafts = Invoice.objects.filter(tenant=tenant, state=InvoiceState.DRAFT, kind=InvoiceKind.INVOICE)
    refresh_drafts(invoice_ids=list(drafts.values_list("pk", flat=True)), actor=actor)
    start = unbilled_from([tenant])[tenant.pk]
    for period in months_between(start, end, tenant.billing_timezone):
        draft_invoices(tenant_ids=[tenant.pk], period=period, actor=actor)
        start = period.end
    if start < end:
        draft_invoices(tenant_ids=[tenant.pk], period=Period(start, end), actor=actor)
    return finalize_invoices(invoice_ids=list(drafts.values_list("pk", flat=True)), actor=actor)
