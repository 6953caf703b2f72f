"""Closing drafts: numbers, dates and the hash of the content, in one UPDATE for the whole set."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from django.db import connection

from billing.content import NEWEST_SCHEMA, content_of, digest_of_head
from billing.models import Invoice, InvoiceLine
from billing.services.numbers import take_numbers
from billing.states import InvoiceKind, InvoiceState
from core import clock
from core.states import StaleState

CLOSE = """
    UPDATE billing_invoice AS invoice
    SET state = 'finalized', version = version + 1, number = closed.number, finalized_at = %s, due_on = closed.due_on,
        seller = closed.seller, buyer = closed.buyer, prepaid = closed.prepaid, content_schema = closed.content_schema,
        lines_sha256 = closed.lines_sha256,
        content_sha256 = closed.content_sha256, grace_until = NULL
    FROM json_to_recordset(%s::json) AS closed (id bigint, number text, due_on date, seller jsonb, buyer jsonb,
        prepaid numeric, content_schema int, lines_sha256 text, content_sha256 text)
    WHERE invoice.id = closed.id AND invoice.state = 'draft'
"""
CLOSED = ("number", "due_on", "seller", "buyer", "prepaid", "content_schema", "lines_sha256", "content_sha256")


def close(
    drafts: Sequence[Invoice], drawn: Mapping[int, Sequence[InvoiceLine]], *, corrects: Mapping[int, str]
) -> None:
    """Finalize locked drafts with their final `seller`, `buyer` and `prepaid`; inside the caller's transaction.

    `drawn` holds the lines of prepaid credit by pk, `corrects`, by pk of a note, the number of what it corrects; the
    other lines are those that `lines_sha256` was made of. Numbers are taken as one block per issuer, kind
    and year, in the order of the drafts. Raises StaleState when a row is no draft any more.
    """
    now = clock.now()
    blocks: dict[tuple[int, str, int], list[Invoice]] = defaultdict(list)
    for draft in drafts:
        draft.finalized_at = now
        issued_on = draft.issued_on
        assert issued_on is not None  # it follows from finalized_at
        if draft.kind != InvoiceKind.CREDIT_NOTE:  # nobody owes us a credit
            draft.due_on = issued_on + timedelta(days=draft.issuer.payment_days)
        blocks[draft.issuer_id, draft.kind, issued_on.year].append(draft)
    for (_, kind, year), block in sorted(blocks.items(), key=lambda item: item[0]):
        numbers = take_numbers(issuer=block[0].issuer, kind=kind, year=year, count=len(block))
        for draft, number in zip(block, numbers, strict=True):
            draft.number, draft.content_schema = number, NEWEST_SCHEMA
            head = content_of(draft, drawn.get(draft.pk, ()), corrects=corrects.get(draft.pk, ""))
            draft.content_sha256 = digest_of_head(head, lines_sha256=draft.lines_sha256)
    _write(drafts, now)
    for draft in drafts:
        draft.state, draft.version, draft.grace_until = InvoiceState.FINALIZED, draft.version + 1, None


def _write(drafts: Sequence[Invoice], now: datetime) -> None:
    closed = [{"id": draft.pk, **{name: getattr(draft, name) for name in CLOSED}} for draft in drafts]
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, [now, msgspec.json.encode(closed).decode()])
        if cursor.rowcount != len(drafts):
            raise StaleState("A draft changed while it was being finalized.", hint="Read it again, then decide.")
