"""What served when, as files: CSV and JSON, written piece by piece as the stretches come. Pure but for their rows."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from models_registry.queries.serving import Stretch

COLUMNS = (
    "tenant",
    "tenant_slug",
    "adapter",
    "adapter_name",
    "served_from",
    "served_until",
    "version",
    "version_number",
    "gap",
    "release",
    "release_kind",
    "requested_by",
    "reason",
    "percent",
    "canary_version",
    "canary_version_number",
    "canary_percent",
    "canary_release",
)
MEDIA_TYPES = {"csv": "text/csv", "json": "application/json"}
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
PIECE_ROWS = 200


def pieces_of(stretches: Iterable[Stretch], file_format: str) -> Iterator[str]:
    """The file in pieces; `file_format` is a key of MEDIA_TYPES."""
    return _csv(stretches) if file_format == "csv" else _json(stretches)


def row_of(stretch: Stretch) -> dict[str, str | int | None]:
    """One stretch by COLUMNS; times are RFC 3339 in UTC, None for what there is not."""
    adapter, release, beside = stretch.adapter, stretch.release, stretch.beside
    return {
        "tenant": adapter.tenant.public_id,
        "tenant_slug": adapter.tenant.slug,
        "adapter": adapter.public_id,
        "adapter_name": adapter.name,
        "served_from": _instant(stretch.since),
        "served_until": _instant(stretch.until),
        "version": stretch.version.public_id if stretch.version else None,
        "version_number": stretch.version.number if stretch.version else None,
        "gap": stretch.gap or None,
        "release": release.public_id if release else None,
        "release_kind": release.kind if release else None,
        "requested_by": release.requested_by if release else None,
        "reason": release.reason if release else None,
        "percent": stretch.percent,
        "canary_version": beside.version.public_id if beside else None,
        "canary_version_number": beside.version.number if beside else None,
        "canary_percent": beside.percent if beside else None,
        "canary_release": beside.release.public_id if beside else None,
    }


def _csv(stretches: Iterable[Stretch]) -> Iterator[str]:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for number, stretch in enumerate(stretches, start=1):
        writer.writerow({name: _cell(value) for name, value in row_of(stretch).items()})
        if number % PIECE_ROWS == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _json(stretches: Iterable[Stretch]) -> Iterator[str]:
    before = '{"data":['
    for stretch in stretches:
        yield before + json.dumps(row_of(stretch), ensure_ascii=False)
        before = ","
    yield ("" if before == "," else before) + "]}"


def _cell(value: str | int | None) -> str | int:
    """A text that a spreadsheet would take for a formula is led by an apostrophe."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) else value


def _instant(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None
