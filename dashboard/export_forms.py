"""What to export, as a form."""

from datetime import datetime, timedelta
from typing import Any

from django import forms

from billing.exports.datasets import DATASETS
from core.periods import billing_month
from dashboard.forms import PlainForm

DATASET_NAMES = {
    "invoices": "Invoices and notes",
    "invoice-lines": "Their lines, with tax",
    "focus-1.2": "Charges as FOCUS 1.2",
    "usage": "Usage by day",
    "events": "Audit trail",
}
FORMATS = [("csv", "CSV"), ("xlsx", "XLSX"), ("jsonl", "JSON lines")]


class ExportForm(PlainForm):
    """Which rows, of when and of whom, in which form."""

    dataset = forms.ChoiceField(label="What")
    format = forms.ChoiceField(choices=FORMATS, help_text="FOCUS comes as CSV or JSON lines.")
    first_month = forms.ChoiceField(label="From the month")
    last_month = forms.ChoiceField(label="To the month", help_text="Both included, in UTC.")
    tenant = forms.CharField(
        max_length=100, required=False, help_text="Slug, id, or ext: and the external id; empty for all tenants."
    )

    def __init__(self, *args: Any, months: list[tuple[str, str]], may_audit: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [(key, DATASET_NAMES[key]) for key in DATASETS if may_audit or key != "events"]
        for field, choices in (("dataset", names), ("first_month", months), ("last_month", months)):
            self.fields[field].choices = choices  # type: ignore[attr-defined]  # they are ChoiceFields

    def period(self) -> tuple[datetime, datetime]:
        """From the first instant of the one month to the last of the other."""
        first, last = (self.cleaned_data[name].split("-") for name in ("first_month", "last_month"))
        start = billing_month(int(first[0]), int(first[1]), "UTC").start
        return start, billing_month(int(last[0]), int(last[1]), "UTC").end


def months_until(now: datetime, count: int) -> list[tuple[str, str]]:
    """The running month and those before it, the newest first."""
    found, at = [], now.replace(day=1)
    for _ in range(count):
        found.append((f"{at:%Y-%m}", f"{at:%B %Y}"))
        at = (at - timedelta(days=1)).replace(day=1)
    return found
