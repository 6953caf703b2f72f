"""Plain forms: they check what was typed and never save. Services decide; `refuse` shows what a service answered."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.core.validators import RegexValidator

from core.errors import DomainError
from dashboard.templatetags.formatting import money_of
from events.webhooks.destinations import LONGEST_URL
from models_registry.states import OutsideApprovals

_CLASSES: dict[type[forms.Widget], str] = {
    forms.Select: "form-select",
    forms.CheckboxInput: "form-check-input",
    forms.CheckboxSelectMultiple: "",
    forms.RadioSelect: "",
    forms.FileInput: "form-control",
}
REASON_LENGTH = 500
AMOUNT_PREFIX = "amount-"
_MINUTES = forms.DateTimeInput(attrs={"type": "datetime-local", "class": "form-control"}, format="%Y-%m-%dT%H:%M")
_MINUTE_FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


class PlainForm(forms.Form):
    """A form in the look of the pages, which can also carry a service's refusal."""

    refusal_title = ""
    refusal_hint = ""
    refusal_code = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            look = next((css for kind, css in _CLASSES.items() if isinstance(field.widget, kind)), "form-control")
            if look:
                field.widget.attrs.setdefault("class", look)

    def refuse(self, error: DomainError) -> None:
        """Show a service's refusal: each field error at its field, the rest on top with code and hint."""
        self.refusal_title, self.refusal_hint, self.refusal_code = str(error.title), error.hint, error.code
        for each in error.errors:
            name = each.pointer.strip("/").split("/")[0]
            self.add_error(name if name in self.fields else None, each.detail)
        if not error.errors:
            self.add_error(None, error.detail)


class ReasonForm(PlainForm):
    """Why somebody does this; kept in the audit trail."""

    reason = forms.CharField(
        max_length=REASON_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2, "class": "form-control"}),
        help_text="Kept in the audit log.",
    )


class OptionalReasonForm(PlainForm):
    """Why somebody does this, if there is something to say."""

    reason = forms.CharField(
        max_length=REASON_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "class": "form-control"}),
        help_text="Kept in the audit log.",
    )


