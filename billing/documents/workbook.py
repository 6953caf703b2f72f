"""Tables as an XLSX workbook: the same rows give the same bytes, and no cell of ours is ever a formula."""

import io
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, Any, Self

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from billing.documents.csv_file import NUMBER
from billing.documents.layout import Content
from billing.documents.table import COLUMNS, NUMERIC, table

# Excel keeps 15 significant digits; a longer number is text rather than wrong.
EXACT_DIGITS = 15
MAX_ROWS = 1_048_576
# Fixed, so that a second rendering is byte for byte the first.
CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class Workbook:
    """A workbook that is written row by row to `target`, with the rows of one sheet at a time in memory or on disk.

    `is_long` keeps a single row in memory; texts are then stored in the cells.
    """

    def __init__(self, target: IO[bytes], *, is_long: bool = False) -> None:
        options = {"constant_memory": is_long, "in_memory": not is_long, "strings_to_formulas": False,
                   "strings_to_urls": False, "strings_to_numbers": False}  # fmt: skip
        self._book = xlsxwriter.Workbook(target, options)
        self._book.set_properties({"created": CREATED.replace(tzinfo=None)})
        self._bold: Format = self._book.add_format({"bold": True, "bottom": 1})
        self._sheet: Worksheet | None = None
        self._numeric: list[bool] = []
        self._row = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_how: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the workbook out; the target stays open."""
        self._book.close()

    def sheet(self, name: str, columns: Sequence[str], *, numeric: Collection[str] = NUMERIC) -> None:
        """Begin a sheet; cells of the columns in `numeric` are numbers where they are short enough to be exact."""
        self._sheet = self._book.add_worksheet(name)
        self._numeric = [column in numeric for column in columns]
        self._sheet.freeze_panes(1, 0)
        for index, column in enumerate(columns):
            self._sheet.set_column(index, index, max(10, min(28, len(column) + 4)))
        for index, column in enumerate(columns):
            self._sheet.write_string(0, index, column, self._bold)
        self._row = 0

    def write(self, row: Iterable[str]) -> None:
        """The next row of the sheet. Raises ValueError beyond the rows that a sheet can have."""
        assert self._sheet is not None, "begin a sheet first"
        self._row += 1
        if self._row >= MAX_ROWS:
            raise ValueError(f"a sheet holds {MAX_ROWS:,} rows")
        for index, cell in enumerate(row):
            if self._numeric[index] and _is_exact(cell):
                self._sheet.write_number(self._row, index, float(cell))
            elif cell:
                self._sheet.write_string(self._row, index, cell)


def render_xlsx(content: Content, language: str, *, state: str) -> bytes:
    """The document's table on one sheet, and what it says about itself on another."""
    out = io.BytesIO()
    with Workbook(out) as book:
        book.sheet("Lines", COLUMNS)
        for row in table(content, language, state=state):
            book.write(row)
        book.sheet("Document", ("field", "value"), numeric=())
        for fact in _facts(content, state):
            book.write(fact)
    return out.getvalue()


def _facts(content: Content, state: str) -> Iterable[tuple[str, str]]:
    told: dict[str, Any] = {
        "number": content["number"], "kind": content["kind"], "state": state, "currency": content["currency"],
        "period_start": content["period"]["start"], "period_end": content["period"]["end"],
        "timezone": content["timezone"], "issued_on": content["issued_on"], "due_on": content["due_on"],
        "corrects": content["corrects"], "reason": content["reason"],
        **{f"seller_{name}": value for name, value in content["seller"].items()},
        **{f"buyer_{name}": value for name, value in content["buyer"].items()},
        "subtotal": content["subtotal"], "tax": content["tax"], "total": content["total"],
        "content_sha256": content.get("sha256"),
    }  # fmt: skip
    return ((name, "" if value is None else str(value)) for name, value in told.items())


def _is_exact(text: str) -> bool:
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    return NUMBER.fullmatch(text) is not None and len(digits) <= EXACT_DIGITS
