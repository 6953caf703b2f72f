"""/invoices: from drafting to payment, for billing systems."""

import re
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.billing_fields import ExplanationOut, InvoiceDetailOut, InvoiceOut, LineOut
from api.bodies import Body, DryRunQuery, PageQuery, Query, Text
from api.doors import door_of
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from api.tenants import ReasonIn
from billing import queries
from billing.content import content_of
from billing.services import credits, invoicing
from billing.states import InvoiceKind, InvoiceState
from core.periods import Period, billing_month
from tenants.queries import get_tenant

MONTH = r"^20\d\d-(0[1-9]|1[0-2])$"


class InvoiceQuery(PageQuery):
    """Filters of the list."""

    state = serializers.ChoiceField(choices=InvoiceState.choices, required=False)
    kind = serializers.ChoiceField(choices=InvoiceKind.choices, required=False)
    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    period_start__gte = serializers.DateTimeField(required=False, help_text="Periods that begin then or later.")
    period_start__lt = serializers.DateTimeField(required=False, help_text="Periods that begin earlier.")
    q = serializers.CharField(required=False, max_length=120, help_text="Part of a number or name, or an id.")


class DraftIn(Body):
    """What to draft."""

    tenant = Text(max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    month = serializers.RegexField(MONTH, help_text="YYYY-MM, in the tenant's billing time zone.")


class PaymentIn(Body):
    """How the money came."""

    reference = Text(max_length=120, help_text="The payer's or the bank's reference.")


class AmountText(Text):
    """An amount as a JSON string: a JSON number would have gone through a float on its way."""

    def to_internal_value(self, data: Any) -> str:
        """Raises ValidationError for anything but digits with at most three after a point."""
        text = super().to_internal_value(data)
        if not re.fullmatch(r"\d{1,30}(\.\d{1,3})?", text, re.ASCII):
            raise serializers.ValidationError('An amount is a string such as "12.50".', code="not_an_amount")
        return text


class CreditIn(Body):
    """What to give back."""

    reason = Text(max_length=500, help_text="Printed on the note.")
    amounts = serializers.DictField(
        child=AmountText(max_length=40),
        required=False,
        allow_null=True,
        default=None,
        help_text="Amount without tax, as a string, by id of the line; everything that is left when absent.",
    )


class MonthQuery(Query):
    """Which month."""

    month = serializers.RegexField(MONTH, required=False, help_text="YYYY-MM; the current month by default.")


class InvoiceView(ApiView):
    """What the operations on one invoice do."""

    def find(self, ref: str) -> Any:
        """The invoice as the caller sees it. Raises NotFound."""
        return queries.get_invoice(ref, tenant_ids=self.visible_tenants)

    def shown(self, ref: str, *, status: int = 200, location: str = "") -> Response:
        """The invoice as it is now."""
        invoice = self.find(ref)
        return self.reply(InvoiceDetailOut, invoice, status=status, version=invoice.version, location=location)

    def made(self, ref: str) -> Response:
        """A new document with its address."""
        return self.shown(ref, status=201, location=f"/api/v1/invoices/{ref}")

    def found_done(self, subject: str) -> Response | None:
        """The invoice as it is, if it is the one in the address."""
        door = door_of(self, self.request.method or "")
        asked_for = self.find(self.kwargs["invoice"]).public_id == subject
        return self.shown(subject, status=door.status) if door and asked_for else None


class InvoiceList(InvoiceView):
    """All invoices and notes."""

    @endpoint("list_invoices", scope="invoices.view", query=InvoiceQuery, reply=InvoiceOut, many=True)
    def get(self, request: Request) -> Response:
        """List invoices and notes, newest first."""
        tenant = self.query.get("tenant")
        found = queries.list_invoices(
            tenant_ids=self.visible_tenants,
            state=self.query.get("state"),
            kind=self.query.get("kind"),
            tenant=get_tenant(tenant, tenant_ids=self.visible_tenants).public_id if tenant else None,
            period_from=self.query.get("period_start__gte"),
            period_until=self.query.get("period_start__lt"),
            q=self.query.get("q"),
        )
        return self.page(found, InvoiceOut)

    @endpoint(
        "draft_invoice",
        scope="invoices.draft",
        body=DraftIn,
        reply=InvoiceDetailOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        fact="invoice.drafted",
        request_example={"tenant": "ext:CRM-42", "month": "2026-10"},
    )
    def post(self, request: Request) -> Response:
        """Seal a month's usage and draft its invoice.

        The month must be over and its usage settled, 72 hours after its last hour; until then it is a 409
        `usage_incomplete` that names the hours, and the tenant's invoice preview shows what is known. A month that is
        drafted already is refreshed, one that is finalized is answered as it is.
        """
        tenant, period = self._asked_for()
        made = invoicing.draft_invoices(tenant_ids=[tenant.pk], period=period, actor=self.actor)
        if not made:
            raise invoicing.NothingToInvoice(
                f"{tenant.name} owes nothing for this month.", hint="It was on no tier then, or used nothing."
            )
        return self.made(made[0].public_id)

    def found_done(self, subject: str) -> Response | None:
        """The draft that a crashed attempt had made, if it is of the tenant and month that are asked for."""
        tenant, period = self._asked_for()
        invoice = self.find(subject)
        is_same = (invoice.tenant_id, invoice.period_start) == (tenant.pk, period.start)
        return self.made(subject) if is_same else None

    def _asked_for(self) -> tuple[Any, Period]:
        tenant = get_tenant(self.body["tenant"], tenant_ids=self.visible_tenants)
        return tenant, queries.period_to_draft(tenant, _month(self.body["month"], tenant.billing_timezone))


class InvoiceDetail(InvoiceView):
    """One invoice."""

    @endpoint("get_invoice", scope="invoices.view", reply=InvoiceDetailOut)
    def get(self, request: Request, invoice: str) -> Response:
        """Read an invoice, by id or number, with its lines."""
        return self.shown(invoice)


class InvoiceLines(InvoiceView):
    """The lines of an invoice."""

    @endpoint("list_invoice_lines", scope="invoices.view", query=PageQuery, reply=LineOut, many=True)
    def get(self, request: Request, invoice: str) -> Response:
        """List an invoice's lines in their order."""
        lines = self.find(invoice).lines.select_related("invoice", "corrects_line")
        return self.page(lines, LineOut, order="position")


class LineExplanation(ApiView):
    """Why a line costs what it costs."""

    @endpoint("explain_invoice_line", scope="invoices.view", reply=ExplanationOut)
    def get(self, request: Request, invoice_line: str) -> Response:
        """Explain a line: arithmetic, days, buckets, and the CloudWatch query behind each."""
        return self.reply(ExplanationOut, queries.explain_line(invoice_line, tenant_ids=self.visible_tenants))


class InvoiceRefresh(InvoiceView):
    """Rewriting a draft."""

    @endpoint("refresh_invoice", scope="invoices.draft", reply=InvoiceDetailOut)
    def post(self, request: Request, invoice: str) -> Response:
        """Rewrite a draft from what is known now.

        What is finalized stays as it is.
        """
        found = self.find(invoice)
        invoicing.refresh_drafts(invoice_ids=[found.pk], actor=self.actor)
        return self.shown(found.public_id)


class InvoiceFinalization(InvoiceView):
    """Closing a draft."""

    @endpoint(
        "finalize_invoice",
        scope="invoices.finalize",
        query=DryRunQuery,
        reply=InvoiceDetailOut,
        idempotency=KeyRule.REQUIRED,
        if_match=True,
        fact="invoice.finalized",
    )
    def post(self, request: Request, invoice: str) -> Response:
        """Finalize a draft.

        It gets the next number of its series, and nothing of it can change after that.
        """
        found = self.find(invoice)
        self.match(found.version)
        invoicing.finalize_invoices(invoice_ids=[found.pk], actor=self.actor)
        return self.shown(found.public_id)


class InvoicePayment(InvoiceView):
    """Recording a payment."""

    @endpoint(
        "mark_invoice_paid",
        scope="invoices.finalize",
        body=PaymentIn,
        reply=InvoiceDetailOut,
        idempotency=KeyRule.REQUIRED,
        fact="invoice.paid",
        request_example={"reference": "SEPA 2026-12-04 000123"},
    )
    def post(self, request: Request, invoice: str) -> Response:
        """Record that an invoice was paid."""
        found = self.find(invoice)
        invoicing.mark_paid(invoice_id=found.pk, reference=self.body["reference"], actor=self.actor)
        return self.shown(found.public_id)


class InvoiceVoiding(InvoiceView):
    """Declaring an invoice void."""

    @endpoint(
        "void_invoice",
        scope="invoices.void",
        query=DryRunQuery,
        body=ReasonIn,
        reply=InvoiceDetailOut,
        idempotency=KeyRule.REQUIRED,
        if_match=True,
        fact="invoice.voided",
        request_example={"reason": "Sent to the wrong legal entity."},
    )
    def post(self, request: Request, invoice: str) -> Response:
        """Void a finalized invoice or note.

        It keeps its number. The usage it billed is free again, so the month can be drafted anew under another number.
        """
        found = self.find(invoice)
        self.match(found.version)
        invoicing.void_invoice(invoice_id=found.pk, reason=self.body["reason"], actor=self.actor)
        return self.shown(found.public_id)


class CreditNotes(InvoiceView):
    """Giving back."""

    @endpoint(
        "create_credit_note",
        scope="invoices.credit",
        query=DryRunQuery,
        body=CreditIn,
        reply=InvoiceDetailOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        fact="credit_note.issued",
        request_example={"reason": "Outage on 2026-10-12."},
    )
    def post(self, request: Request, invoice: str) -> Response:
        """Issue a credit note.

        It credits the given amounts of lines, or all that is left, and never more than the invoice; the tax follows.
        """
        found = self.find(invoice)
        note = credits.issue_credit_note(
            invoice_id=found.pk, amounts=self._amounts(), reason=self.body["reason"], actor=self.actor
        )
        return self.made(note.public_id)

    def found_done(self, subject: str) -> Response | None:
        """The note that a crashed attempt had issued, if it corrects this invoice with this reason."""
        note = self.find(subject)
        is_same = (note.corrects_id, note.reason) == (self.find(self.kwargs["invoice"]).pk, self.body["reason"])
        return self.made(subject) if is_same else None

    def _amounts(self) -> dict[str, Decimal] | None:
        amounts = self.body["amounts"]
        return None if amounts is None else {line: Decimal(amount) for line, amount in amounts.items()}


class PreviewOut(serializers.Serializer[Any]):
    """An invoice that does not exist yet."""

    computed_at = serializers.DateTimeField()
    content = serializers.JSONField(help_text="What the invoice would say, in the form that is hashed when it closes.")


class InvoicePreview(ApiView):
    """What a month would cost."""

    @endpoint("preview_invoice", scope="invoices.view", query=MonthQuery, reply=PreviewOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Preview a tenant's invoice with what is known now, by the same engine; nothing is saved."""
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        month = self.query.get("month")
        seen = queries.preview(found.pk, _month(month, found.billing_timezone) if month else None)
        content = content_of(seen.invoice, seen.lines, corrects="") | {"id": None}
        return self.reply(PreviewOut, {"computed_at": seen.computed_at, "content": content})


def _month(text: str, timezone: str) -> Period:
    year, month = text.split("-")
    return billing_month(int(year), int(month), timezone)
