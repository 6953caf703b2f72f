"""/discounts, tax profiles and adjustments of drafts: what is agreed with one tenant beside its rate card."""

import re
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.billing_fields import InvoiceDetailOut
from api.bodies import Body, PageQuery, ReasonIn, Text
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from api.idempotency import KeyRule
from api.invoices import InvoiceView
from billing.queries.issuers import tax_profiles
from billing.queries.terms import get_discount, list_discounts
from billing.services.adjustments import adjust_draft, remove_adjustment
from billing.services.discounts import DiscountDetails, agree_discount, end_discount
from billing.services.taxes import set_tax_profile
from core import clock
from tenants.queries import get_tenant

SIGNED = r"-?\d{1,30}(\.\d{1,6})?"


class SignedAmount(Text):
    """A decimal as a JSON string, below zero too."""

    def to_internal_value(self, data: Any) -> str:
        """Raises ValidationError for anything but digits with at most six after a point."""
        text = super().to_internal_value(data)
        if not re.fullmatch(SIGNED, text, re.ASCII):
            raise serializers.ValidationError('An amount is a string such as "-12.50".', code="not_an_amount")
        return text


class DiscountOut(serializers.Serializer[Any]):
    """A discount as agreed."""

    id = serializers.CharField(source="public_id")
    tenant = serializers.CharField(source="tenant.public_id")
    name = serializers.CharField()
    name_ja = serializers.CharField(allow_blank=True)
    kind = serializers.ChoiceField(choices=["percent", "fixed"])
    value = serializers.SerializerMethodField()
    currency = serializers.CharField()
    meters = serializers.ListField(child=serializers.CharField(), help_text="With `rate_keys` empty too: all lines.")
    rate_keys = serializers.ListField(child=serializers.CharField())
    starts_at = serializers.DateTimeField(source="effective.lower")
    ends_at = serializers.DateTimeField(source="effective.upper", allow_null=True)
    reason = serializers.CharField()
    available_actions = serializers.SerializerMethodField()

    def get_value(self, row: Any) -> str:
        """Percent, or an amount per billing month."""
        return f"{row.value.normalize():f}"

    def get_available_actions(self, row: Any) -> list[str]:
        """What the caller may do with it now."""
        possible = {"end": row.effective.upper is None or row.effective.upper > clock.now()}
        return actions_open_to(self.context["principal"], {"end": "rate_cards.manage"}, possible)


class DiscountIn(Body):
    """What is agreed on."""

    tenant = Text(max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    name = Text(max_length=100, help_text="Printed on the invoice.")
    name_ja = Text(max_length=100, allow_blank=True, default="")
    kind = serializers.ChoiceField(choices=["percent", "fixed"])
    value = SignedAmount(max_length=40, help_text="Percent, or an amount per billing month in the tenant's currency.")
    meters = serializers.ListField(child=Text(max_length=40), default=list, max_length=50)
    rate_keys = serializers.ListField(child=Text(max_length=40), default=list, max_length=50)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True, default=None)
    reason = Text(max_length=500)


class DiscountEndIn(ReasonIn):
    """When it ends."""

    ends_at = serializers.DateTimeField(help_text="In the future, before its own end.")


class DiscountList(ApiView):
    """All discounts."""

    @endpoint("list_discounts", scope="rate_cards.view", query=PageQuery, reply=DiscountOut, many=True)
    def get(self, request: Request) -> Response:
        """List discounts, newest first."""
        return self.page(list_discounts(tenant_ids=self.visible_tenants), DiscountOut)

    @endpoint(
        "agree_discount",
        scope="rate_cards.manage",
        body=DiscountIn,
        reply=DiscountOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        fact="discount.agreed",
        request_example={
            "tenant": "ext:CRM-42",
            "name": "Launch partner",
            "kind": "percent",
            "value": "10",
            "starts_at": "2026-12-01T00:00:00Z",
            "reason": "Signed on 2026-11-20",
        },
    )
    def post(self, request: Request) -> Response:
        """Give a tenant a discount.

        Discounts are applied in the order in which they were agreed, each to what the ones before it left, and for the
        share of the time that they hold for.
        """
        details = {name: self.body[name] for name in ("name", "name_ja", "kind", "meters", "rate_keys")}
        discount = agree_discount(
            tenant_id=get_tenant(self.body["tenant"], tenant_ids=self.visible_tenants).pk,
            details=DiscountDetails(
                **details,
                value=Decimal(self.body["value"]),
                starts_at=self.body["starts_at"],
                ends_at=self.body["ends_at"],
            ),
            reason=self.body["reason"],
            actor=self.actor,
        )
        return self._made(discount)

    def found_done(self, subject: str) -> Response | None:
        """The discount that a crashed attempt had agreed on, if it is for this tenant and of this name."""
        found = get_discount(subject, tenant_ids=self.visible_tenants)
        tenant = get_tenant(self.body["tenant"], tenant_ids=self.visible_tenants)
        return self._made(found) if (found.tenant_id, found.name) == (tenant.pk, self.body["name"]) else None

    def _made(self, discount: Any) -> Response:
        return self.reply(DiscountOut, discount, status=201, location=f"/api/v1/discounts/{discount.public_id}")


