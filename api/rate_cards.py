"""/rate-cards: what things cost, from draft to published, and what a draft would have changed."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.billing_fields import MoneyOut, money
from api.bodies import Body, PageQuery, Query, Text
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from api.idempotency import KeyRule
from billing import queries
from billing.queries.cards import priceable_version
from billing.queries.impact import impact_of
from billing.queries.what_if import Otherwise, what_if
from billing.rating.parameters import RATE_MODELS
from billing.services.rate_cards import RateDraft, draft_rate_card, edit_rate_card, price_tier, publish_rate_card
from billing.states import LineKind, RateCardState
from core.errors import NotFound

MOST_RATES = 200
RATE_EXAMPLE = {
    "key": "input-tokens",
    "meter": "input_tokens",
    "model": "per_unit",
    "parameters": {"unit_price": "0.60", "per": 1_000_000},
    "description": "Input tokens",
}
ACTIONS = dict.fromkeys(("edit", "publish", "schedule"), "rate_cards.manage")


class RateOut(serializers.Serializer[Any]):
    """One price."""

    key = serializers.CharField()
    meter = serializers.CharField(allow_blank=True, help_text="Empty for fees and commitments.")
    serving_line = serializers.CharField(allow_blank=True, help_text="Prices only what was used on this line.")
    tax_category = serializers.CharField()
    model = serializers.ChoiceField(choices=RATE_MODELS)
    parameters = serializers.JSONField()
    description = serializers.CharField()
    description_ja = serializers.CharField(allow_blank=True)


class RateIn(Body):
    """One price of a draft."""

    key = serializers.RegexField(r"^[-a-zA-Z0-9_]{1,40}$")
    meter = Text(max_length=40, allow_blank=True, default="", help_text="Empty for fees and commitments.")
    serving_line = Text(max_length=30, allow_blank=True, default="", help_text="Only what was used on this line.")
    tax_category = serializers.RegexField(r"^[a-z_]{1,20}$", default="standard")
    model = serializers.ChoiceField(choices=RATE_MODELS)
    parameters = serializers.DictField(help_text="As billing/README.md lists them for each model; prices are strings.")
    description = Text(max_length=120)
    description_ja = Text(max_length=120, allow_blank=True, default="")


class RatesIn(Body):
    """All rates of a card, in the order in which invoices print them."""

    rates = serializers.ListField(child=RateIn(), min_length=1, max_length=MOST_RATES)


class RateCardIn(RatesIn):
    """A new draft: the next number of the card of this name and currency."""

    name = Text(max_length=60)
    currency = serializers.RegexField(r"^[A-Z]{3}$")


class PriceIn(Body):
    """Whom a published card prices, and from when."""

    tier = Text(max_length=30, help_text="The tier's key.")
    tier_version = serializers.IntegerField(
        min_value=1, max_value=10**6, allow_null=True, default=None, help_text="Its newest version when absent."
    )
    effective_from = serializers.DateTimeField(help_text="The price before it ends there.")


class TierPriceOut(serializers.Serializer[Any]):
    """A tier version that the card prices, from when until when."""

    tier = serializers.CharField(source="tier_version.tier.key")
    tier_version = serializers.IntegerField(source="tier_version.number")
    effective_from = serializers.DateTimeField(source="effective.lower")
    effective_until = serializers.DateTimeField(source="effective.upper", allow_null=True)


class RateCardOut(serializers.Serializer[Any]):
    """A list of prices; a published one never changes."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    number = serializers.IntegerField()
    currency = serializers.CharField()
    state = serializers.ChoiceField(choices=RateCardState.choices)
    published_at = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField(help_text="Raised by each edit of a draft; the ETag carries it.")
    rates = RateOut(many=True, source="rates.all")
    prices = serializers.SerializerMethodField()

    @extend_schema_field(TierPriceOut(many=True))
    def get_prices(self, card: Any) -> list[Any]:
        """The tiers it prices."""
        return list(TierPriceOut(card.tier_prices.all(), many=True).data)

    available_actions = serializers.SerializerMethodField()

    def get_available_actions(self, card: Any) -> list[str]:
        """What the caller may do with it now."""
        is_draft = card.state == RateCardState.DRAFT
        possible = {"edit": is_draft, "publish": is_draft, "schedule": not is_draft}
        return actions_open_to(self.context["principal"], ACTIONS, possible)


class RatedLineOut(serializers.Serializer[Any]):
    """A line as it would stand on the invoice."""

    kind = serializers.ChoiceField(choices=LineKind.choices)
    description = serializers.CharField()
    meter = serializers.CharField(allow_blank=True)
    quantity = serializers.CharField()
    unit = serializers.CharField()
    amount = serializers.CharField()