class TypedReasonForm(ReasonForm):
    """For what cannot be undone: the name of the thing has to be typed, and the server checks it again."""

    typed = forms.CharField(
        max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off", "class": "form-control mono"})
    )

    def __init__(self, *args: Any, expected: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected
        self.fields["typed"].label = f"Type {expected} to confirm"

    def clean_typed(self) -> str:
        typed = cast(str, self.cleaned_data["typed"]).strip()
        if typed != self.expected:
            raise forms.ValidationError(f"This is not {self.expected}.")
        return typed


class OnboardForm(PlainForm):
    """A new tenant. The tier is chosen from what the page offers."""

    name = forms.CharField(max_length=120, help_text="As it will stand on invoices.")
    slug = forms.CharField(
        max_length=20,
        validators=[
            RegexValidator(
                r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
                "Small letters, digits and single hyphens, beginning with a letter.",
            )
        ],
        help_text="Up to 20 small letters, digits and hyphens. It becomes part of AWS names and stays for ever.",
    )
    tier_key = forms.ChoiceField(label="Tier", widget=forms.RadioSelect)
    currency = forms.ChoiceField(choices=[(code, code) for code in ("USD", "EUR", "JPY", "GBP", "KWD")])
    billing_timezone = forms.CharField(
        label="Billing time zone",
        max_length=60,
        initial="UTC",
        widget=forms.TextInput(attrs={"list": "timezones", "class": "form-control"}),
        help_text="Months begin at midnight there, such as Asia/Tokyo.",
    )
    invoice_language = forms.ChoiceField(label="Invoice language", choices=[("en", "English"), ("ja", "日本語")])
    external_id = forms.CharField(
        label="External id", max_length=100, required=False, help_text="What your billing system calls this customer."
    )
    contact_email = forms.EmailField(label="Contact e-mail", required=False)
    allowed_regions = forms.CharField(
        label="Allowed regions",
        max_length=400,
        required=False,
        help_text="Where its models may run, separated by spaces, such as eu-central-1. Empty: anywhere.",
    )

    def __init__(self, *args: Any, tiers: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["tier_key"]).choices = tiers

    def clean_allowed_regions(self) -> list[str]:
        return str(self.cleaned_data["allowed_regions"]).replace(",", " ").split()

    def clean_external_id(self) -> str | None:
        return self.cleaned_data["external_id"] or None


class NewAdapterForm(PlainForm):
    """A new line of versions."""

    name = forms.CharField(
        max_length=40, help_text="Small letters, digits and hyphens, such as support-ja. It is the route's name."
    )
    foundation_model = forms.ChoiceField(
        label="Base model",
        help_text="What the adapter was trained on. Uploads are checked against its shapes.",
    )

    def __init__(self, *args: Any, bases: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["foundation_model"]).choices = bases


class UploadForm(PlainForm):
    """What comes with the files of an upload; the files themselves are streamed to the service."""

    notes = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "form-control"}),
        help_text="What changed, for whoever has to decide about releasing it.",
    )
    dataset_ref = forms.CharField(
        label="Training data", required=False, max_length=200, help_text="Where it came from, such as an S3 address."
    )
    base_revision = forms.CharField(
        label="Base revision",
        required=False,
        max_length=100,
        help_text="Of the base model that it was trained on, such as a commit.",
    )
    training_job = forms.CharField(
        label="Training job", required=False, max_length=300, help_text="Its ARN, address or run id."
    )
    metrics = forms.CharField(
        required=False,
        max_length=8192,
        widget=forms.Textarea(
            attrs={
                "rows": 2,
                "class": "form-control mono",
                "placeholder": '{"exact_match": 0.84}',
                "spellcheck": "false",
            }
        ),
        help_text="Evaluation results as a JSON object.",
    )

    def clean_metrics(self) -> dict[str, Any]:
        text = self.cleaned_data["metrics"].strip()
        if not text:
            return {}
        try:
            metrics = json.loads(text)
        except (ValueError, RecursionError):
            metrics = None
        if not isinstance(metrics, dict):
            raise forms.ValidationError('Give a JSON object, such as {"exact_match": 0.84}.')
        return metrics


class ImportForm(UploadForm):
    """Where in S3 a version lies, and what is to be said of it."""

    uri = forms.CharField(
        label="S3 address",
        max_length=1024,
        widget=forms.TextInput(attrs={"class": "form-control mono", "spellcheck": "false", "autocomplete": "off"}),
        help_text="s3://bucket/key.tar.gz, or s3://bucket/prefix/ with adapter_config.json and the weights.",
    )
    field_order = ("uri",)


class RetirementForm(PlainForm):
    """The day from which a version should not serve; empty takes it back."""

    retires_at = forms.DateTimeField(
        label="Retires at (UTC)",
        required=False,
        widget=_MINUTES,
        input_formats=_MINUTE_FORMATS,
        help_text="Leave it empty to take a planned retirement back.",
    )
    replacement = forms.ChoiceField(required=False, help_text="What should serve instead.")
    reason = forms.CharField(
        required=False, max_length=REASON_LENGTH, widget=forms.Textarea(attrs={"rows": 2, "class": "form-control"})
    )

    def __init__(self, *args: Any, others: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["replacement"]).choices = [("", "Not decided yet"), *others]


class ApprovalPolicyForm(ReasonForm):
    """What an approval given in SageMaker's registry is worth."""

    outside_approvals = forms.ChoiceField(
        label="An approval given in SageMaker", choices=OutsideApprovals.choices, widget=forms.RadioSelect
    )
    field_order = ("outside_approvals",)