class DiscountDetail(ApiView):
    """One discount."""

    @endpoint("get_discount", scope="rate_cards.view", reply=DiscountOut)
    def get(self, request: Request, discount: str) -> Response:
        """Read a discount."""
        return self.reply(DiscountOut, get_discount(discount, tenant_ids=self.visible_tenants))


class DiscountEnd(ApiView):
    """Ending one."""

    @endpoint(
        "end_discount",
        scope="rate_cards.manage",
        body=DiscountEndIn,
        reply=DiscountOut,
        request_example={"ends_at": "2027-01-01T00:00:00Z", "reason": "Contract renewed without it"},
    )
    def post(self, request: Request, discount: str) -> Response:
        """End a discount.

        What was billed under it stays.
        """
        found = get_discount(discount, tenant_ids=self.visible_tenants)
        ended = end_discount(
            discount_id=found.pk, ends_at=self.body["ends_at"], reason=self.body["reason"], actor=self.actor
        )
        return self.reply(DiscountOut, ended)


class TaxProfileOut(serializers.Serializer[Any]):
    """Where a tenant is taxed and as what."""

    country = serializers.CharField(allow_null=True, help_text="Null: it is taxed by its currency.")
    tax_number = serializers.CharField(allow_blank=True)
    exempt_reason = serializers.CharField(allow_blank=True)
    version = serializers.IntegerField(allow_null=True)


NO_PROFILE = {"country": None, "tax_number": "", "exempt_reason": "", "version": None}


class TaxProfileIn(Body):
    """Where a tenant is taxed and as what."""

    country = serializers.RegexField(r"^[A-Z]{2}$", help_text="ISO 3166: the rules of this country alone hold.")
    tax_number = Text(max_length=30, allow_blank=True, default="", help_text="Of a business; for reverse charge.")
    exempt_reason = Text(max_length=200, allow_blank=True, default="", help_text="Printed; makes the tenant exempt.")
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, allow_null=True, default=None, help_text="As read; null for a first one."
    )


class TenantTaxProfile(ApiView):
    """Where a tenant is taxed."""

    @endpoint("get_tax_profile", scope="rate_cards.view", reply=TaxProfileOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Read where a tenant is taxed and as what."""
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        return self.reply(TaxProfileOut, tax_profiles([found.pk]).get(found.pk, NO_PROFILE))

    @endpoint(
        "set_tax_profile",
        scope="rate_cards.manage",
        body=TaxProfileIn,
        reply=TaxProfileOut,
        request_example={"country": "DE", "tax_number": "DE123456789"},
    )
    def put(self, request: Request, tenant: str) -> Response:
        """State where a tenant is taxed and as what.

        Drafts follow when they are refreshed; what is final stays.
        """
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        profile = set_tax_profile(
            tenant_id=found.pk,
            country=self.body["country"],
            tax_number=self.body["tax_number"],
            exempt_reason=self.body["exempt_reason"],
            expected_version=self.body["version"],
            actor=self.actor,
        )
        return self.reply(TaxProfileOut, profile)


class AdjustmentIn(Body):
    """What to put on a draft."""

    description = Text(max_length=120, help_text="Printed on the invoice.")
    description_ja = Text(max_length=120, allow_blank=True, default="")
    amount = SignedAmount(max_length=40, help_text="Without tax; below zero takes off.")
    reason = Text(max_length=500)


class InvoiceAdjustments(InvoiceView):
    """Adjustments of a draft."""

    @endpoint(
        "adjust_invoice",
        scope="invoices.draft",
        body=AdjustmentIn,
        reply=InvoiceDetailOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        fact="invoice.adjusted",
        request_example={"description": "Goodwill", "amount": "-10.00", "reason": "Outage on 2026-10-12"},
    )
    def post(self, request: Request, invoice: str) -> Response:
        """Put an amount on a draft, or take one off it.

        It has its own line and stays when the draft is refreshed.
        """
        found = self.find(invoice)
        adjust_draft(
            invoice_id=found.pk,
            description=self.body["description"],
            description_ja=self.body["description_ja"],
            amount=Decimal(self.body["amount"]),
            reason=self.body["reason"],
            actor=self.actor,
        )
        return self.shown(found.public_id, status=201)


class AdjustmentRemoval(InvoiceView):
    """Taking one off again."""

    @endpoint(
        "remove_adjustment",
        scope="invoices.draft",
        body=ReasonIn,
        reply=InvoiceDetailOut,
        request_example={"reason": "Put on the wrong invoice"},
    )
    def post(self, request: Request, invoice: str, adjustment: str) -> Response:
        """Take an adjustment off its draft; its id stands in the line's explanation."""
        found = self.find(invoice)
        remove_adjustment(invoice_id=found.pk, ref=adjustment, reason=self.body["reason"], actor=self.actor)
        return self.shown(found.public_id)
