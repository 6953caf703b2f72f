"""Saving drafts: new ones, and fresh ones in the place of those that were there; each table is written by one COPY.

An invoice run writes tens of thousands of rows at a time, and COPY takes them several times as fast as INSERT.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
from django.db import connection

from billing.assembly import seal_content
from billing.content import LineRow, content_of
from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.states import InvoiceState

REWRITE = """
    UPDATE billing_invoice AS invoice
    SET version = fresh.version, subtotal = fresh.subtotal, tax = fresh.tax, total = fresh.total, taxes = fresh.taxes,
        seller = fresh.seller, buyer = fresh.buyer, language = fresh.language, uncharged = fresh.uncharged,
        content_schema = fresh.content_schema, lines_sha256 = fresh.lines_sha256,
        content_sha256 = fresh.content_sha256, refreshed_at = fresh.refreshed_at
    FROM unnest(%s::bigint[], %s::int[], %s::numeric[], %s::numeric[], %s::numeric[], %s::jsonb[], %s::jsonb[],
                %s::jsonb[], %s::text[], %s::jsonb[], %s::int[], %s::text[], %s::text[], %s::timestamptz[])
        AS fresh (id, version, subtotal, tax, total, taxes, seller, buyer, language, uncharged, content_schema,
                  lines_sha256, content_sha256, refreshed_at)
    WHERE invoice.id = fresh.id
"""
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
LINE_JSON = ("explanation",)


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
    seal_content(fresh, content_of(fresh, draft.lines, corrects=""))
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
    _copy("billing_invoice", INVOICE_COLUMNS, INVOICE_JSON, [draft.invoice for draft in new])
    drafts = [*new, *rewritten]
    for draft in drafts:
        for line in draft.lines:
            line.invoice_id = draft.invoice.pk  # now that it has one
    copy_lines(line for draft in drafts for line in draft.lines)
    statement = "COPY billing_usageclaim (invoice_id, tenant_id, seal_id) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for draft in drafts:
            for seal_id in draft.seal_ids:
                copy.write_row((draft.invoice.pk, draft.invoice.tenant_id, seal_id))


def rewrite(drafts: Sequence[Invoice]) -> None:
    """Store the fresh figures of drafts that are there, all in one statement."""
    plain = ("pk", "version", "subtotal", "tax", "total")
    columns: list[list[Any]] = [[getattr(draft, name) for draft in drafts] for name in plain]
    columns += [[json.dumps(getattr(draft, name)) for draft in drafts] for name in ("taxes", "seller", "buyer")]
    columns.append([draft.language for draft in drafts])
    columns.append([json.dumps(draft.uncharged) for draft in drafts])
    last = ("content_schema", "lines_sha256", "content_sha256", "refreshed_at")
    columns += [[getattr(draft, name) for draft in drafts] for name in last]
    with connection.cursor() as cursor:
        cursor.execute(REWRITE, columns)


def copy_lines(lines: Iterable[LineRow]) -> None:
    """Write new lines of drafts; they keep no key in memory."""
    _copy("billing_invoiceline", LINE_COLUMNS, LINE_JSON, lines)


def _keys(count: int) -> list[int]:
    """Keys for new invoices, reserved in one statement: lines and claims name them before anything is written."""
    if not count:
        return []
    sequence = "SELECT nextval(pg_get_serial_sequence('billing_invoice', 'id')) FROM generate_series(1, %s)"
    with connection.cursor() as cursor:
        cursor.execute(sequence, [count])
        return [row[0] for row in cursor.fetchall()]


def _copy(table: str, columns: Sequence[str], documents: Sequence[str], rows: Iterable[Any]) -> None:
    """One COPY of model instances; `documents` are columns of JSON."""
    statement = f"COPY {table} ({', '.join([*columns, *documents])}) FROM STDIN"
    plain, encode = attrgetter(*columns), msgspec.json.encode
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row((*plain(row), *(encode(getattr(row, name)).decode() for name in documents)))
