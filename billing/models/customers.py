"""What billing knows of a tenant beside its contract: how it is taxed, what is taken off, what it paid in advance."""

from decimal import Decimal

from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.db import models
from django.db.models import F, Q

from billing.models.invoices import MONEY, Invoice
from billing.states import CreditEntryKind
from core.models import PublicModel
from tenants.models import Tenant


class TaxProfile(models.Model):
    """Where a tenant is taxed and as what. A tenant without one is taxed by its currency."""

    tenant = models.OneToOneField(Tenant, on_delete=models.PROTECT, related_name="tax_profile")
    country = models.CharField(max_length=2)
    tax_number = models.CharField(max_length=30, blank=True)
    exempt_reason = models.CharField(max_length=200, blank=True)
    version = models.PositiveIntegerField(default=1)


class Discount(PublicModel):
    """What a tenant is let off, from when until when: a share of its lines or an amount per billing month.

    Empty `meters` and `rate_keys` mean all lines. It never changes but for its end, which is set once, in the future.
    """

    PREFIX = "dsc"

    class Kind(models.TextChoices):
        PERCENT = "percent", "Percent"
        FIXED = "fixed", "Amount per month"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="discounts")
    name = models.CharField(max_length=100)
    name_ja = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    value = models.DecimalField(max_digits=38, decimal_places=6)
    currency = models.CharField(max_length=3)
    meters = ArrayField(models.CharField(max_length=40), default=list)
    rate_keys = ArrayField(models.CharField(max_length=40), default=list)
    reason = models.TextField()
    effective = DateTimeRangeField()
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="percent", value__gt=0, value__lte=100) | Q(kind="fixed", value__gt=0),
                name="discount_value_in_range",
            ),
        ]


class CreditGrant(PublicModel):
    """Credit that a tenant paid in advance or was given, until it is used up or expires.

    `remaining` is kept by a trigger from the ledger's entries and cannot be written otherwise; it is never negative.
    `reference` names the payment: a second grant under the same one is the same grant.
    """

    PREFIX = "cg"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="credit_grants")
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(**MONEY)
    remaining = models.DecimalField(**MONEY, default=Decimal(0))
    expires_at = models.DateTimeField(null=True)
    reference = models.CharField(max_length=120)
    reason = models.TextField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["tenant", "expires_at"], name="credit_open", condition=Q(remaining__gt=0))]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "reference"], name="credit_grant_once_per_payment"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_grant_positive"),
            models.CheckConstraint(
                condition=Q(remaining__gte=0, remaining__lte=F("amount")), name="credit_never_negative"
            ),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gt=F("created_at")), name="credit_expires_later"
            ),
        ]


class CreditEntry(PublicModel):
    """One movement of a grant: append-only. `amount` is signed; a grant's entries add up to what remains of it."""

    PREFIX = "ce"

    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="entries")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=CreditEntryKind.choices)
    amount = models.DecimalField(**MONEY)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="credit_entries")
    reason = models.TextField(blank=True)
    actor_name = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["grant"], condition=Q(kind="grant"), name="credit_granted_once"),
            models.UniqueConstraint(fields=["grant"], condition=Q(kind="expiry"), name="credit_expires_once"),
            models.UniqueConstraint(
                fields=["grant", "invoice", "kind"], condition=Q(invoice__isnull=False), name="credit_drawn_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["grant", "return"], amount__gt=0)
                | Q(kind__in=["draw", "expiry", "refund"], amount__lt=0),
                name="credit_entry_sign",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["draw", "return"], invoice__isnull=False)
                | Q(kind__in=["grant", "expiry", "refund"]),
                name="credit_entry_names_invoice",
            ),
        ]
