"""Prices and who issues invoices (`pricing`), the invoices (`invoices`), what a tenant agreed on (`customers`)."""

from billing.models.customers import CreditEntry, CreditGrant, Discount, TaxProfile
from billing.models.invoices import Adjustment, Invoice, InvoiceDocument, InvoiceLine, InvoiceSequence, UsageClaim
from billing.models.pricing import Issuer, Rate, RateCard, TaxRule, TierPrice

__all__ = [
    "Adjustment",
    "CreditEntry",
    "CreditGrant",
    "Discount",
    "Invoice",
    "InvoiceDocument",
    "InvoiceLine",
    "InvoiceSequence",
    "Issuer",
    "Rate",
    "RateCard",
    "TaxProfile",
    "TaxRule",
    "TierPrice",
    "UsageClaim",
]
