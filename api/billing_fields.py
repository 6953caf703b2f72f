"""How money, periods and invoices look in JSON: amounts are strings, because a float cannot hold them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.fields import actions_open_to
from billing import queries
from billing.content import instant, money_text, plain
from billing.states import InvoiceKind, InvoiceState, LineKind

ACTIONS = {
    "refresh": "invoices.draft",
    "finalize": "invoices.finalize",
    "mark_paid": "invoices.finalize",
    "void": "invoices.void",
    "create_credit_note": "invoices.credit",
}


class MoneyOut(serializers.Serializer[Any]):
    """An amount, with exactly the digits of its currency."""

    amount = serializers.CharField()
    currency = serializers.CharField()


class PeriodOut(serializers.Serializer[Any]):
    """From `start` up to, but not including, `end`; in UTC, with the zone whose midnights bound it."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    timezone = serializers.CharField()


class UnitPriceOut(serializers.Serializer[Any]):
    """The price of `per` units."""

    amount = serializers.CharField()
    per = serializers.IntegerField()
    unit = serializers.CharField()


class TaxOut(serializers.Serializer[Any]):
    """The tax of one rate, computed once on the sum of its lines."""

    name = serializers.CharField()
    name_ja = serializers.CharField(allow_blank=True)
    rate = serializers.CharField(help_text="A share: 0.1 is ten percent.")
    taxable = serializers.CharField()
    amount = serializers.CharField()


class LineOut(serializers.Serializer[Any]):
    """One amount and what it is for."""

    id = serializers.CharField(source="public_id")
    position = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=LineKind.choices)
    description = serializers.CharField()
    meter = serializers.CharField(allow_blank=True, help_text="Empty for fees and commitments.")
    period = serializers.SerializerMethodField()
    quantity = serializers.SerializerMethodField()
    unit = serializers.CharField()
    unit_price = serializers.SerializerMethodField()
    amount = serializers.SerializerMethodField()
    corrects_line = serializers.CharField(source="corrects_line.public_id", default=None, allow_null=True)

    @extend_schema_field(PeriodOut)
    def get_period(self, line: Any) -> dict[str, str]:
        """The part of the invoice's period that the line is about."""
        zone = line.invoice.timezone
        return {"start": instant(line.span_start), "end": instant(line.span_end), "timezone": zone}

    def get_quantity(self, line: Any) -> str:
        """A decimal."""
        return plain(line.quantity)

    @extend_schema_field(UnitPriceOut(allow_null=True))
    def get_unit_price(self, line: Any) -> dict[str, Any] | None:
        """Null where several prices apply; the explanation shows each."""
        if line.unit_price is None:
            return None
        return {"amount": plain(line.unit_price), "per": line.per, "unit": line.unit}

    @extend_schema_field(MoneyOut)
    def get_amount(self, line: Any) -> dict[str, str]:
        """Rounded once, without tax."""
        return money(line.amount, line.invoice.currency)


class InvoiceLinksOut(serializers.Serializer[Any]):
    """Where to read on."""

    self = serializers.CharField()
    lines = serializers.CharField()
    pdf = serializers.CharField()
    csv = serializers.CharField()
    xlsx = serializers.CharField()
    json = serializers.CharField()
    focus = serializers.CharField()
    events = serializers.CharField()


