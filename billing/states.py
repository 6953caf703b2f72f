"""Lifecycles of billing.

    rate card:   draft --> published                     (never changes again)

    invoice:     draft --> finalized --> paid
                               |
                               +-------> void            (keeps its number)

    export:      queued --> running --> done --> expired     (its file is gone, its figures stay)
                    |          |
                    +----------+-------> failed

A draft may still be refreshed or thrown away. From finalized on only the stamps of being paid or void are added, by
trigger; a correction is a credit or debit note that points at what it corrects. What a customer has paid is never
voided: it is credited.
"""

from django.db import models

from core.states import Moves


class RateCardState(models.TextChoices):
    """Whether a card may still be edited."""

    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"


CARD_MOVES: Moves = {
    RateCardState.DRAFT: frozenset({RateCardState.PUBLISHED}),
    RateCardState.PUBLISHED: frozenset(),
}


class InvoiceKind(models.TextChoices):
    """What the document asks for: money, less money, or more money for the same period."""

    INVOICE = "invoice", "Invoice"
    CREDIT_NOTE = "credit_note", "Credit note"
    DEBIT_NOTE = "debit_note", "Debit note"


class LineKind(models.TextChoices):
    """What an amount on an invoice is. All but prepaid credit make the subtotal; that is drawn after the tax.

    There are no tax lines: tax is computed once per rate on the sum of its lines and stands in `Invoice.taxes`.
    """

    USAGE = "usage", "Usage"
    FLAT = "flat", "Fee"
    COMMITMENT = "commitment", "Minimum commitment"
    DISCOUNT = "discount", "Discount"
    ADJUSTMENT = "adjustment", "Adjustment"
    CREDIT = "credit", "Prepaid credit"


class CreditEntryKind(models.TextChoices):
    """How a balance of prepaid credit moved."""

    GRANT = "grant", "Granted"
    DRAW = "draw", "Drawn by an invoice"
    RETURN = "return", "Returned by a void invoice"
    EXPIRY = "expiry", "Expired"
    REFUND = "refund", "Paid back"


class TaxTreatment(models.TextChoices):
    """Why a tax is what it is."""

    STANDARD = "standard", "Taxed"
    REVERSE_CHARGE = "reverse_charge", "Reverse charge"
    EXEMPT = "exempt", "Exempt"


class InvoiceState(models.TextChoices):
    """Where an invoice or note stands."""

    DRAFT = "draft", "Draft"
    FINALIZED = "finalized", "Finalized"
    PAID = "paid", "Paid"
    VOID = "void", "Void"


# Documents that count: closed, and not void.
IN_FORCE = (InvoiceState.FINALIZED, InvoiceState.PAID)


INVOICE_MOVES: Moves = {
    InvoiceState.DRAFT: frozenset({InvoiceState.FINALIZED}),
    InvoiceState.FINALIZED: frozenset({InvoiceState.PAID, InvoiceState.VOID}),
    InvoiceState.PAID: frozenset(),
    InvoiceState.VOID: frozenset(),
}


class ExportState(models.TextChoices):
    """How far an export is."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    EXPIRED = "expired", "Expired"


EXPORT_MOVES: Moves = {
    ExportState.QUEUED: frozenset({ExportState.RUNNING, ExportState.FAILED}),
    ExportState.RUNNING: frozenset({ExportState.DONE, ExportState.FAILED}),
    ExportState.DONE: frozenset({ExportState.EXPIRED}),
    ExportState.FAILED: frozenset(),
    ExportState.EXPIRED: frozenset(),
}
