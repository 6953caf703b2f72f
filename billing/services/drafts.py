"""Saving drafts: new ones, and fresh ones in the place of those that were there; each table is written by one COPY.

An invoice run writes tens of thousands of rows at a time, and COPY takes them several times as fast as INSERT.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
from django.db import connection

from billing.assembly import seal_content
from billing.content import LineRow, instant
from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.states import InvoiceState

REWRITE = """
    UPDATE billing_invoice AS invoice
    SET version = fresh.version, subtotal = fresh.subtotal, tax = fresh.tax, total = fresh.total, taxes = fresh.taxes,
        seller = fresh.seller, buyer = fresh.buyer, language = fresh.language, uncharged = fresh.uncharged,
        content_schema = fresh.content_schema, lines_sha256 = fresh.lines_sha256,
        content_sha256 = fresh.content_sha256, refreshed_at = fresh.refreshed_at
    FROM json_to_recordset(%s::json) AS fresh (id bigint, version int, subtotal numeric, tax numeric, total numeric,
        taxes jsonb, seller jsonb, buyer jsonb, language text, uncharged jsonb, content_schema int, lines_sha256 text,
        content_sha256 text, refreshed_at timestamptz)
    WHERE invoice.id = fresh.id
"""
FRESH = (
    "version", "subtotal", "tax", "total", "taxes", "seller", "buyer", "language", "uncharged", "content_schema",
    "lines_sha256", "content_sha256", "refreshed_at",
)  # fmt: skip
INVOICE_COLUMNS = (
    "id", "public_id", "created_at", "tenant_id", "issuer_id", "kind", "state", "version", "currency", "period_start",
    "period_end", "timezone", "language", "subtotal", "tax", "total", "prepaid", "reason", "content_schema",
    "lines_sha256", "content_sha256", "refreshed_at", "grace_until", "payment_reference", "void_reason",
)  # fmt: skip
INVOICE_JSON = ("taxes", "seller", "buyer", "uncharged")
LINE_COLUMNS = (
    "public_id", "created_at", "invoice_id", "position", "kind", "rate_id", "description", "description_ja", "meter",
    "span_start", "span_end", "quantity", "unit", "unit_price", "per", "amount", "tax_rate",
)  # fmt: skip
ROWS_PER_WRITE = 1000
# What the text format of COPY wants marked.
AWKWARD = re.compile(r"[\\\t\n\r]")
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_json = msgspec.json.encode
_invoice_values, _line_values = attrgetter(*INVOICE_COLUMNS), attrgetter(*LINE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice with its lines and the seals that it bills, ready to be saved."""

    invoice: Invoice
    lines: Sequence[LineRow]
    seal_ids: Sequence[int]


def take_over(draft: Draft, before: Invoice, claimed: set[int]) -> bool:
    """Let a fresh draft take the place and the name of the one before; False when there is nothing to write.

    That is so when `before` is no draft any more, and when it bills the same seals (`claimed`) with the same words.
    """
    if before.state != InvoiceState.DRAFT:
        return False
    fresh = draft.invoice
    fresh.pk, fresh.public_id, fresh.created_at = before.pk, before.public_id, before.created_at
    fresh.version = before.version + 1
    seal_content(fresh, draft.lines)
    return fresh.content_sha256 != before.content_sha256 or claimed != set(draft.seal_ids)


def save_drafts(new: Sequence[Draft], rewritten: Sequence[Draft]) -> None:
    """Write new drafts and taken-over ones, with their lines and claims; inside the caller's transaction."""
    if rewritten:
        old = [draft.invoice for draft in rewritten]
        UsageClaim.objects.filter(invoice__in=old).delete()
        InvoiceLine.objects.filter(invoice__in=old).delete()
        rewrite(old)
    for draft, pk in zip(new, _keys(len(new)), strict=True):
        draft.invoice.pk = pk
    _copy("billing_invoice", [*INVOICE_COLUMNS, *INVOICE_JSON], (_invoice_text(draft.invoice) for draft in new))
    drafts = [*new, *rewritten]
    for draft in drafts:
        for line in draft.lines:
            line.invoice_id = draft.invoice.pk  # now that it has one
    copy_lines(line for draft in drafts for line in draft.lines)
    claims = (
        f"{draft.invoice.pk}\t{draft.invoice.tenant_id}\t{seal_id}\n" for draft in drafts for seal_id in draft.seal_ids
    )
    _copy("billing_usageclaim", ["invoice_id", "tenant_id", "seal_id"], claims)


def rewrite(drafts: Sequence[Invoice]) -> None:
    """Store the fresh figures of drafts that are there, all in one statement."""
    fresh = [{"id": draft.pk, **{name: getattr(draft, name) for name in FRESH}} for draft in drafts]
    with connection.cursor() as cursor:
        cursor.execute(REWRITE, [msgspec.json.encode(fresh).decode()])


def copy_lines(lines: Iterable[LineRow]) -> None:
    """Write new lines of drafts; they keep no key in memory."""
    _copy("billing_invoiceline", [*LINE_COLUMNS, "explanation"], map(_line_text, lines))


def _keys(count: int) -> list[int]:
    """Keys for new invoices, reserved in one statement: lines and claims name them before anything is written."""
    if not count:
        return []
    sequence = "SELECT nextval(pg_get_serial_sequence('billing_invoice', 'id')) FROM generate_series(1, %s)"
    with connection.cursor() as cursor:
        cursor.execute(sequence, [count])
        return [row[0] for row in cursor.fetchall()]


def _copy(table: str, columns: Sequence[str], rows: Iterable[str]) -> None:
    """One COPY of rows in its text format, a thousand rows at a time."""
    waiting = iter(rows)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        while chunk := "".join(islice(waiting, ROWS_PER_WRITE)):
            copy.write(chunk)


def _invoice_text(invoice: Invoice) -> str:
    values = [_text(value) for value in _invoice_values(invoice)]
    values += [_escaped(_json(getattr(invoice, name)).decode()) for name in INVOICE_JSON]
    return "\t".join(values) + "\n"


def _line_text(line: LineRow) -> str:
    values = [_text(value) for value in _line_values(line)]
    return "\t".join(values) + f"\t{_escaped(line.explained().decode())}\n"


def _text(value: Any) -> str:
    """A value as COPY reads it. Written out here because an adapter per value is what most of a row would cost."""
    if value is None:
        return "\\N"
    if type(value) is datetime:
        return instant(value)
    return _escaped(value) if type(value) is str else str(value)


def _escaped(text: str) -> str:
    return text.translate(ESCAPES) if AWKWARD.search(text) else text