class InvoiceOut(serializers.Serializer[Any]):
    """An invoice, or a note that corrects one."""

    id = serializers.CharField(source="public_id")
    kind = serializers.ChoiceField(choices=InvoiceKind.choices)
    state = serializers.ChoiceField(choices=InvoiceState.choices)
    number = serializers.CharField(allow_null=True, help_text="Null until it is finalized; gapless.")
    tenant = serializers.CharField(source="tenant.public_id")
    external_id = serializers.CharField(source="tenant.external_id", allow_null=True)
    currency = serializers.CharField()
    period = serializers.SerializerMethodField()
    subtotal = serializers.SerializerMethodField()
    tax = serializers.SerializerMethodField()
    total = serializers.SerializerMethodField()
    prepaid = serializers.SerializerMethodField()
    amount_due = serializers.SerializerMethodField()
    taxes = TaxOut(many=True)
    corrects = serializers.CharField(source="corrects.public_id", default=None, allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    uncharged = serializers.DictField(
        child=serializers.CharField(), help_text="Quantities of meters that the rate card has no price for."
    )
    content_sha256 = serializers.CharField(help_text="Over everything that the document says.")
    version = serializers.IntegerField(help_text="Raised by each change; the ETag carries it.")
    created_at = serializers.DateTimeField()
    grace_until = serializers.DateTimeField(allow_null=True, help_text="When a draft is finalized by itself.")
    finalized_at = serializers.DateTimeField(allow_null=True)
    due_on = serializers.DateField(allow_null=True)
    paid_at = serializers.DateTimeField(allow_null=True)
    payment_reference = serializers.CharField(allow_blank=True)
    voided_at = serializers.DateTimeField(allow_null=True)
    void_reason = serializers.CharField(allow_blank=True)
    available_actions = serializers.SerializerMethodField()
    links = serializers.SerializerMethodField()

    @extend_schema_field(PeriodOut)
    def get_period(self, invoice: Any) -> dict[str, str]:
        """What it covers."""
        zone = invoice.timezone
        return {"start": instant(invoice.period_start), "end": instant(invoice.period_end), "timezone": zone}

    @extend_schema_field(MoneyOut)
    def get_subtotal(self, invoice: Any) -> dict[str, str]:
        """The sum of the lines."""
        return money(invoice.subtotal, invoice.currency)

    @extend_schema_field(MoneyOut)
    def get_tax(self, invoice: Any) -> dict[str, str]:
        """The sum of the taxes."""
        return money(invoice.tax, invoice.currency)

    @extend_schema_field(MoneyOut)
    def get_total(self, invoice: Any) -> dict[str, str]:
        """What is owed; of a credit note, what is given back."""
        return money(invoice.total, invoice.currency)

    @extend_schema_field(MoneyOut)
    def get_prepaid(self, invoice: Any) -> dict[str, str]:
        """What prepaid credit paid of the total when it was finalized."""
        return money(invoice.prepaid, invoice.currency)

    @extend_schema_field(MoneyOut)
    def get_amount_due(self, invoice: Any) -> dict[str, str]:
        """What is left to pay."""
        return money(invoice.amount_due, invoice.currency)

    def get_available_actions(self, invoice: Any) -> list[str]:
        """What the caller may do with it now."""
        possible = set(queries.available_actions(invoice))
        return actions_open_to(self.context["principal"], ACTIONS, {action: action in possible for action in ACTIONS})

    @extend_schema_field(InvoiceLinksOut)
    def get_links(self, invoice: Any) -> dict[str, str]:
        """Addresses of what belongs to it."""
        here = f"/api/v1/invoices/{invoice.public_id}"
        return {
            "self": here,
            "lines": f"{here}/lines",
            **{format: f"{here}/{format}" for format in ("pdf", "csv", "xlsx", "json", "focus")},
            "events": f"/api/v1/events?subject={invoice.public_id}",
        }


class MeterCheckOut(serializers.Serializer[Any]):
    """One meter three times: they agree to the unit, or the numbers show where they part."""

    meter = serializers.CharField()
    on_lines = serializers.IntegerField(help_text="What the lines charge.")
    in_buckets = serializers.IntegerField(help_text="The sum of the sealed buckets that the document bills.")
    at_source = serializers.IntegerField(help_text="The same buckets as the source has them now.")
    is_matched = serializers.BooleanField()


class SealOut(serializers.Serializer[Any]):
    """Usage of a period as it was closed for invoices."""

    id = serializers.CharField(source="public_id")
    revision = serializers.IntegerField(help_text="1 is the period; later ones hold what came late to it.")
    sha256 = serializers.CharField(help_text="Over every bucket that it claims.")


class ReconciliationOut(serializers.Serializer[Any]):
    """Whether a document agrees with its usage."""

    state = serializers.ChoiceField(
        choices=["matched", "late_usage", "differs", "not_metered"],
        help_text="`late_usage`: it bills what was sealed; what the source learnt since becomes a note.",
    )
    buckets = serializers.IntegerField(help_text="How many buckets its seals hold.")
    seals = SealOut(many=True)
    checks = MeterCheckOut(many=True)


class InvoiceDetailOut(InvoiceOut):
    """An invoice with its lines and whether they agree with metering."""

    lines = LineOut(many=True, source="lines.all")
    reconciliation = serializers.SerializerMethodField()
    notes = serializers.SerializerMethodField()

    @extend_schema_field(ReconciliationOut)
    def get_reconciliation(self, invoice: Any) -> dict[str, Any]:
        """Lines against buckets against the source, meter by meter."""
        return dict(ReconciliationOut(queries.reconcile(invoice)).data)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_notes(self, invoice: Any) -> list[str]:
        """Ids of the notes that correct it."""
        return [note.public_id for note in queries.notes_on(invoice)]


class BucketOut(serializers.Serializer[Any]):
    """One bucket of usage and where its value came from."""

    start = serializers.DateTimeField(source="bucket_start")
    seconds = serializers.IntegerField(source="bucket_seconds")
    quantity = serializers.IntegerField(source="claimed", help_text="What the document bills of it.")
    line = serializers.CharField(help_text="The serving line.")
    adapter_version = serializers.CharField(allow_blank=True)
    revision = serializers.IntegerField()
    query = serializers.CharField(help_text="What was asked; it can be asked again.")
    fetched_at = serializers.DateTimeField()
    request_id = serializers.CharField(allow_blank=True, help_text="Of the answer that brought this value.")
    answer_sha256 = serializers.CharField(allow_blank=True, help_text="Digest of that answer; empty for the ledger.")
    window_state = serializers.CharField(help_text="`settled` once late points can no longer change it.")


class DayOut(serializers.Serializer[Any]):
    """One day of the invoice's zone."""

    day = serializers.DateField()
    quantity = serializers.IntegerField()
    buckets = BucketOut(many=True)


class AcceptedGapOut(serializers.Serializer[Any]):
    """Hours that could not be read and are billed as they are known."""

    id = serializers.CharField(source="public_id")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField()
    accepted_by = serializers.CharField(source="closed_by")


class ExplanationOut(serializers.Serializer[Any]):
    """Why a line costs what it costs."""

    line = LineOut()
    invoice = serializers.CharField(source="invoice.public_id")
    arithmetic = serializers.JSONField(help_text="Rate, steps, exact amount and rounding, as they were when rated.")
    charged = serializers.IntegerField(help_text="The quantity that was rated, in the meter's own unit.")
    metered = serializers.IntegerField(help_text="The sum of the buckets.")
    is_matched = serializers.BooleanField(help_text="Whether these two are equal.")
    days = DayOut(many=True)
    gaps = AcceptedGapOut(many=True, help_text="Hours of the line's span that were accepted as known.")


def money(amount: Any, currency: str) -> dict[str, str]:
    """An amount as JSON shows it."""
    return {"amount": money_text(amount, currency), "currency": currency}
