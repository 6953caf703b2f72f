"""Invoices and notes, their lines, their numbers, and the claims that stop usage from being billed twice."""

from datetime import date
from decimal import Decimal
from typing import Any, Self
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import F, Q

from billing.models.pricing import Issuer, Rate
from billing.states import InvoiceKind, InvoiceState, LineKind
from core.models import PublicModel
from metering.models import Seal
from tenants.models import Tenant
from tenants.scoping import TenantScoped

# The widest exponent of ISO 4217 in use is three (KWD).
MONEY: dict[str, Any] = {"max_digits": 38, "decimal_places": 3}


class InvoiceSequence(models.Model):
    """How many numbers of a series an issuer has given out in a year.

    A row and not a PostgreSQL sequence, because a sequence does not roll back and so leaves gaps.
    """

    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="sequences")
    series = models.CharField(max_length=10)
    year = models.PositiveSmallIntegerField()
    last_number = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["issuer", "series", "year"], name="invoice_sequence_unique"),
        ]


class InvoiceQuerySet(TenantScoped, models.QuerySet["Invoice"]):
    """Scoped reads."""

    def standing(self) -> Self:
        """Those that count: not void."""
        return self.exclude(state=InvoiceState.VOID)


class Invoice(PublicModel):
    """A demand for a period, or a note that corrects one. Immutable by trigger once finalized.

    `content_sha256` is over everything printed (`billing/content.py`), in the form of `content_schema`. `seller`,
    `buyer` and `taxes` are copies as of finalizing. Amounts of a credit note are positive: its kind says that they are
    owed the other way round. `prepaid` is what was drawn from the tenant's credit and pays a part of the total.
    """

    PREFIX = "inv"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="invoices")
    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="invoices")
    kind = models.CharField(max_length=12, choices=InvoiceKind.choices, default=InvoiceKind.INVOICE)
    state = models.CharField(max_length=10, choices=InvoiceState.choices, default=InvoiceState.DRAFT)
    version = models.PositiveIntegerField(default=1)
    number = models.CharField(max_length=40, null=True)
    currency = models.CharField(max_length=3)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    timezone = models.CharField(max_length=60)
    language = models.CharField(max_length=2)
    subtotal = models.DecimalField(**MONEY)
    tax = models.DecimalField(**MONEY)
    total = models.DecimalField(**MONEY)
    prepaid = models.DecimalField(**MONEY, default=Decimal(0))
    taxes = models.JSONField(default=list)
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)
    corrects = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="notes")
    reason = models.TextField(blank=True)
    uncharged = models.JSONField(default=dict)
    content_schema = models.PositiveSmallIntegerField(default=2)
    lines_sha256 = models.CharField(max_length=64, blank=True)
    content_sha256 = models.CharField(max_length=64)
    refreshed_at = models.DateTimeField()
    grace_until = models.DateTimeField(null=True)
    finalized_at = models.DateTimeField(null=True)
    due_on = models.DateField(null=True)
    paid_at = models.DateTimeField(null=True)
    payment_reference = models.CharField(max_length=120, blank=True)
    voided_at = models.DateTimeField(null=True)
    void_reason = models.TextField(blank=True)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-period_start"], name="invoice_by_tenant"),
            models.Index(fields=["state", "-id"], name="invoice_by_state"),
            models.Index(fields=["grace_until"], name="invoice_draft_due", condition=Q(state="draft")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["issuer", "number"], name="invoice_number_unique"),
            models.CheckConstraint(condition=Q(kind__in=InvoiceKind.values), name="invoice_kind_known"),
            models.CheckConstraint(condition=Q(state__in=InvoiceState.values), name="invoice_state_known"),
            models.CheckConstraint(condition=Q(period_end__gt=F("period_start")), name="invoice_period_forward"),
            models.CheckConstraint(condition=Q(total=F("subtotal") + F("tax")), name="invoice_total_adds_up"),
            models.CheckConstraint(
                condition=Q(prepaid=0) | Q(prepaid__gt=0, prepaid__lte=F("total")), name="invoice_prepaid_within_total"
            ),
            models.CheckConstraint(
                condition=Q(state="draft", number=None, finalized_at=None)
                | Q(~Q(state="draft"), number__isnull=False, finalized_at__isnull=False),
                name="invoice_final_has_number",
            ),
            models.CheckConstraint(
                condition=Q(kind="invoice", corrects=None) | Q(~Q(kind="invoice"), corrects__isnull=False),
                name="invoice_note_corrects",
            ),
            models.CheckConstraint(
                condition=Q(state="paid", paid_at__isnull=False) | Q(~Q(state="paid"), paid_at=None),
                name="invoice_paid_stamp",
            ),
            models.CheckConstraint(
                condition=Q(state="void", voided_at__isnull=False) | Q(~Q(state="void"), voided_at=None),
                name="invoice_void_stamp",
            ),
        ]

    def __str__(self) -> str:
        return self.number or self.public_id

    @property
    def amount_due(self) -> Decimal:
        """What is left to pay after prepaid credit."""
        return self.total - self.prepaid

    @property
    def issued_on(self) -> date | None:
        """The date on the document: the day of finalizing in the invoice's own zone."""
        return self.finalized_at.astimezone(ZoneInfo(self.timezone)).date() if self.finalized_at else None


