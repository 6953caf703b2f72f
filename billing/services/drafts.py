"""Saving drafts: new ones, and fresh ones in the place of those that were there."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.content import content_of, digest
from billing.models import Invoice, InvoiceLine, UsageClaim
from billing.states import InvoiceState
from metering.models import Seal

REWRITTEN = (
    "version", "subtotal", "tax", "total", "taxes", "seller", "buyer", "language", "uncharged", "content_sha256",
    "refreshed_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice with its lines and the seals that it bills, ready to be saved."""

    invoice: Invoice
    lines: Sequence[InvoiceLine]
    seals: Sequence[Seal]


def take_over(draft: Draft, before: Invoice) -> bool:
    """Let a fresh draft take the place and the name of the one before; False when there is nothing to write.

    That is so when `before` is no draft any more, and when it bills the same seals with the same words.
    """
    if before.state != InvoiceState.DRAFT:
        return False
    fresh = draft.invoice
    fresh.pk, fresh.public_id, fresh.created_at = before.pk, before.public_id, before.created_at
    fresh.version = before.version + 1
    fresh.content_sha256 = digest(content_of(fresh, draft.lines, corrects=""))
    claimed = set(before.claims.values_list("seal_id", flat=True))
    return fresh.content_sha256 != before.content_sha256 or claimed != {seal.pk for seal in draft.seals}


def save_drafts(new: Sequence[Draft], rewritten: Sequence[Draft]) -> None:
    """Write new drafts and taken-over ones, with their lines and claims; inside the caller's transaction."""
    old = [draft.invoice for draft in rewritten]
    UsageClaim.objects.filter(invoice__in=old).delete()
    InvoiceLine.objects.filter(invoice__in=old).delete()
    for invoice in old:
        invoice.save(update_fields=REWRITTEN)
    drafts = [*new, *rewritten]
    Invoice.objects.bulk_create(draft.invoice for draft in new)
    for draft in drafts:
        for line in draft.lines:
            line.invoice = draft.invoice  # now that it has a key
    InvoiceLine.objects.bulk_create(line for draft in drafts for line in draft.lines)
    UsageClaim.objects.bulk_create(
        UsageClaim(invoice=draft.invoice, tenant_id=draft.invoice.tenant_id, seal=seal)
        for draft in drafts
        for seal in draft.seals
    )
