"""Reading billing. `tenant_ids` has no default anywhere: None means that the caller may see all tenants."""

from billing.queries.cards import get_rate_card, list_rate_cards
from billing.queries.comparing import Comparison, compare_with_now, compare_with_previous, previous_invoice
from billing.queries.explain import LineExplanation, MeterCheck, Reconciliation, explain_line, reconcile
from billing.queries.exports import get_export, list_exports
from billing.queries.invoices import (
    available_actions,
    content_is_unchanged,
    get_invoice,
    get_line,
    list_invoices,
    notes_on,
    period_to_draft,
    totals_of,
)
from billing.queries.previews import Preview, preview

__all__ = [
    "Comparison",
    "LineExplanation",
    "MeterCheck",
    "Preview",
    "Reconciliation",
    "available_actions",
    "compare_with_now",
    "compare_with_previous",
    "content_is_unchanged",
    "explain_line",
    "get_export",
    "get_invoice",
    "get_line",
    "get_rate_card",
    "list_exports",
    "list_invoices",
    "list_rate_cards",
    "notes_on",
    "period_to_draft",
    "preview",
    "previous_invoice",
    "reconcile",
    "totals_of",
]
