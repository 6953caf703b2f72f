"""The rows of a document as spreadsheets and CSV files show them: lines, tax per rate, total, what was prepaid."""

from typing import Any

from billing.documents.layout import Content
from billing.focus.mapping import line_kind

COLUMNS = (
    "invoice_number", "state", "kind", "tenant", "currency", "position", "description", "period_start", "period_end",
    "meter", "quantity", "unit", "unit_price", "per", "amount", "tax_rate", "line_kind", "corrects",
)  # fmt: skip
# Written as numbers where a file format knows numbers; amounts and quantities are exact decimals in text.
NUMERIC = frozenset({"quantity", "unit_price", "per", "amount", "tax_rate"})


def table(content: Content, language: str, *, state: str) -> list[list[str]]:
    """One row per line, then one per tax, then the total; prepaid credit follows with what is left to pay.

    Down to the row `total` the amounts add up to it.
    """
    head = [content["number"] or "", state, content["kind"], content["buyer"]["id"], content["currency"]]
    period = [content["period"]["start"], content["period"]["end"]]
    corrects = content["corrects"]

    def sum_row(name: str, text: str, amount: str, rate: str = "") -> list[str]:
        return [*head, name, text, *period, "", "", "", "", "", amount, rate, name, corrects]

    rows = [_line_row(head, line, language, corrects) for line in content["lines"]]
    rows += [sum_row("tax", _in(tax, "name", language), tax["amount"], tax["rate"]) for tax in content["taxes"]]
    rows.append(sum_row("total", "", content["total"]))
    drawn = content.get("credits", [])
    if drawn:
        rows += [_line_row(head, line, language, corrects) for line in drawn]
        rows.append(sum_row("amount_due", "", content["amount_due"]))
    return rows


def _line_row(head: list[str], line: dict[str, Any], language: str, corrects: str) -> list[str]:
    span = [line["span"]["start"], line["span"]["end"]]
    figures = [line["quantity"], line["unit"], line["unit_price"] or "", str(line["per"]), line["amount"]]
    text = _in(line, "description", language)
    what = [str(line["position"]), text, *span, line["meter"], *figures]
    return [*head, *what, line["tax_rate"], line_kind(line), corrects]


def _in(named: dict[str, Any], field: str, language: str) -> str:
    """A text in the language of the document, in English where it has no other."""
    other = named[f"{field}_ja"] if language == "ja" else ""
    return str(other or named[field])