class ReratedOut(serializers.Serializer[Any]):
    """A closed period as billed, notes over late usage included, and as it would have been; without tax."""

    invoice = serializers.CharField(source="invoice.public_id")
    number = serializers.CharField(source="invoice.number")
    period_start = serializers.DateTimeField(source="invoice.period_start")
    period_end = serializers.DateTimeField(source="invoice.period_end")
    billed = serializers.SerializerMethodField()
    would_be = serializers.SerializerMethodField()
    difference = serializers.SerializerMethodField()

    @extend_schema_field(MoneyOut)
    def get_billed(self, row: Any) -> dict[str, str]:
        """As billed."""
        return money(row.billed, row.invoice.currency)

    @extend_schema_field(MoneyOut)
    def get_would_be(self, row: Any) -> dict[str, str]:
        """As it would have been."""
        return money(row.would_be, row.invoice.currency)

    @extend_schema_field(MoneyOut)
    def get_difference(self, row: Any) -> dict[str, str]:
        """What the tenant would have paid more."""
        return money(row.difference, row.invoice.currency)


class WhatIfOut(ReratedOut):
    """The same with the lines that it would have had."""

    lines = serializers.SerializerMethodField()

    @extend_schema_field(RatedLineOut(many=True))
    def get_lines(self, row: Any) -> list[dict[str, Any]]:
        """In their order."""
        currency = row.invoice.currency
        return [
            {
                "kind": str(line.kind),
                "description": line.description,
                "meter": line.meter,
                "quantity": f"{line.quantity:f}",
                "unit": line.unit,
                "amount": money(line.amount, currency)["amount"],
            }
            for line in row.lines
        ]


class TenantImpactOut(serializers.Serializer[Any]):
    """One tenant's closed periods under the card."""

    tenant = serializers.CharField(source="tenant.public_id")
    name = serializers.CharField(source="tenant.name")
    difference = serializers.SerializerMethodField()
    periods = ReratedOut(many=True)

    @extend_schema_field(MoneyOut)
    def get_difference(self, row: Any) -> dict[str, str]:
        """What the tenant would have paid more, over all of them."""
        return money(row.difference, row.tenant.currency)


class ImpactOut(serializers.Serializer[Any]):
    """What a card would have changed, the biggest difference first."""

    rate_card = serializers.CharField(source="card.public_id")
    billed = serializers.SerializerMethodField()
    would_be = serializers.SerializerMethodField()
    difference = serializers.SerializerMethodField()
    tenants = TenantImpactOut(many=True)
    is_cut = serializers.BooleanField(help_text="True when there are more tenants than are listed and summed.")

    @extend_schema_field(MoneyOut)
    def get_billed(self, row: Any) -> dict[str, str]:
        """All of it as billed, without tax."""
        return money(row.billed, row.card.currency)

    @extend_schema_field(MoneyOut)
    def get_would_be(self, row: Any) -> dict[str, str]:
        """All of it under the card."""
        return money(row.would_be, row.card.currency)

    @extend_schema_field(MoneyOut)
    def get_difference(self, row: Any) -> dict[str, str]:
        """What all of them would have paid more."""
        return money(row.difference, row.card.currency)


class RateCardQuery(PageQuery):
    """Filters of the list."""

    currency = serializers.CharField(required=False, min_length=3, max_length=3)
    state = serializers.ChoiceField(choices=RateCardState.choices, required=False)


class RateCardView(ApiView):
    """What the operations on one card do."""

    def find(self, ref: str) -> Any:
        """The card. Raises NotFound, also for a key of one tenant: cards are the operators'."""
        if self.visible_tenants is not None:
            raise NotFound(f"There is no rate card {ref}.")
        return queries.get_rate_card(ref)

    def shown(self, ref: str, *, status: int = 200) -> Response:
        """The card as it is now."""
        card = self.find(ref)
        location = f"/api/v1/rate-cards/{ref}" if status == 201 else ""
        return self.reply(RateCardOut, card, status=status, version=card.version, location=location)


