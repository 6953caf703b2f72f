"""The planner's small forms: a name for a scenario, a table to import."""

from django import forms

from dashboard.forms import PlainForm
from provisioning.planner.catalogue import TABLES

LONGEST_TABLE = 500_000
TABLE_WORDS = {
    "instances": "Instance types and their prices",
    "host_memory": "Memory of the hosts",
    "savings_plans": "Savings Plan fractions",
    "api_prices": "API token prices",
}


class NameForm(PlainForm):
    """What a kept scenario is called; `address` carries its inputs from question to answer."""

    name = forms.CharField(max_length=120, help_text="Such as: Beta traffic, November.")
    address = forms.CharField(max_length=8000, widget=forms.HiddenInput)


class TableForm(PlainForm):
    """A CSV for one table of the catalogue."""

    table = forms.ChoiceField(choices=[(table, TABLE_WORDS[table]) for table in TABLES])
    text = forms.CharField(
        label="Rows as CSV",
        max_length=LONGEST_TABLE,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "class": "form-control mono", "spellcheck": "false"}),
        help_text="With the header line of the export. Rows that are not named stay as they are.",
    )
