"""/limits: token limits for data planes that do not run our kit."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, Text
from api.endpoint import ApiView, endpoint
from provisioning.services import limits
from tenants.queries import get_tenant

# No model reads or writes more in one request; more is a mistake of units.
MOST_TOKENS = 100_000_000


class ReserveIn(Body):
    """What a request may cost at most."""

    tenant = Text(max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    input_tokens = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, help_text="An upper bound; a prompt has no more tokens than bytes."
    )
    max_output_tokens = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, help_text="What the model is asked to stop at, times the answers asked for."
    )
    line = Text(
        max_length=30,
        required=False,
        help_text="The line that the request is to go to, as the runtime config names it: what the tenant may use of "
        "that line is held too, and a 429 then says to reserve on the next one.",
    )


class LimitOut(serializers.Serializer[Any]):
    """A token limit by its names."""

    meter = serializers.CharField()
    window = serializers.CharField()


class ReservationOut(serializers.Serializer[Any]):
    """Tokens that are held for one request."""

    id = serializers.CharField(source="reservation")
    expires_at = serializers.DateTimeField(help_text="What is not settled by then is given back.")
    over = serializers.SerializerMethodField(help_text="Soft limits that were full already.")

    @extend_schema_field(LimitOut(many=True))
    def get_over(self, held: Any) -> list[dict[str, str]]:
        """The soft limits by their names."""
        return [{"meter": meter, "window": window} for meter, window in held.over]


class SettleIn(Body):
    """What the request did cost."""

    tenant = Text(max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    reservation = Text(max_length=40)
    input_tokens = serializers.IntegerField(min_value=0, max_value=MOST_TOKENS)
    output_tokens = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, help_text="What was delivered; with zero in both, everything is given back."
    )


class SettlementOut(serializers.Serializer[Any]):
    """What settling did."""

    reservation = serializers.CharField()
    counted = serializers.BooleanField(help_text="False when it was settled before; nothing was counted again then.")


class LimitReservation(ApiView):
    """Asking for leave."""

    @endpoint(
        "reserve_tokens",
        scope="limits.use",
        body=ReserveIn,
        reply=ReservationOut,
        status=201,
        request_example={"tenant": "ext:CRM-42", "input_tokens": 1200, "max_output_tokens": 400},
    )
    def post(self, request: Request) -> Response:
        """Reserve tokens for one request before it is sent to the model.

        A hard limit without room answers 429 `limit_exceeded` with Retry-After. Settle with what the answer reports;
        what is not settled within ten minutes is given back.
        """
        tenant = get_tenant(self.body["tenant"], tenant_ids=self.visible_tenants)
        held = limits.reserve_tokens(
            tenant_id=tenant.pk,
            input_tokens=self.body["input_tokens"],
            output_tokens=self.body["max_output_tokens"],
            line=self.body.get("line", ""),
        )
        return self.reply(ReservationOut, held, status=201)


class LimitSettlement(ApiView):
    """Counting what was used."""

    @endpoint(
        "settle_tokens",
        scope="limits.use",
        body=SettleIn,
        reply=SettlementOut,
        request_example={
            "tenant": "ext:CRM-42",
            "reservation": "rsv_6920f1a81f0e9d8c7b6a5948",
            "input_tokens": 312,
            "output_tokens": 207,
        },
    )
    def post(self, request: Request) -> Response:
        """Settle a reservation with what the request did cost; doing it twice is harmless."""
        tenant = get_tenant(self.body["tenant"], tenant_ids=self.visible_tenants)
        counted = limits.settle_reservation(
            tenant_id=tenant.pk,
            reservation=self.body["reservation"],
            input_tokens=self.body["input_tokens"],
            output_tokens=self.body["output_tokens"],
        )
        return self.reply(SettlementOut, {"reservation": self.body["reservation"], "counted": counted})