class RateCardList(RateCardView):
    """All rate cards."""

    @endpoint("list_rate_cards", scope="rate_cards.view", query=RateCardQuery, reply=RateCardOut, many=True)
    def get(self, request: Request) -> Response:
        """List rate cards with their prices and the tiers they are for, newest first."""
        found = queries.list_rate_cards(currency=self.query.get("currency"), state=self.query.get("state"))
        return self.page(found, RateCardOut)

    @endpoint(
        "draft_rate_card",
        scope="rate_cards.manage",
        body=RateCardIn,
        reply=RateCardOut,
        status=201,
        request_example={"name": "Basic", "currency": "USD", "rates": [RATE_EXAMPLE]},
    )
    def post(self, request: Request) -> Response:
        """Draft a rate card.

        It is the next number of the card of this name and currency. A draft prices nobody until it is published and
        scheduled; `impact` shows what it would have changed.
        """
        card = draft_rate_card(
            name=self.body["name"],
            currency=self.body["currency"],
            rates=[RateDraft(**rate) for rate in self.body["rates"]],
            actor=self.actor,
        )
        return self.shown(card.public_id, status=201)


class RateCardDetail(RateCardView):
    """One card."""

    @endpoint("get_rate_card", scope="rate_cards.view", reply=RateCardOut)
    def get(self, request: Request, rate_card: str) -> Response:
        """Read a rate card."""
        return self.shown(rate_card)

    @endpoint(
        "edit_rate_card",
        scope="rate_cards.manage",
        body=RatesIn,
        reply=RateCardOut,
        if_match=True,
        request_example={"rates": [RATE_EXAMPLE]},
    )
    def put(self, request: Request, rate_card: str) -> Response:
        """Replace the rates of a draft.

        A published card never changes: draft its next number.
        """
        card = self.find(rate_card)
        self.match(card.version)
        rates = [RateDraft(**rate) for rate in self.body["rates"]]
        edit_rate_card(card_id=card.pk, rates=rates, expected_version=card.version, actor=self.actor)
        return self.shown(rate_card)


class RateCardPublication(RateCardView):
    """Closing a draft."""

    @endpoint("publish_rate_card", scope="rate_cards.manage", reply=RateCardOut, if_match=True)
    def post(self, request: Request, rate_card: str) -> Response:
        """Publish a rate card.

        It can price tiers from then on and never changes again.
        """
        card = self.find(rate_card)
        self.match(card.version)
        publish_rate_card(card_id=card.pk, actor=self.actor)
        return self.shown(rate_card)


class RateCardPrices(RateCardView):
    """Whom a card prices."""

    @endpoint(
        "schedule_rate_card",
        scope="rate_cards.manage",
        body=PriceIn,
        reply=RateCardOut,
        status=201,
        idempotency=KeyRule.REQUIRED,
        request_example={"tier": "basic", "effective_from": "2027-01-01T00:00:00Z"},
    )
    def post(self, request: Request, rate_card: str) -> Response:
        """Let a published card price a tier from an instant on.

        The price before it in that currency ends there; two never hold at once. What a finalized invoice has billed is
        not priced anew.
        """
        card = self.find(rate_card)
        version = priceable_version(self.body["tier"], self.body["tier_version"])
        price_tier(
            tier_version_id=version.pk,
            card_id=card.pk,
            effective_from=self.body["effective_from"],
            actor=self.actor,
        )
        return self.shown(rate_card, status=201)


class RateCardImpact(RateCardView):
    """What a card would have changed."""

    @endpoint("preview_rate_card_impact", scope="rate_cards.view", reply=ImpactOut)
    def get(self, request: Request, rate_card: str) -> Response:
        """Re-rate closed periods under a card.

        Per tenant whom cards of its name and currency price today, the last three closed periods; nothing is saved.
        """
        return self.reply(ImpactOut, impact_of(self.find(rate_card)))


class WhatIfQuery(Query):
    """What is different; at least one."""

    rate_card = serializers.CharField(required=False, max_length=40, help_text="Another card's id.")
    tier = serializers.CharField(required=False, max_length=30, help_text="Another tier's key, at its card of today.")
    serving_line = serializers.CharField(required=False, max_length=30, help_text="All usage on this line.")


class InvoiceWhatIf(RateCardView):
    """A closed period under other terms."""

    # Drafts of prices are nothing for a tenant's own key, so this asks for the scope of prices.
    @endpoint("what_if", scope="rate_cards.view", query=WhatIfQuery, reply=WhatIfOut)
    def get(self, request: Request, invoice: str) -> Response:
        """Re-rate a closed period under another card, tier or serving line.

        The same engine over the usage that was billed; it runs in a read-only transaction, so nothing is touched.
        """
        found = queries.get_invoice(invoice, tenant_ids=self.visible_tenants)
        ref = self.query.get("rate_card")
        otherwise = Otherwise(
            card_id=self.find(ref).pk if ref else None,
            tier=self.query.get("tier"),
            serving_line=self.query.get("serving_line"),
        )
        return self.reply(WhatIfOut, what_if(found.pk, otherwise))
