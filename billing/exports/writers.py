"""Rows into a file, one at a time: memory does not grow with their number."""

import csv
import io
import json
from collections.abc import Collection, Sequence
from typing import IO, Protocol

from billing.documents.csv_file import BYTE_ORDER_MARK, safe_cell
from billing.documents.workbook import Workbook

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "jsonl": "application/x-ndjson",
}


class Writer(Protocol):
    """Takes rows of text in the order of the columns it was made with."""

    def write(self, row: Sequence[str]) -> None:
        """The next row."""

    def close(self) -> None:
        """Finish the file; the target stays open."""


class CsvWriter:
    """UTF-8, CRLF, no cell that a spreadsheet would run."""

    def __init__(self, target: IO[bytes], columns: Sequence[str], *, has_mark: bool) -> None:
        self._text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=False)
        if has_mark:
            self._text.write(BYTE_ORDER_MARK)
        self._csv = csv.writer(self._text, lineterminator="\r\n")
        self._csv.writerow(columns)

    def write(self, row: Sequence[str]) -> None:
        """See Writer.write."""
        self._csv.writerow([safe_cell(cell) for cell in row])

    def close(self) -> None:
        """See Writer.close."""
        self._text.flush()
        self._text.detach()


class JsonLinesWriter:
    """One object per line; an empty cell is null, and numbers stay text so that no digit is lost."""

    def __init__(self, target: IO[bytes], columns: Sequence[str]) -> None:
        self._target = target
        self._columns = columns

    def write(self, row: Sequence[str]) -> None:
        """See Writer.write."""
        said = {column: cell or None for column, cell in zip(self._columns, row, strict=True)}
        self._target.write(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """See Writer.close."""


class XlsxWriter:
    """One sheet of a workbook. Raises ValueError for more rows than a sheet holds."""

    def __init__(self, target: IO[bytes], columns: Sequence[str], numeric: Collection[str]) -> None:
        self._book = Workbook(target, is_long=True)
        self._book.sheet("Export", columns, numeric=numeric)

    def write(self, row: Sequence[str]) -> None:
        """See Writer.write."""
        self._book.write(row)

    def close(self) -> None:
        """See Writer.close."""
        self._book.close()


def open_writer(format: str, target: IO[bytes], columns: Sequence[str], *, numeric: Collection[str]) -> Writer:
    """The writer of a format. A dataset without numeric columns is for machines, whose CSV has no mark."""
    match format:
        case "csv":
            return CsvWriter(target, columns, has_mark=bool(numeric))
        case "jsonl":
            return JsonLinesWriter(target, columns)
        case "xlsx":
            return XlsxWriter(target, columns, numeric)
    raise ValueError(f"no such format: {format}")
