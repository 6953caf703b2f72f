"""What can be exported, as pages of rows with what they add up to.

Rows of documents are signed: what a credit note gives back is negative, so a column can be added up. Documents that
are closed cannot change, so pages that are read one after the other say what one look would have said.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from django.db.models import Max, Prefetch, QuerySet

from billing.content import content_of, instant, money_text, plain
from billing.focus import mapping
from billing.focus.validator import Checker
from billing.models import Invoice, InvoiceLine
from billing.queries.invoices import list_invoices
from billing.states import IN_FORCE, InvoiceKind, LineKind
from core.errors import Conflict
from core.periods import month_containing
from events.models import Event
from events.queries import search_events
from metering.queries import usage_by_day
from tenants.models import Tenant

INVOICES_PER_PAGE = 200
EVENTS_PER_PAGE = 1000
TENANTS_PER_PAGE = 50


class ExportFails(Conflict):
    """The file would not be right, so it is not made."""

    code = "export_failed"
    title = "Export failed"


@dataclass(frozen=True, slots=True)
class Scope:
    """Over what: tenants (None for all), a half-open period, and states of documents."""

    tenant_ids: Collection[int] | None
    start: datetime
    end: datetime
    states: Sequence[str] = IN_FORCE


@dataclass(slots=True)
class Rows:
    """A page: its rows, how many subjects (documents, tenants, events) they are about, and what they add up to.

    `sums` are by group (a currency, a meter) and name; `due` is what the documents themselves say, to compare.
    """

    rows: list[list[str]] = field(default_factory=list)
    subjects: int = 0
    sums: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    due: dict[str, Decimal] = field(default_factory=dict)

    def add(self, group: str, **amounts: Decimal | int) -> None:
        """Count amounts in."""
        found = self.sums.setdefault(group, {})
        for name, amount in amounts.items():
            found[name] = found.get(name, Decimal(0)) + amount


class Dataset(Protocol):
    """Something that can be exported."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of a row's cells."""

    @property
    def numeric(self) -> Collection[str]:
        """Those of them that a spreadsheet should take as numbers; none for a file that only machines read."""

    def count(self, scope: Scope) -> int:
        """How many subjects there are, for the progress bar."""

    def pages(self, scope: Scope) -> Iterator[Rows]:
        """The rows, in order, a page at a time."""

    def finish(self) -> None:
        """Called after the last row. Raises ExportFails when the whole is not right."""


class _Documents:
    """Invoices and notes whose period begins in the scope, in the order in which they were made."""

    columns: Sequence[str] = ()
    numeric: Collection[str] = ()

    def count(self, scope: Scope) -> int:
        """How many documents."""
        return self._found(scope).count()

    def pages(self, scope: Scope) -> Iterator[Rows]:
        """The rows of 200 documents at a time; what is made while this runs is left out."""
        found = self._found(scope)
        newest = found.aggregate(newest=Max("pk"))["newest"] or 0
        lines = Prefetch("lines", InvoiceLine.objects.select_related("corrects_line").order_by("position"))
        after = 0
        while invoices := list(
            found.filter(pk__gt=after, pk__lte=newest).order_by("pk").prefetch_related(lines)[:INVOICES_PER_PAGE]
        ):
            page = Rows(subjects=len(invoices))
            for invoice in invoices:
                self._add(page, invoice)
                due = page.due.get(invoice.currency, Decimal(0))
                page.due[invoice.currency] = due + sign(invoice) * invoice.total
            yield page
            after = invoices[-1].pk

    def finish(self) -> None:
        """Nothing to say about the whole."""

    def _found(self, scope: Scope) -> QuerySet[Invoice]:
        found = list_invoices(tenant_ids=scope.tenant_ids, period_from=scope.start, period_until=scope.end)
        return found.filter(state__in=scope.states)

    def _add(self, page: Rows, invoice: Invoice) -> None:
        raise NotImplementedError


