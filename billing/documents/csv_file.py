"""The lines as CSV for a spreadsheet: UTF-8 with a mark that Excel understands, and no cell that acts as a formula."""

import csv
import io
import re

from billing.documents.layout import Content
from billing.documents.table import COLUMNS, table
from billing.focus import mapping

BYTE_ORDER_MARK = "\ufeff"
FORMULA_STARTS = tuple("=+-@\t\r\n")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def render_csv(content: Content, language: str, *, state: str) -> bytes:
    """The document's table; amounts and quantities as exact decimals."""
    out = io.StringIO()
    out.write(BYTE_ORDER_MARK)
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([safe_cell(cell) for cell in row] for row in table(content, language, state=state))
    return out.getvalue().encode()


def render_focus(content: Content, language: str, *, state: str) -> bytes:
    """The document's charges as FOCUS 1.2; its words are English in every language."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(mapping.COLUMNS)
    for row in mapping.focus_rows(content, tags=content.get("tags", {})):
        writer.writerow([safe_cell(row[column]) for column in mapping.COLUMNS])
    return out.getvalue().encode()


def safe_cell(value: object) -> str:
    """Text that a spreadsheet will not run: what starts like a formula gets an apostrophe; numbers stay numbers."""
    text = str(value)
    if text[:1] in FORMULA_STARTS and not NUMBER.fullmatch(text):
        return f"'{text}"
    return text