class InvoiceLine(PublicModel):
    """One amount and why. It can be written and deleted only while its invoice is a draft, by trigger."""

    PREFIX = "il"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=LineKind.choices, default=LineKind.USAGE)
    rate = models.ForeignKey(Rate, on_delete=models.PROTECT, null=True, related_name="+")
    corrects_line = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="corrections")
    description = models.CharField(max_length=120)
    description_ja = models.CharField(max_length=120, blank=True)
    meter = models.CharField(max_length=40, blank=True)
    span_start = models.DateTimeField()
    span_end = models.DateTimeField()
    quantity = models.DecimalField(max_digits=42, decimal_places=4)
    unit = models.CharField(max_length=20)
    unit_price = models.DecimalField(max_digits=25, decimal_places=12, null=True)
    per = models.PositiveIntegerField()
    amount = models.DecimalField(**MONEY)
    tax_rate = models.DecimalField(max_digits=7, decimal_places=6)
    explanation = models.JSONField()

    class Meta:
        ordering = ["invoice_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position_unique"),
            models.CheckConstraint(condition=Q(kind__in=LineKind.values), name="invoice_line_kind_known"),
        ]


class Adjustment(PublicModel):
    """An amount that a person put on a draft, or took off it, and why. Gone with a void invoice; fixed when final.

    The draft's line is written from it each time the draft is refreshed.
    """

    PREFIX = "adj"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="adjustments")
    description = models.CharField(max_length=120)
    description_ja = models.CharField(max_length=120, blank=True)
    reason = models.TextField()
    amount = models.DecimalField(**MONEY)
    tax_category = models.CharField(max_length=20, default="standard")
    actor_name = models.CharField(max_length=150)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="adjustment_says_something")]


class UsageClaim(models.Model):
    """This invoice or note bills this seal; of one seal there is at most one live claim, so nothing is billed twice.

    A seal holds what changed since the seals before it (`metering.Seal`), so a note over late usage claims just the
    newer ones. Voiding a document releases its claims.
    """

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="claims")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    seal = models.ForeignKey(Seal, on_delete=models.PROTECT, related_name="claims")
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["seal"], condition=Q(released_at=None), name="usage_claim_seal_unique"),
        ]


class InvoiceDocument(models.Model):
    """The file that a customer received, kept byte for byte. Append-only by trigger."""

    class Format(models.TextChoices):
        PDF = "pdf", "PDF"
        CSV = "csv", "CSV"
        XLSX = "xlsx", "XLSX"
        JSON = "json", "JSON"
        FOCUS = "focus", "FOCUS 1.2"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="documents")
    format = models.CharField(max_length=8, choices=Format.choices)
    language = models.CharField(max_length=2)
    sha256 = models.CharField(max_length=64)
    body = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "format", "language"], name="invoice_document_unique"),
        ]
