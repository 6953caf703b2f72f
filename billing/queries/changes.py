"""What changed on an invoice or preview since the tenant's last one, line by line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.content import Line
from billing.models import Invoice, InvoiceLine
from billing.states import InvoiceKind, InvoiceState, LineKind


@dataclass(frozen=True, slots=True)
class LineChange:
    """One kind of charge on both; an amount of zero and no quantity where it is missing."""

    description: str
    kind: str
    unit: str
    quantity_before: Decimal
    quantity_after: Decimal
    amount_before: Decimal
    amount_after: Decimal

    @property
    def difference(self) -> Decimal:
        """What is asked for more."""
        return self.amount_after - self.amount_before


@dataclass(frozen=True, slots=True)
class Changes:
    """The invoice before, or None for a first one, and what is different, the biggest difference first."""

    before: Invoice | None
    lines: tuple[LineChange, ...]


def changes_since_last(*, tenant_id: int, period_start: datetime, currency: str, lines: Sequence[Line]) -> Changes:
    """Compare lines of a period with the tenant's last standing invoice before it; equal charges are left out."""
    earlier = Invoice.objects.filter(
        tenant_id=tenant_id, kind=InvoiceKind.INVOICE, currency=currency, period_start__lt=period_start
    ).exclude(state=InvoiceState.VOID)
    before = earlier.order_by("-period_start").first()
    old: Sequence[Line] = [] if before is None else list(InvoiceLine.objects.filter(invoice=before))
    was, now = _summed(old), _summed(lines)
    found = []
    for key in was | now:
        had, has = was.get(key), now.get(key)
        shown = has or had
        assert shown is not None  # the key is in one of the two
        change = LineChange(
            description=key[1],
            kind=key[0],
            unit=shown[0],
            quantity_before=had[1] if had else Decimal(0),
            quantity_after=has[1] if has else Decimal(0),
            amount_before=had[2] if had else Decimal(0),
            amount_after=has[2] if has else Decimal(0),
        )
        if change.difference or change.quantity_before != change.quantity_after:
            found.append(change)
    found.sort(key=lambda change: (-abs(change.difference), change.description))
    return Changes(before, tuple(found))


def _summed(lines: Sequence[Line]) -> dict[tuple[str, str], tuple[str, Decimal, Decimal]]:
    """Unit, quantity and amount by kind and description: a tier change makes two lines of one charge."""
    found: dict[tuple[str, str], tuple[str, Decimal, Decimal]] = {}
    for line in lines:
        if line.kind != LineKind.CREDIT:
            key = (str(line.kind), line.description)
            _, quantity, amount = found.get(key, ("", Decimal(0), Decimal(0)))
            found[key] = (line.unit, quantity + line.quantity, amount + line.amount)
    return found
