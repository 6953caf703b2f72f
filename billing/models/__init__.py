"""Prices and issuers (`pricing`), invoices, what is agreed with a tenant (`customers`), and exports."""

from billing.models.customers import CreditEntry, CreditGrant, Discount, TaxProfile
from billing.models.exports import Export
from billing.models.invoices import Adjustment, Invoice, InvoiceDocument, InvoiceLine, InvoiceSequence, UsageClaim
from billing.models.pricing import Issuer, Rate, RateCard, TaxRule, TierPrice

__all__ = [
    "Adjustment",
    "CreditEntry",
    "CreditGrant",
    "Discount",
    "Export",
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
