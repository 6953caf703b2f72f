"""Saving drafts: new ones, and fresh ones in the place of those that were there; each table is written by one COPY.

An invoice run writes tens of thousands of rows at a time, and COPY takes them several times as fast as INSERT.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
from django.db import connection

from billing.assembly import seal_content
from billing.content import LineRow, instant
from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.states import InvoiceState
from core.ids import new_ids

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
    "span_start", "span_end", "quantity", "unit", "unit_price", "per", "amount", "tax_rate", "explanation",
)  # fmt: skip
CLAIM_COLUMNS = ("invoice_id", "tenant_id", "seal_id")
ROWS_PER_WRITE = 1000
# What the text format of COPY wants marked.
AWKWARD = re.compile(r"[\\\t\n\r]")
ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))  # in this order
_json = msgspec.json.encode
_invoice_values = attrgetter(*INVOICE_COLUMNS)


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


def save_drafts(drafts: Iterable[Draft], *, at_most: int) -> list[Invoice]:
    """Write new drafts with their lines and claims, those without a line left out; inside the caller's transaction.

    Answers what was written. There are `at_most` so many. They are taken one by one while PostgreSQL writes the lines
    of those before, so making them must not ask the database for anything. Lines therefore come before their invoices,
    which the foreign key allows until the end of the transaction.
    """
    keys = iter(_new_keys(at_most))
    invoices: list[Invoice] = []
    claims: list[str] = []

    def lines() -> Iterator[LineRow]:
        for draft in drafts:
            if draft.lines:
                draft.invoice.pk = next(keys)
                invoices.append(draft.invoice)
                claims.extend(_claim_texts(draft))
                yield from _lines_of(draft)

    copy_lines(lines())
    _copy("billing_invoice", [*INVOICE_COLUMNS, *INVOICE_JSON], map(_invoice_text, invoices))
    _copy("billing_usageclaim", CLAIM_COLUMNS, claims)
    return invoices


def replace_drafts(drafts: Sequence[Draft]) -> None:
    """Write what `take_over` took over in the place of what was there; inside the caller's transaction."""
    if drafts:
        keys = [draft.invoice.pk for draft in drafts]
        UsageClaim.objects.filter(invoice__any_of=keys).delete()
        InvoiceLine.objects.filter(invoice__any_of=keys).delete()
        rewrite([draft.invoice for draft in drafts])
        copy_lines(line for draft in drafts for line in _lines_of(draft))
        _copy("billing_usageclaim", CLAIM_COLUMNS, (text for draft in drafts for text in _claim_texts(draft)))


def _lines_of(draft: Draft) -> Iterator[LineRow]:
    for line in draft.lines:
        line.invoice_id = draft.invoice.pk  # now that it has one
        yield line


def _claim_texts(draft: Draft) -> Iterator[str]:
    for seal_id in draft.seal_ids:
        yield f"{draft.invoice.pk}\t{draft.invoice.tenant_id}\t{seal_id}\n"


def rewrite(drafts: Sequence[Invoice]) -> None:
    """Store the fresh figures of drafts that are there, all in one statement."""
    fresh = [{"id": draft.pk, **{name: getattr(draft, name) for name in FRESH}} for draft in drafts]
    with connection.cursor() as cursor:
        cursor.execute(REWRITE, [msgspec.json.encode(fresh).decode()])


def copy_lines(lines: Iterable[LineRow]) -> None:
    """Write new lines of drafts; they get their public ids, and keep no key in memory."""
    _copy("billing_invoiceline", LINE_COLUMNS, _line_texts(lines))


def _new_keys(count: int) -> list[int]:
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


def _line_texts(lines: Iterable[LineRow]) -> Iterator[str]:
    waiting = iter(lines)
    while some := list(islice(waiting, ROWS_PER_WRITE)):
        for line, ref in zip(some, new_ids(InvoiceLine.PREFIX, len(some)), strict=True):
            line.public_id = ref
            yield _line_text(line)


def _line_text(line: LineRow) -> str:
    """The values of LINE_COLUMNS, each written out: sixteen of them for every line is what a run spends its time on."""
    rate = "\\N" if line.rate_id is None else line.rate_id
    unit_price = "\\N" if line.unit_price is None else line.unit_price
    return (
        f"{line.public_id}\t{instant(line.created_at)}\t{line.invoice_id}\t{line.position}\t{line.kind}\t{rate}\t"
        f"{_known(line.description)}\t{_known(line.description_ja)}\t{_known(line.meter)}\t"
        f"{instant(line.span_start)}\t{instant(line.span_end)}\t{line.quantity}\t{_known(line.unit)}\t{unit_price}\t"
        f"{line.per}\t{line.amount}\t{line.tax_rate}\t{_escaped(line.explained().decode())}\n"
    )


def _text(value: Any) -> str:
    """A value as COPY reads it. Written out here because an adapter per value is what most of a row would cost."""
    if value is None:
        return "\\N"
    if type(value) is datetime:
        return instant(value)
    return _escaped(value) if type(value) is str else str(value)


def _escaped(text: str) -> str:
    if AWKWARD.search(text):
        for awkward, escaped in ESCAPES:
            text = text.replace(awkward, escaped)
    return text


# Names and units, of which a run has a few.
_known = lru_cache(maxsize=4096)(_escaped)
