"""The lines as CSV for a spreadsheet: UTF-8 with a mark that Excel understands, and no cell that acts as a formula."""

import csv
import io
import re

from billing.documents.layout import Content

BYTE_ORDER_MARK = "\ufeff"
FORMULA_STARTS = tuple("=+-@\t\r\n")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
COLUMNS = (
    "invoice_number", "state", "kind", "tenant", "currency", "position", "description", "period_start", "period_end",
    "meter", "quantity", "unit", "unit_price", "per", "amount", "tax_rate",
)  # fmt: skip


def render_csv(content: Content, language: str, *, state: str) -> bytes:
    """One row per line, amounts and quantities as exact decimals, then one row per tax and the total."""
    out = io.StringIO()
    out.write(BYTE_ORDER_MARK)
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    head = [content["number"] or "", state, content["kind"], content["buyer"]["id"], content["currency"]]
    period = [content["period"]["start"], content["period"]["end"]]
    for line in content["lines"]:
        text = line["description_ja"] if language == "ja" and line["description_ja"] else line["description"]
        figures = [line["quantity"], line["unit"], line["unit_price"] or "", line["per"], line["amount"]]
        span = [line["span"]["start"], line["span"]["end"]]
        writer.writerow(_cells([*head, line["position"], text, *span, line["meter"], *figures, line["tax_rate"]]))
    for tax in content["taxes"]:
        name = tax["name_ja"] if language == "ja" and tax["name_ja"] else tax["name"]
        writer.writerow(_cells([*head, "tax", name, *period, "", "", "", "", "", tax["amount"], tax["rate"]]))
    writer.writerow(_cells([*head, "total", "", *period, "", "", "", "", "", content["total"], ""]))
    return out.getvalue().encode()


def _cells(row: list[object]) -> list[str]:
    return [safe_cell(value) for value in row]


def safe_cell(value: object) -> str:
    """Text that a spreadsheet will not run: what starts like a formula gets an apostrophe; numbers stay numbers."""
    text = str(value)
    if text[:1] in FORMULA_STARTS and not NUMBER.fullmatch(text):
        return f"'{text}"
    return text