class HistoryForm(PlainForm):
    """A range and an instant, in UTC; all of them may be left out."""

    start = forms.DateTimeField(label="From (UTC)", required=False, widget=_MINUTES, input_formats=_MINUTE_FORMATS)
    end = forms.DateTimeField(label="Until (UTC)", required=False, widget=_MINUTES, input_formats=_MINUTE_FORMATS)
    at = forms.DateTimeField(
        label="What served at (UTC)", required=False, widget=_MINUTES, input_formats=_MINUTE_FORMATS
    )


class DraftForm(PlainForm):
    """Which month to draft, of whom."""

    month = forms.ChoiceField(help_text="In the tenant's own billing time zone.")
    tenant = forms.CharField(max_length=100, help_text="Slug, id, or ext: and the external id.")

    def __init__(self, *args: Any, months: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["month"]).choices = months

    def year_and_month(self) -> tuple[int, int]:
        """The chosen month as numbers."""
        year, month = self.cleaned_data["month"].split("-")
        return int(year), int(month)


class PaymentForm(PlainForm):
    """That the money came, and under which reference."""

    reference = forms.CharField(max_length=120, help_text="The bank's or the payer's reference.")


class CreditForm(ReasonForm):
    """How much of each line to give back; all that is left when nothing is filled in."""

    def __init__(self, *args: Any, lines: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for line in lines:
            name = f"{AMOUNT_PREFIX}{line.public_id}"
            self.fields[name] = forms.DecimalField(
                label=line.description,
                required=False,
                min_value=Decimal(0),
                max_digits=38,
                decimal_places=3,
                widget=forms.NumberInput(attrs={"class": "form-control", "step": "any", "inputmode": "decimal"}),
                help_text=f"Without tax, at most {money_of(line.amount, line.invoice.currency)}.",
            )
        self.order_fields([name for name in self.fields if name != "reason"])

    @staticmethod
    def amounts(typed: dict[str, Any]) -> dict[str, Decimal] | None:
        """The amounts by line, or None for all that is left."""
        found = {
            name.removeprefix(AMOUNT_PREFIX): amount
            for name, amount in typed.items()
            if name.startswith(AMOUNT_PREFIX) and amount is not None
        }
        return found or None


class KeyForm(PlainForm):
    """A new API key. Scopes are those that the person may hand on."""

    name = forms.CharField(max_length=100, help_text="Which system will hold it.")
    tenant = forms.CharField(
        max_length=100,
        required=False,
        help_text="Slug or id, for a key that sees this tenant alone. Leave it empty for a key of the operating team.",
    )
    days = forms.IntegerField(label="Valid for days", min_value=1, max_value=365, initial=90)
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, scopes: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.MultipleChoiceField, self.fields["scopes"]).choices = [(scope, scope) for scope in scopes]


class WebhookChangeForm(PlainForm):
    """Where a webhook goes and what it hears of; `version` is what the person saw."""

    url = forms.CharField(
        label="Address",
        max_length=LONGEST_URL,
        widget=forms.TextInput(attrs={"class": "form-control mono", "spellcheck": "false", "autocomplete": "off"}),
        help_text="https, port 443 or 8443, reachable from the internet.",
    )
    description = forms.CharField(max_length=200, required=False, help_text="Which system listens there.")
    events = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None means all of them, also those that are added later.",
    )
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, names: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.MultipleChoiceField, self.fields["events"]).choices = [(name, name) for name in names]


class WebhookForm(WebhookChangeForm):
    """A new webhook."""

    version = None  # type: ignore[assignment]  # Django's way to leave out a field of the base
    tenant = forms.CharField(
        max_length=100,
        required=False,
        help_text="Slug or id, to hear of this tenant alone. Leave it empty to hear of every tenant.",
    )


class ReplayForm(PlainForm):
    """A range of time, half-open, in UTC."""

    start = forms.DateTimeField(label="From (UTC)", widget=_MINUTES, input_formats=_MINUTE_FORMATS)
    end = forms.DateTimeField(
        label="Until (UTC)", widget=_MINUTES, input_formats=_MINUTE_FORMATS, help_text="At most 31 days later."
    )
