"""Forms of releases: all at once or in steps, and how one in steps goes on."""

from typing import Any

from django import forms

from dashboard.forms import OptionalReasonForm
from models_registry.canary import LONGEST_BAKE_MINUTES, MOST_REQUESTS, Plan

AT_ONCE, IN_STEPS = "at_once", "in_steps"
_USUAL = Plan(steps=(10, 50))
_PLAN_FIELDS = ("steps", "bake_minutes", "max_error_share", "max_latency_ratio", "min_requests")


class ReleaseForm(OptionalReasonForm):
    """How a version that replaces another one gets its requests."""

    how = forms.ChoiceField(
        label="Requests move",
        choices=[(AT_ONCE, "All at once, when the probe has passed"), (IN_STEPS, "In steps, watched by alarms")],
        widget=forms.RadioSelect,
        initial=AT_ONCE,
        required=False,
    )
    steps = forms.CharField(
        label="Steps, in per cent",
        required=False,
        max_length=60,
        initial=", ".join(str(step) for step in _USUAL.steps),
        help_text="Rising, such as 10, 50. Everything follows after the last one.",
    )
    bake_minutes = forms.IntegerField(
        label="Minutes per step",
        required=False,
        min_value=1,
        max_value=LONGEST_BAKE_MINUTES,
        initial=_USUAL.bake_minutes,
    )
    max_error_share = forms.DecimalField(
        label="Errors allowed, in per cent",
        required=False,
        min_value=0,
        max_value=99,
        initial=round(_USUAL.max_error_share * 100),
        help_text="More than this, and more than the old version has, rolls it back.",
    )
    max_latency_ratio = forms.DecimalField(
        label="Slow answers (p90) may take, times the old version's",
        required=False,
        min_value=1,
        max_value=100,
        initial=_USUAL.max_latency_ratio,
    )
    min_requests = forms.IntegerField(
        label="Requests to each version before anything is concluded",
        required=False,
        min_value=1,
        max_value=MOST_REQUESTS,
        initial=_USUAL.min_requests,
    )
    field_order = ("how", *_PLAN_FIELDS, "reason")

    def __init__(self, *args: Any, has_live: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_live:  # there is nothing to share the requests with
            for name in ("how", *_PLAN_FIELDS):
                del self.fields[name]
            return
        for name in _PLAN_FIELDS:
            self.fields[name].widget.attrs["data-when"] = IN_STEPS  # parts.css shows it only then

    def clean_steps(self) -> tuple[int, ...]:
        """The numbers. Which of them make a plan is the service's to say."""
        try:
            return tuple(int(part) for part in self.cleaned_data["steps"].replace("%", " ").replace(",", " ").split())
        except ValueError:
            raise forms.ValidationError("Whole numbers with commas between them, such as 10, 50.") from None

    def clean(self) -> dict[str, Any]:
        """Every field of the plan is needed for one in steps; what stands in it else is nobody's fault."""
        typed = super().clean() or self.cleaned_data
        for name in _PLAN_FIELDS:
            if typed.get("how") != IN_STEPS:
                self.errors.pop(name, None)
            elif name not in self.errors and typed.get(name) in (None, ()):
                self.add_error(name, "Needed for a release in steps.")
        return typed

    def plan(self) -> Plan | None:
        """The plan that was typed; None for all at once."""
        typed = self.cleaned_data
        if typed.get("how") != IN_STEPS:
            return None
        return Plan(
            steps=typed["steps"],
            bake_minutes=typed["bake_minutes"],
            max_error_share=typed["max_error_share"] / 100,
            max_latency_ratio=typed["max_latency_ratio"],
            min_requests=typed["min_requests"],
        )


class GoOnForm(OptionalReasonForm):
    """Whether to wait for the share's time."""

    skip_bake = forms.BooleanField(
        label="Take the next step now, whatever was seen of this one",
        required=False,
    )
    field_order = ("skip_bake", "reason")
