"""An invoice beside another: the one of the period before, or what the engine would say now."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from billing.content import LineRow
from billing.models import Invoice, InvoiceLine
from billing.queries.previews import preview
from billing.queries.what_if import Otherwise, Rerated, what_if
from billing.states import InvoiceKind, LineKind
from core.periods import Period

Basis = Literal["previous", "now"]
Line = InvoiceLine | LineRow
# Not rated by the engine: a person put it there, or it pays.
NOT_RATED = (LineKind.ADJUSTMENT, LineKind.CREDIT)


@dataclass(frozen=True, slots=True)
class LineChange:
    """What one price came to before and after, over all spans; quantities are in the line's unit."""

    description: str
    kind: str
    meter: str
    unit: str
    quantity_before: Decimal
    quantity_after: Decimal
    before: Decimal
    after: Decimal

    @property
    def change(self) -> Decimal:
        """By how much it rose."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides, line by line, the largest change first; sums are without tax.

    `other` is the invoice of the period before, None for what the engine says now (`computed_at`).
    """

    basis: Basis
    invoice: Invoice
    other: Invoice | None
    computed_at: datetime | None
    lines: tuple[LineChange, ...]

    @property
    def before(self) -> Decimal:
        """The sum of the left side."""
        return sum((line.before for line in self.lines), Decimal(0))

    @property
    def after(self) -> Decimal:
        """The sum of the right side."""
        return sum((line.after for line in self.lines), Decimal(0))

    @property
    def change(self) -> Decimal:
        """By how much it rose."""
        return self.after - self.before

    @property
    def changed(self) -> list[LineChange]:
        """The lines that differ."""
        return [line for line in self.lines if line.change or line.quantity_before != line.quantity_after]


def previous_invoice(invoice: Invoice) -> Invoice | None:
    """The tenant's invoice of the period before, in the same currency; void ones do not count."""
    if invoice.kind != InvoiceKind.INVOICE:
        return None
    earlier = Invoice.objects.standing().filter(
        tenant=invoice.tenant_id, kind=InvoiceKind.INVOICE, currency=invoice.currency,
        period_end__lte=invoice.period_start,
    )  # fmt: skip
    return earlier.select_related("tenant", "issuer").order_by("-period_start").first()


def compare_with_previous(invoice: Invoice) -> Comparison | None:
    """What changed since the period before; None when there is none."""
    other = previous_invoice(invoice)
    if other is None:
        return None
    return Comparison("previous", invoice, other, None, _changes(other.lines.all(), invoice.lines.all()))


def compare_with_now(invoice: Invoice) -> Comparison | None:
    """What the engine would make of the same period with what is known now; None for notes.

    For a draft that is what a refresh would change, for a final invoice what a note would settle. What people put on
    an invoice is left out. Raises NoRateCard and NoIssuer.
    """
    if invoice.kind != InvoiceKind.INVOICE:
        return None
    seen = preview(invoice.tenant_id, Period(invoice.period_start, invoice.period_end))
    rated = [line for line in invoice.lines.all() if line.kind not in NOT_RATED]
    return Comparison("now", invoice, None, seen.computed_at, _changes(rated, seen.lines))


def compare_otherwise(invoice: Invoice, otherwise: Otherwise) -> tuple[Rerated, tuple[LineChange, ...]]:
    """A closed period re-rated under other terms, beside the same usage under its own; nothing is changed.

    Raises NotClosed, CurrencyDiffers and NoRateCard.
    """
    own, other = what_if(invoice.pk, Otherwise()), what_if(invoice.pk, otherwise)
    return other, _changes(own.lines, other.lines)


def _changes(before: Iterable[Line], after: Iterable[Line]) -> tuple[LineChange, ...]:
    sides = (_by_price(before), _by_price(after))
    found = []
    for key in {**sides[0], **sides[1]}:
        was, now = (side.get(key, []) for side in sides)
        [shown, *_more] = now or was
        found.append(
            LineChange(
                description=shown.description,
                kind=shown.kind,
                meter=shown.meter,
                unit=shown.unit,
                quantity_before=sum((line.quantity for line in was), Decimal(0)),
                quantity_after=sum((line.quantity for line in now), Decimal(0)),
                before=sum((line.amount for line in was), Decimal(0)),
                after=sum((line.amount for line in now), Decimal(0)),
            )
        )
    return tuple(sorted(found, key=lambda line: (-abs(line.change), line.description)))


def _by_price(lines: Iterable[Line]) -> dict[tuple[str, str], list[Line]]:
    """Lines by what is sold: the same rate of another card is the same, what has no rate goes by its words."""
    found: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        rate: Any = line.explanation.get("rate")
        found[line.kind, rate["key"] if rate else line.description].append(line)
    return found
