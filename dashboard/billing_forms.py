"""Forms of prices and prepaid credit. Rates are typed as JSON, in the words of the REST API."""

import json
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError

from billing.services.rate_cards import RateDraft
from dashboard.forms import PlainForm, ReasonForm
from metering.meters import METERS

FIELDS = (
    "key", "model", "parameters", "description", "description_ja", "meter", "serving_line", "tax_category",
)  # fmt: skip
# What the parameters of each pricing model look like, for whoever types them.
BANDS: list[dict[str, Any]] = [{"up_to": 1_000_000, "unit_price": "0.60"}, {"up_to": None, "unit_price": "0.40"}]
EXAMPLES: dict[str, dict[str, Any]] = {
    "flat": {"amount": "29.00"},
    "per_unit": {"unit_price": "0.60", "per": 1_000_000},
    "graduated": {"per": 1_000_000, "bands": BANDS},
    "volume": {"per": 1_000_000, "bands": BANDS},
    "package": {"size": 100_000, "price": "5.00"},
    "allowance": {"included": 1_000_000, "per": 1_000_000, "bands": [{"up_to": None, "unit_price": "0.60"}]},
    "hourly": {"price": "1.20"},
    "monthly": {"price": "40.00"},
    "minimum_commitment": {"amount": "500.00", "meters": ["input_tokens", "output_tokens"]},
}


def examples() -> list[str]:
    """A line per pricing model with parameters that fit it."""
    return [f"{model}: {json.dumps(parameters)}" for model, parameters in EXAMPLES.items()]


def as_json(card: Any) -> str:
    """The rates of a card as the form shows them; what is empty is left out."""
    rates = [{name: getattr(rate, name) for name in FIELDS if getattr(rate, name)} for rate in card.rates.all()]
    return json.dumps(rates, indent=2, ensure_ascii=False)


def _instant(**details: Any) -> forms.DateTimeField:
    return forms.DateTimeField(
        widget=forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local", "class": "form-control"}),
        **details,
    )


class RatesForm(PlainForm):
    """The rates of a draft."""

    rates = forms.CharField(
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 18, "class": "form-control mono", "spellcheck": "false"}),
        help_text="A list of rates as the REST API takes them: key, model, parameters, description, meter.",
    )
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def clean_rates(self) -> list[RateDraft]:
        """The typed rates. Raises ValidationError for what is no list of them."""
        try:
            typed = json.loads(self.cleaned_data["rates"])
            return [RateDraft(**rate) for rate in typed]
        except (ValueError, TypeError, RecursionError) as error:
            raise ValidationError(f"This is no list of rates: {error}") from error


class CardForm(RatesForm):
    """A new card, or the next number of one."""

    name = forms.CharField(max_length=60)
    currency = forms.RegexField(r"^[A-Z]{3}$", help_text="Three letters, such as USD.")
    field_order = ("name", "currency", "rates")


class ScheduleForm(PlainForm):
    """Whom a card prices, from when."""

    tier = forms.ChoiceField()
    effective_from = _instant(help_text="UTC.")

    def __init__(self, *args: Any, tiers: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["tier"]).choices = tiers


class GrantForm(ReasonForm):
    """A payment in advance."""

    tenant = forms.CharField(max_length=110, help_text="Slug, id, or ext: and the external id.")
    amount = forms.DecimalField(max_digits=30, decimal_places=3, help_text="In the tenant's currency.")
    expires_at = _instant(required=False, help_text="UTC; never when empty.")
    reference = forms.CharField(max_length=120, help_text="Of the payment; the same one is credited once.")
    field_order = ("tenant", "amount", "expires_at", "reference", "reason")


class RefundForm(ReasonForm):
    """How much of a grant was paid back."""

    amount = forms.DecimalField(
        max_digits=30, decimal_places=3, required=False, help_text="All that is left when empty."
    )
    field_order = ("amount", "reason")


class AdjustmentForm(ReasonForm):
    """An amount that the engine does not know of."""

    description = forms.CharField(max_length=120, help_text="As the customer reads it on the invoice.")
    description_ja = forms.CharField(max_length=120, required=False, label="Description in Japanese")
    amount = forms.DecimalField(
        max_digits=30, decimal_places=3, help_text="In the draft's currency, without tax; below zero takes off."
    )
    field_order = ("description", "description_ja", "amount", "reason")


class DiscountForm(ReasonForm):
    """What is agreed on."""

    tenant = forms.CharField(max_length=110, help_text="Slug, id, or ext: and the external id.")
    name = forms.CharField(max_length=100, help_text="As the customer reads it on the invoice.")
    name_ja = forms.CharField(max_length=100, required=False, label="Name in Japanese")
    kind = forms.ChoiceField(choices=[("percent", "Percent"), ("fixed", "Amount per month")])
    value = forms.DecimalField(
        max_digits=36, decimal_places=6, help_text="Percent, or an amount per billing month in the tenant's currency."
    )
    starts_at = _instant(help_text="UTC.")
    ends_at = _instant(required=False, help_text="UTC; open when empty.")
    meters = forms.MultipleChoiceField(
        required=False,
        choices=[(name, name.replace("_", " ")) for name in METERS],
        help_text="Taken off the lines of these; off all lines when none is chosen.",
    )
    field_order = ("tenant", "name", "name_ja", "kind", "value", "starts_at", "ends_at", "meters", "reason")


class DiscountEndForm(ReasonForm):
    """When it ends."""

    ends_at = _instant(help_text="UTC; in the future, before its own end.")
    field_order = ("ends_at", "reason")


class TaxProfileForm(PlainForm):
    """Where a tenant is taxed and as what."""

    country = forms.RegexField(r"^[A-Z]{2}$", help_text="Two letters of ISO 3166, such as JP.")
    tax_number = forms.CharField(max_length=30, required=False, help_text="Of a business; for reverse charge.")
    exempt_reason = forms.CharField(
        max_length=200, required=False, help_text="Printed on invoices; makes the tenant exempt."
    )
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)
