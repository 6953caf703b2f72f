"""The form of a new tier version."""

from typing import Any

from django import forms

from dashboard.forms import PlainForm
from tenants.queries import PROMISES
from tenants.services.tiers import TierLimits, TokenLimit


class TierVersionForm(PlainForm):
    """What the next version promises; it starts from the version `before`."""

    lines = forms.CharField(max_length=400, help_text="Serving lines in order, separated by commas.")
    isolation = forms.ChoiceField(
        choices=[
            ("pool", "Pool"),
            ("split", "The tenant's own account"),
            ("dedicated", "An account of ours for the tenant alone"),
        ]
    )
    max_adapters = forms.IntegerField(min_value=0, max_value=2**31 - 1)
    max_adapter_bytes = forms.IntegerField(min_value=1, max_value=2**53 - 1, help_text="Of one upload.")
    max_lora_rank = forms.IntegerField(min_value=1, max_value=512)
    keep_previous_warm = forms.BooleanField(required=False)
    warm_window_hours = forms.IntegerField(min_value=0, max_value=8760)
    on_suspend = forms.ChoiceField(
        label="On suspension", choices=[("keep", "Keep its resources"), ("remove", "Remove its resources")]
    )
    retention_days = forms.IntegerField(
        min_value=0, max_value=3650, help_text="How long a departed tenant's artifacts stay."
    )
    approval = forms.ChoiceField(
        choices=[("none", "Nobody"), ("required", "Somebody"), ("four_eyes", "Somebody else than the uploader")],
        label="Who approves an adapter's version",
    )
    tokens = forms.CharField(
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 4, "class": "form-control mono"}),
        help_text="One limit per line: amount, meter (input_tokens, output_tokens, total_tokens), window (minute, day, "
        "month), mode (hard, soft, shadow).",
    )

    def __init__(self, *args: Any, before: Any, **kwargs: Any) -> None:
        lines = ", ".join(route.line.name for route in before.routes.all())
        tokens = "\n".join(
            f"{each.amount} {each.meter} {each.window} {each.mode}" for each in before.token_limits.all()
        )
        promises = {name: getattr(before, name) for name in PROMISES}
        super().__init__(*args, initial={**promises, "lines": lines, "tokens": tokens}, **kwargs)

    def clean_lines(self) -> list[str]:
        return [name.strip() for name in str(self.cleaned_data["lines"]).split(",") if name.strip()]

    def clean_tokens(self) -> list[TokenLimit]:
        limits = []
        for line in str(self.cleaned_data["tokens"]).splitlines():
            words = line.split()
            if not words:
                continue
            known = len(words) == 4 and words[0].isdecimal() and len(words[0]) < 16 and int(words[0]) > 0
            if (
                not known
                or words[1] not in ("input_tokens", "output_tokens", "total_tokens")
                or words[2] not in ("minute", "day", "month")
                or words[3] not in ("hard", "soft", "shadow")
            ):
                raise forms.ValidationError(f"This is no limit: {line.strip()[:80]}")
            limits.append(TokenLimit(words[1], words[2], int(words[0]), words[3]))
        return limits

    def wanted(self) -> dict[str, Any]:
        """What the service takes; prices go on as they are."""
        data = self.cleaned_data
        return {
            "limits": TierLimits(**{name: data[name] for name in PROMISES}),
            "tokens": data["tokens"],
            "lines": data["lines"],
            "rate_cards": [],
        }