class Invoices(_Documents):
    """One row per document."""

    columns = (
        "id", "number", "kind", "state", "tenant", "tenant_name", "external_id", "currency", "period_start",
        "period_end", "timezone", "issued_on", "due_on", "subtotal", "tax", "total", "prepaid", "amount_due",
        "corrects", "reason", "content_sha256",
    )  # fmt: skip
    numeric = frozenset({"subtotal", "tax", "total", "prepaid", "amount_due"})

    def _add(self, page: Rows, invoice: Invoice) -> None:
        way, currency = sign(invoice), invoice.currency
        named = (invoice.subtotal, invoice.tax, invoice.total, invoice.prepaid, invoice.amount_due)
        amounts = [way * amount for amount in named]
        page.rows.append(
            [
                *_head(invoice), instant(invoice.period_start), instant(invoice.period_end), invoice.timezone,
                str(invoice.issued_on or ""), str(invoice.due_on or ""),
                *(money_text(amount, currency) for amount in amounts),
                str(invoice.corrects or ""), invoice.reason, invoice.content_sha256,
            ]
        )  # fmt: skip
        subtotal, tax, total, *_rest = amounts
        page.add(currency, documents=1, subtotal=subtotal, tax=tax, total=total)


class InvoiceLines(_Documents):
    """One row per line and one per tax; but for prepaid credit, a document's rows add up to its total."""

    columns = (
        "id", "number", "kind", "state", "tenant", "tenant_name", "external_id", "currency", "line", "position",
        "line_kind", "description", "meter", "period_start", "period_end", "quantity", "unit", "unit_price", "per",
        "amount", "tax_rate", "corrects", "corrects_line",
    )  # fmt: skip
    numeric = frozenset({"position", "quantity", "unit_price", "per", "amount", "tax_rate"})

    def _add(self, page: Rows, invoice: Invoice) -> None:
        head, way, currency = _head(invoice), sign(invoice), invoice.currency
        corrects = str(invoice.corrects or "")
        for line in invoice.lines.all():
            amount = way * line.amount
            page.rows.append(
                [
                    *head, line.public_id, str(line.position), line.kind, line.description, line.meter,
                    instant(line.span_start), instant(line.span_end), plain(line.quantity), line.unit,
                    "" if line.unit_price is None else plain(line.unit_price), str(line.per),
                    money_text(amount, currency), plain(line.tax_rate), corrects,
                    line.corrects_line.public_id if line.corrects_line else "",
                ]
            )  # fmt: skip
            if line.kind != LineKind.CREDIT:
                page.add(currency, subtotal=amount, total=amount)
        span = [instant(invoice.period_start), instant(invoice.period_end)]
        for tax in invoice.taxes:
            amount = way * Decimal(tax["amount"])
            text = money_text(amount, currency)
            what = ["", "", "tax", tax["name"], "", *span, "", "", "", "", text, tax["rate"], corrects, ""]
            page.rows.append([*head, *what])
            page.add(currency, tax=amount, total=amount)
        page.add(currency, documents=1)


class Focus(_Documents):
    """Charges as FOCUS 1.2, every row held against the specification's rules."""

    columns = mapping.COLUMNS
    numeric = frozenset()

    def __init__(self) -> None:
        self._checker = Checker(self.columns)

    def _add(self, page: Rows, invoice: Invoice) -> None:
        content = content_of(invoice, list(invoice.lines.all()), corrects=str(invoice.corrects or ""))
        for row in mapping.focus_rows(content, tags=invoice.tenant.tags):
            self._checker.add(row)
            page.rows.append([row[column] for column in self.columns])
            page.add(invoice.currency, total=Decimal(row["BilledCost"]))
        page.add(invoice.currency, documents=1)

    def finish(self) -> None:
        """Raises ExportFails when a rule that must hold does not."""
        broken = [breach for breach in self._checker.finish() if breach.rule.is_required]
        if broken:
            raise ExportFails(f"The rows would break FOCUS 1.2: {broken[0]}")


