"""A draft says what is owed by what was agreed on when it was refreshed; one that misses something is not closed.

Otherwise the invoice would say one thing, and a note over late usage, which goes by what was agreed on when it was
closed, another.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from billing.models import Discount, Invoice, Issuer, TaxProfile
from billing.queries.issuers import taxes_of
from billing.rating.totals import STANDARD, Taxes
from core.errors import Conflict


class DraftOutdated(Conflict):
    """Something was agreed on after the draft was written, so it does not say what is owed."""

    code = "draft_outdated"
    title = "Draft out of date"


def refuse_outdated(drafts: Sequence[Invoice], profiles: Mapping[int, TaxProfile]) -> None:
    """Raises DraftOutdated for a draft that was refreshed before a discount or a tax that holds for it.

    Prices are never scheduled into what is drafted. The caller holds the tenants' rows, so nothing is agreed on between
    this look and the moment of closing.
    """
    oldest = min(draft.refreshed_at for draft in drafts)
    discounts = _discounts_since(drafts, oldest)
    taxes = _taxes(drafts, profiles)
    for draft in drafts:
        for made_at, name, start, end in discounts.get((draft.tenant_id, draft.currency), ()):
            if made_at > draft.refreshed_at and start < draft.period_end and (end is None or end > draft.period_start):
                _refuse(draft, f"the discount {name} was agreed on")
        if _is_taxed_otherwise(draft, taxes[draft.pk]):
            _refuse(draft, "its taxes changed")


def _refuse(draft: Invoice, why: str) -> None:
    raise DraftOutdated(
        f"Since the draft {draft.public_id} of {draft.tenant.name} was written, {why}.",
        hint="Refresh the draft, look at it again, then finalize it.",
    )


def _discounts_since(
    drafts: Sequence[Invoice], oldest: datetime
) -> dict[tuple[int, str], list[tuple[datetime, str, datetime, datetime | None]]]:
    rows = Discount.objects.filter(tenant__any_of=[draft.tenant_id for draft in drafts], created_at__gt=oldest)
    found: dict[tuple[int, str], list[tuple[datetime, str, datetime, datetime | None]]] = defaultdict(list)
    for row in rows.order_by("pk"):
        found[row.tenant_id, row.currency].append((row.created_at, row.name, row.effective.lower, row.effective.upper))
    return found


def _taxes(drafts: Sequence[Invoice], profiles: Mapping[int, TaxProfile]) -> dict[int, Taxes]:
    """By pk of the draft; drafts of a run are of one issuer and one period, so the rules are asked for once."""
    groups: dict[tuple[Issuer, datetime], list[Invoice]] = defaultdict(list)
    for draft in drafts:
        groups[draft.issuer, draft.period_end].append(draft)
    found: dict[int, Taxes] = {}
    for (issuer, end), group in groups.items():
        at = end - timedelta(microseconds=1)
        owed = taxes_of(issuer, [draft.tenant for draft in group], at, profiles=dict(profiles))
        found |= {draft.pk: owed[draft.tenant_id] for draft in group}
    return found


def _is_taxed_otherwise(draft: Invoice, taxes: Taxes) -> bool:
    if not draft.taxes:
        return STANDARD in taxes
    owed = {(terms.rate, terms.treatment, terms.note) for terms in taxes.values()}
    return any(
        (Decimal(tax["rate"]), tax.get("treatment", STANDARD), tax.get("note", "")) not in owed for tax in draft.taxes
    )
