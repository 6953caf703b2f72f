"""What things cost, from when, and who asks for the money."""

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models

from billing.states import RateCardState
from core.models import PublicModel
from tenants.models import TierVersion


class Issuer(PublicModel):
    """The company in whose name invoices are written. Its numbers are gapless per series and year.

    What is printed is copied into each invoice when it is finalized, so a move of the office changes no old invoice.
    """

    PREFIX = "iss"

    key = models.SlugField(max_length=30, unique=True)
    name = models.CharField(max_length=120)
    address = models.TextField()
    email = models.EmailField(blank=True)
    registration_number = models.CharField(max_length=20, blank=True)
    payment_details = models.TextField(blank=True)
    payment_days = models.PositiveSmallIntegerField(default=30)
    number_prefix = models.CharField(max_length=10, default="INV")

    def __str__(self) -> str:
        return self.name


class TaxRule(models.Model):
    """The tax on what customers of a country, or invoices in a currency, are charged; from when until when.

    The rule of the customer's country goes before the one of the currency; no rule means no tax. `category` lets a
    rate of a card be taxed otherwise than the rest. With `reverse_charge` a business customer with a tax number owes
    the tax itself. The tax is computed once per rate on an invoice and rounded as the rule says.
    """

    class Rounding(models.TextChoices):
        HALF_UP = "half_up", "Half up"
        DOWN = "down", "Down"
        UP = "up", "Up"

    issuer = models.ForeignKey(Issuer, on_delete=models.PROTECT, related_name="tax_rules")
    country = models.CharField(max_length=2, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    category = models.CharField(max_length=20, default="standard")
    reverse_charge = models.BooleanField(default=False)
    name = models.CharField(max_length=60)
    name_ja = models.CharField(max_length=60, blank=True)
    rate = models.DecimalField(max_digits=7, decimal_places=6)
    rounding = models.CharField(max_length=10, choices=Rounding.choices, default=Rounding.HALF_UP)
    effective = DateTimeRangeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(rate__gt=0, rate__lt=1), name="tax_rate_is_a_share"),
            models.CheckConstraint(condition=~models.Q(country="", currency=""), name="tax_rule_says_for_whom"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.rate} ({self.country or self.currency})"


class RateCard(PublicModel):
    """A list of prices in one currency. A new price is a new number of the card; a published one never changes."""

    PREFIX = "rc"

    name = models.CharField(max_length=60)
    number = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=RateCardState.choices, default=RateCardState.DRAFT)
    published_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name", "currency", "number"]
        constraints = [
            models.UniqueConstraint(fields=["name", "currency", "number"], name="rate_card_number_unique"),
            models.UniqueConstraint(fields=["id", "currency"], name="rate_card_currency_target"),
            models.CheckConstraint(condition=models.Q(state__in=RateCardState.values), name="rate_card_state_known"),
            models.CheckConstraint(
                condition=models.Q(state="draft", published_at=None)
                | models.Q(state="published", published_at__isnull=False),
                name="rate_card_published_stamp",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.currency} #{self.number}"


class Rate(models.Model):
    """One price on a card: a model of `rating.parameters` with its parameters, for one meter or for none (a fee).

    With a `serving_line` it prices only what was used on that line; what no such rate takes goes to the meter's rate
    without one.
    """

    card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="rates")
    position = models.PositiveSmallIntegerField()
    key = models.SlugField(max_length=40)
    meter = models.CharField(max_length=40, blank=True)
    serving_line = models.CharField(max_length=30, blank=True)
    tax_category = models.CharField(max_length=20, default="standard")
    model = models.CharField(max_length=30)
    parameters = models.JSONField()
    description = models.CharField(max_length=120)
    description_ja = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["card_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["card", "key"], name="rate_key_unique"),
            models.UniqueConstraint(fields=["card", "position"], name="rate_position_unique"),
            models.UniqueConstraint(
                fields=["card", "meter", "serving_line"], name="rate_meter_unique", condition=~models.Q(meter="")
            ),
            models.CheckConstraint(
                condition=models.Q(serving_line="") | ~models.Q(meter=""), name="rate_line_needs_a_meter"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.card_id}/{self.key}"


class TierPrice(PublicModel):
    """Which published card prices a tier version in a currency, from when until when; ranges never overlap."""

    PREFIX = "tp"

    tier_version = models.ForeignKey(TierVersion, on_delete=models.PROTECT, related_name="prices")
    rate_card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="tier_prices")
    currency = models.CharField(max_length=3)
    effective = DateTimeRangeField()

    class Meta:
        ordering = ["tier_version_id", "currency", "effective"]
