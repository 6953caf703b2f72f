"""/rate-cards: what things cost."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery
from api.endpoint import ApiView, endpoint
from billing import queries
from billing.rating.parameters import RATE_MODELS
from billing.states import RateCardState


class RateOut(serializers.Serializer[Any]):
    """One price."""

    key = serializers.CharField()
    meter = serializers.CharField(allow_blank=True, help_text="Empty for fees and commitments.")
    model = serializers.ChoiceField(choices=RATE_MODELS)
    parameters = serializers.JSONField()
    description = serializers.CharField()


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
    rates = RateOut(many=True, source="rates.all")
    prices = serializers.SerializerMethodField()

    @extend_schema_field(TierPriceOut(many=True))
    def get_prices(self, card: Any) -> list[Any]:
        """The tiers it prices."""
        return list(TierPriceOut(card.tier_prices.all(), many=True).data)


class RateCardQuery(PageQuery):
    """Filters of the list."""

    currency = serializers.CharField(required=False, min_length=3, max_length=3)
    state = serializers.ChoiceField(choices=RateCardState.choices, required=False)


class RateCardList(ApiView):
    """All rate cards."""

    @endpoint("list_rate_cards", scope="rate_cards.view", query=RateCardQuery, reply=RateCardOut, many=True)
    def get(self, request: Request) -> Response:
        """List rate cards with their prices and the tiers they are for, newest first."""
        found = queries.list_rate_cards(currency=self.query.get("currency"), state=self.query.get("state"))
        return self.page(found, RateCardOut)
