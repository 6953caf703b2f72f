"""/invoices/{invoice}/comparison: an invoice beside another, or beside what the engine says now."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.billing_fields import MoneyOut, money
from api.bodies import Query
from api.endpoint import endpoint
from api.invoices import InvoiceView
from billing import queries
from billing.content import plain


class ComparisonQuery(Query):
    """Beside what."""

    basis = serializers.ChoiceField(
        choices=["previous", "now"],
        default="previous",
        help_text="The period before, or what the engine says of the same period now.",
    )


class LineChangeOut(serializers.Serializer[Any]):
    """What one price came to on both sides."""

    description = serializers.CharField()
    kind = serializers.CharField()
    meter = serializers.CharField(allow_blank=True)
    unit = serializers.CharField()
    quantity_before = serializers.SerializerMethodField()
    quantity_after = serializers.SerializerMethodField()
    before = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField()
    change = serializers.SerializerMethodField()

    def get_quantity_before(self, line: Any) -> str:
        """A decimal."""
        return plain(line.quantity_before)

    def get_quantity_after(self, line: Any) -> str:
        """A decimal."""
        return plain(line.quantity_after)

    @extend_schema_field(MoneyOut)
    def get_before(self, line: Any) -> dict[str, str]:
        """Without tax."""
        return money(line.before, self.context["currency"])

    @extend_schema_field(MoneyOut)
    def get_after(self, line: Any) -> dict[str, str]:
        """Without tax."""
        return money(line.after, self.context["currency"])

    @extend_schema_field(MoneyOut)
    def get_change(self, line: Any) -> dict[str, str]:
        """By how much it rose."""
        return money(line.change, self.context["currency"])


class InvoiceComparisonOut(serializers.Serializer[Any]):
    """Two sides, line by line, the largest change first; amounts are without tax."""

    basis = serializers.ChoiceField(choices=["previous", "now"])
    invoice = serializers.CharField()
    other = serializers.CharField(
        allow_null=True, help_text="The earlier invoice; null beside what is known now, and where there is none."
    )
    computed_at = serializers.DateTimeField(allow_null=True)
    before = MoneyOut()
    after = MoneyOut()
    change = MoneyOut()
    lines = serializers.SerializerMethodField()

    @extend_schema_field(LineChangeOut(many=True))
    def get_lines(self, seen: Any) -> list[Any]:
        """One per price."""
        lines = seen["lines"]
        return list(LineChangeOut(lines, many=True, context={"currency": seen["before"]["currency"]}).data)


class InvoiceComparison(InvoiceView):
    """What changed."""

    @endpoint("compare_invoice", scope="invoices.view", query=ComparisonQuery, reply=InvoiceComparisonOut)
    def get(self, request: Request, invoice: str) -> Response:
        """Compare an invoice with the period before, or with what the engine says now.

        For a draft, `now` is what a refresh would change; for a final invoice, what a note would settle. Nothing is
        saved. Where there is nothing to compare with, both sides are empty.
        """
        found = self.find(invoice)
        is_now = self.query["basis"] == "now"
        seen = queries.compare_with_now(found) if is_now else queries.compare_with_previous(found)
        currency, nothing = found.currency, money(Decimal(0), found.currency)
        return self.reply(
            InvoiceComparisonOut,
            {
                "basis": self.query["basis"],
                "invoice": found.public_id,
                "other": seen.other.public_id if seen and seen.other else None,
                "computed_at": seen.computed_at if seen else None,
                "before": money(seen.before, currency) if seen else nothing,
                "after": money(seen.after, currency) if seen else nothing,
                "change": money(seen.change, currency) if seen else nothing,
                "lines": seen.lines if seen else (),
            },
        )
