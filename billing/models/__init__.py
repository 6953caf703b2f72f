"""Rate cards and who issues invoices (`pricing`), and the invoices themselves (`invoices`)."""

from billing.models.invoices import Invoice, InvoiceDocument, InvoiceLine, InvoiceSequence, UsageClaim
from billing.models.pricing import Issuer, Rate, RateCard, TaxRule, TierPrice

__all__ = [
    "Invoice",
    "InvoiceDocument",
    "InvoiceLine",
    "InvoiceSequence",
    "Issuer",
    "Rate",
    "RateCard",
    "TaxRule",
    "TierPrice",
    "UsageClaim",
]