class Usage:
    """One row per tenant, day of its billing zone, meter, serving line and adapter version."""

    columns = (
        "tenant",
        "tenant_name",
        "external_id",
        "timezone",
        "day",
        "meter",
        "line",
        "adapter_version",
        "quantity",
    )
    numeric = frozenset({"quantity"})

    def count(self, scope: Scope) -> int:
        """How many tenants."""
        return Tenant.objects.visible_to(scope.tenant_ids).count()

    def pages(self, scope: Scope) -> Iterator[Rows]:
        """Fifty tenants and a month at a time."""
        after = 0
        tenants = Tenant.objects.visible_to(scope.tenant_ids).order_by("pk")
        while found := list(tenants.filter(pk__gt=after)[:TENANTS_PER_PAGE]):
            after = found[-1].pk
            for timezone in sorted({tenant.billing_timezone for tenant in found}):
                yield from self._zone(scope, timezone, [t for t in found if t.billing_timezone == timezone])
            yield Rows(subjects=len(found))

    def finish(self) -> None:
        """Nothing to say about the whole."""

    def _zone(self, scope: Scope, timezone: str, tenants: list[Tenant]) -> Iterator[Rows]:
        by_pk = {tenant.pk: tenant for tenant in tenants}
        start = scope.start
        while start < scope.end:
            end = min(month_containing(start, timezone).end, scope.end)
            page = Rows()
            for day in usage_by_day(tenant_ids=list(by_pk), start=start, end=end, timezone=timezone):
                tenant = by_pk[day.tenant_id]
                who = [tenant.public_id, tenant.name, tenant.external_id or "", timezone]
                what = [day.day.isoformat(), day.meter, day.line, day.adapter_version, str(day.quantity)]
                page.rows.append([*who, *what])
                page.add(day.meter, quantity=day.quantity)
            yield page
            start = end


class Events:
    """One row per event of the audit trail, the oldest first."""

    columns = (
        "id", "name", "occurred_at", "tenant", "subject", "actor_kind", "actor", "actor_name", "request_id", "reason",
        "before", "after", "data",
    )  # fmt: skip
    numeric: Collection[str] = ()

    def count(self, scope: Scope) -> int:
        """How many events."""
        return self._found(scope).count()

    def pages(self, scope: Scope) -> Iterator[Rows]:
        """A thousand at a time; what happens while this runs is left out."""
        found = self._found(scope)
        newest = found.aggregate(newest=Max("pk"))["newest"] or 0
        after = 0
        while events := list(found.filter(pk__gt=after, pk__lte=newest).order_by("pk")[:EVENTS_PER_PAGE]):
            after = events[-1].pk
            page = Rows(rows=[self._row(event) for event in events], subjects=len(events))
            page.add("events", rows=len(events))
            yield page

    def finish(self) -> None:
        """Nothing to say about the whole."""

    def _found(self, scope: Scope) -> QuerySet[Event]:
        found = search_events(tenant_ids=scope.tenant_ids)
        return found.filter(created_at__gte=scope.start, created_at__lt=scope.end)

    def _row(self, event: Event) -> list[str]:
        who = [event.actor_kind, event.actor_ref, event.actor_name]
        said = ["" if told is None else _json(told) for told in (event.before, event.after, event.data)]
        at = instant(event.created_at)
        what = [event.public_id, event.name, at, event.tenant_ref, event.subject_ref]
        return [*what, *who, event.request_id, event.reason, *said]


DATASETS: dict[str, type[Dataset]] = {
    "invoices": Invoices,
    "invoice-lines": InvoiceLines,
    "focus-1.2": Focus,
    "usage": Usage,
    "events": Events,
}


def sign(invoice: Invoice) -> int:
    """-1 for what is given back."""
    return -1 if invoice.kind == InvoiceKind.CREDIT_NOTE else 1


def _head(invoice: Invoice) -> list[str]:
    tenant = invoice.tenant
    who = [tenant.public_id, tenant.name, tenant.external_id or "", invoice.currency]
    return [invoice.public_id, invoice.number or "", invoice.kind, invoice.state, *who]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
