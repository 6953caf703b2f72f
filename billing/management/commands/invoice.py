"""`manage.py invoice VERB`: the verbs of the API for a terminal, with --json for programs."""

import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import queries
from billing.content import content_of
from billing.documents.layout import LANGUAGES
from billing.models import Invoice
from billing.services import closing, documents, invoicing, late_usage
from core.actors import SYSTEM
from core.errors import DomainError
from core.periods import Period, billing_month
from tenants.queries import get_tenant, list_tenants


class Command(BaseCommand):
    """Every verb is safe to repeat."""

    help = "Preview, draft and finalize invoices, or close every period that is due."

    def add_arguments(self, parser: CommandParser) -> None:
        """One sub-command per verb; --json on each."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        preview = verbs.add_parser("preview", help="what a month would cost with what is known now; nothing is saved")
        preview.add_argument("tenant", help="id, slug or ext:ID")
        preview.add_argument("--month", type=_month, help="YYYY-MM in the tenant's zone; the current month by default")
        draft = verbs.add_parser("draft", help="seal a month and draft it")
        draft.add_argument("tenant", nargs="*", help="ids, slugs or ext:ID; every tenant by default")
        draft.add_argument("--month", type=_month, required=True, help="YYYY-MM in each tenant's zone")
        finalize = verbs.add_parser("finalize", help="give drafts their numbers and close them")
        finalize.add_argument("invoice", nargs="*", help="ids of drafts; every draft by default")
        late = verbs.add_parser("late", help="write a note over usage that became known after an invoice was closed")
        late.add_argument("invoice", nargs="+", help="ids or numbers")
        close = verbs.add_parser("close", help="draft months that are over, finalize drafts whose grace has passed")
        render = verbs.add_parser("render", help="write an invoice to a file")
        render.add_argument("invoice", help="id or number")
        render.add_argument("--format", choices=sorted(documents.RENDERERS), default="pdf")
        render.add_argument("--language", choices=LANGUAGES)
        render.add_argument("--output", required=True, help="the file to write")
        for verb in (preview, draft, finalize, late, close, render):
            verb.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the verb; a refusal is printed with its hint and ends with exit code 1."""
        try:
            answer = getattr(self, f"_{options['verb']}")(options)
        except DomainError as refusal:
            raise CommandError(f"{refusal.detail} {refusal.hint}".strip()) from refusal
        self.stdout.write(json.dumps(answer, ensure_ascii=False) if options["json"] else _plain(answer))

    def _preview(self, options: dict[str, Any]) -> dict[str, Any]:
        tenant = get_tenant(options["tenant"], tenant_ids=None)
        period = _period(options["month"], tenant.billing_timezone) if options["month"] else None
        seen = queries.preview(tenant.pk, period)
        return {"preview": content_of(seen.invoice, seen.lines, corrects="")}

    def _draft(self, options: dict[str, Any]) -> dict[str, Any]:
        refs = options["tenant"]
        tenants = [get_tenant(ref, tenant_ids=None) for ref in refs] or list(list_tenants(tenant_ids=None))
        months: dict[Period, list[int]] = {}
        for tenant in tenants:
            month = _period(options["month"], tenant.billing_timezone)
            months.setdefault(queries.period_to_draft(tenant, month), []).append(tenant.pk)
        drafts = [
            invoice
            for period, ids in sorted(months.items())
            for invoice in invoicing.draft_invoices(tenant_ids=ids, period=period, actor=SYSTEM)
        ]
        return {"invoices": [_row(invoice) for invoice in drafts]}

    def _finalize(self, options: dict[str, Any]) -> dict[str, Any]:
        refs = options["invoice"]
        drafts = [queries.get_invoice(ref, tenant_ids=None) for ref in refs] or list(
            queries.list_invoices(tenant_ids=None, state="draft")
        )
        done = invoicing.finalize_invoices(invoice_ids=[draft.pk for draft in drafts], actor=SYSTEM)
        return {"invoices": [_row(invoice) for invoice in done]}

    def _late(self, options: dict[str, Any]) -> dict[str, Any]:
        invoices = [queries.get_invoice(ref, tenant_ids=None) for ref in options["invoice"]]
        notes = [late_usage.correct_late_usage(invoice_id=invoice.pk, actor=SYSTEM) for invoice in invoices]
        return {"invoices": [_row(note) for note in notes if note is not None]}

    def _close(self, options: dict[str, Any]) -> dict[str, Any]:
        report = closing.close_due_periods()
        return {
            "drafted": [_row(invoice) for invoice in report.drafted],
            "finalized": [_row(invoice) for invoice in report.finalized],
            "waiting": [
                {
                    "tenant": wait.tenant,
                    "period_start": wait.period.start.isoformat(),
                    "code": wait.code,
                    "why": wait.detail,
                }
                for wait in report.waiting
            ],
        }

    def _render(self, options: dict[str, Any]) -> dict[str, Any]:
        invoice = queries.get_invoice(options["invoice"], tenant_ids=None)
        made = documents.render(invoice_id=invoice.pk, format=options["format"], language=options["language"])
        with open(options["output"], "wb") as file:
            file.write(made.body)
        return {"file": options["output"], "bytes": len(made.body), "sha256": made.sha256}


def _month(text: str) -> tuple[int, int]:
    year, _, month = text.partition("-")
    if not (year.isdigit() and len(year) == 4 and month.isdigit() and 1 <= int(month) <= 12):
        raise ArgumentTypeError(f"{text!r} is not a month such as 2026-11")
    return int(year), int(month)


def _period(month: tuple[int, int], timezone: str) -> Period:
    return billing_month(month[0], month[1], timezone)


def _row(invoice: Invoice) -> dict[str, Any]:
    content = content_of(invoice, list(invoice.lines.order_by("position")), corrects="")
    return {
        "id": invoice.public_id,
        "tenant": invoice.tenant.public_id,
        "kind": invoice.kind,
        "state": invoice.state,
        "number": invoice.number,
        "currency": invoice.currency,
        "total": content["total"],
        "lines": len(content["lines"]),
    }


def _plain(answer: dict[str, Any]) -> str:
    """The same answer for eyes: one line per row."""
    lines = []
    for name, rows in answer.items():
        if isinstance(rows, list):
            lines += [f"{name}: {len(rows)}", *("  " + "  ".join(str(value) for value in row.values()) for row in rows)]
        elif isinstance(rows, dict):
            lines += [f"{name} of {rows['buyer']['name']}: {rows['total']} {rows['currency']}"]
            lines += [
                f"  {line['description']}  {line['quantity']} {line['unit']}  {line['amount']}"
                for line in rows["lines"]
            ]
        else:
            lines.append(f"{name}: {rows}")
    return "\n".join(lines)
