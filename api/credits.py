"""/credit-grants: what tenants paid in advance, and the ledger of what became of it."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.billing_fields import MoneyOut, money
from api.bodies import Body, PageQuery, Text
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from api.idempotency import KeyRule
from api.invoices import AmountText
from billing.queries import wallet as queries
from billing.services.wallet import grant_credit, refund_credit
from billing.states import CreditEntryKind
from tenants.queries import get_tenant


class CreditGrantOut(serializers.Serializer[Any]):
    """Credit from one payment or gift."""

    id = serializers.CharField(source="public_id")
    tenant = serializers.CharField(source="tenant.public_id")
    external_id = serializers.CharField(source="tenant.external_id", allow_null=True)
    amount = serializers.SerializerMethodField()
    remaining = serializers.SerializerMethodField()
    reference = serializers.CharField(help_text="Of the payment; one grant per reference and tenant.")
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Null: never.")
    available_actions = serializers.SerializerMethodField()

    @extend_schema_field(MoneyOut)
    def get_amount(self, grant: Any) -> dict[str, str]:
        """As granted."""
        return money(grant.amount, grant.currency)

    @extend_schema_field(MoneyOut)
    def get_remaining(self, grant: Any) -> dict[str, str]:
        """What is left of it; never below zero."""
        return money(grant.remaining, grant.currency)

    def get_available_actions(self, grant: Any) -> list[str]:
        """What the caller may do with it now."""
        possible = {"refund": grant.remaining > 0}
        return actions_open_to(self.context["principal"], {"refund": "credits.manage"}, possible)


class CreditEntryOut(serializers.Serializer[Any]):
    """One movement; entries are never changed, and add up to what is left."""

    id = serializers.CharField(source="public_id")
    kind = serializers.ChoiceField(choices=CreditEntryKind.choices)
    amount = serializers.SerializerMethodField()
    invoice = serializers.CharField(source="invoice.public_id", default=None, allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    by = serializers.CharField(source="actor_name", allow_blank=True)
    at = serializers.DateTimeField(source="created_at")

    @extend_schema_field(MoneyOut)
    def get_amount(self, entry: Any) -> dict[str, str]:
        """Signed: what is drawn, expires or is paid back is below zero."""
        return money(entry.amount, entry.grant.currency)


class CreditGrantIn(Body):
    """A payment in advance, in the tenant's currency."""

    tenant = Text(max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    amount = AmountText(max_length=40)
    expires_at = serializers.DateTimeField(allow_null=True, default=None, help_text="Never when absent.")
    reference = Text(max_length=120, help_text="Of the payment: the same one is credited once, whatever is retried.")
    reason = Text(max_length=500)


class RefundIn(Body):
    """What was paid back."""

    amount = AmountText(max_length=40, allow_null=True, default=None, help_text="All that is left when absent.")
    reason = Text(max_length=500)


class CreditGrantQuery(PageQuery):
    """Filters of the list."""

    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    is_open = serializers.BooleanField(default=False, help_text="Only what can be drawn from now.")


class CreditGrantList(ApiView):
    """All grants."""

    @endpoint("list_credit_grants", scope="credits.view", query=CreditGrantQuery, reply=CreditGrantOut, many=True)
    def get(self, request: Request) -> Response:
        """List grants of prepaid credit, newest first."""
        ref = self.query.get("tenant")
        tenant = get_tenant(ref, tenant_ids=self.visible_tenants).public_id if ref else None
        rows = queries.list_grants(tenant_ids=self.visible_tenants, tenant=tenant, is_open=self.query["is_open"])
        return self.page(rows, CreditGrantOut)

    @endpoint(
        "grant_credit",
        scope="credits.manage",
        body=CreditGrantIn,
        reply=CreditGrantOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        request_example={
            "tenant": "ext:CRM-42",
            "amount": "500.00",
            "expires_at": "2027-11-30T00:00:00Z",
            "reference": "SEPA 2026-11-20 000123",
            "reason": "Prepayment for 2027",
        },
    )
    def post(self, request: Request) -> Response:
        """Grant prepaid credit.

        Finalized invoices draw it, what expires first at first; it is never drawn below zero.
        """
        grant = grant_credit(
            tenant_id=get_tenant(self.body["tenant"], tenant_ids=self.visible_tenants).pk,
            amount=Decimal(self.body["amount"]),
            expires_at=self.body["expires_at"],
            reference=self.body["reference"],
            reason=self.body["reason"],
            actor=self.actor,
        )
        return self.reply(CreditGrantOut, grant, status=201, location=f"/api/v1/credit-grants/{grant.public_id}")


class CreditGrantDetail(ApiView):
    """One grant."""

    @endpoint("get_credit_grant", scope="credits.view", reply=CreditGrantOut)
    def get(self, request: Request, credit_grant: str) -> Response:
        """Read a grant of prepaid credit."""
        return self.reply(CreditGrantOut, queries.get_grant(credit_grant, tenant_ids=self.visible_tenants))


class CreditGrantEntries(ApiView):
    """The ledger of a grant."""

    @endpoint("list_credit_entries", scope="credits.view", query=PageQuery, reply=CreditEntryOut, many=True)
    def get(self, request: Request, credit_grant: str) -> Response:
        """List what became of a grant, newest first."""
        grant = queries.get_grant(credit_grant, tenant_ids=self.visible_tenants)
        return self.page(queries.list_entries(tenant_ids=self.visible_tenants, grant=grant), CreditEntryOut)


class CreditRefund(ApiView):
    """Paying back."""

    @endpoint(
        "refund_credit",
        scope="credits.manage",
        body=RefundIn,
        reply=CreditGrantOut,
        idempotency=KeyRule.REQUIRED,
        fact="credit.refunded",
        request_example={"amount": "100.00", "reason": "Contract ended"},
    )
    def post(self, request: Request, credit_grant: str) -> Response:
        """Record that credit was paid back.

        No money is moved: it takes the amount off what is left.
        """
        grant = queries.get_grant(credit_grant, tenant_ids=self.visible_tenants)
        amount = None if self.body["amount"] is None else Decimal(self.body["amount"])
        done = refund_credit(grant_id=grant.pk, amount=amount, reason=self.body["reason"], actor=self.actor)
        return self.reply(CreditGrantOut, done)

    def found_done(self, subject: str) -> Response | None:
        """The grant as it is, if it is the one in the address."""
        grant = queries.get_grant(self.kwargs["credit_grant"], tenant_ids=self.visible_tenants)
        return self.reply(CreditGrantOut, grant) if grant.public_id == subject else None
