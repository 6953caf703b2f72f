"""/serving-lines and /packing: the ways to answer, who is routed to them, and what sits on which endpoint."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery
from api.endpoint import ApiView, endpoint
from api.pagination import page_reply
from provisioning import line_queries
from provisioning.services.packing import pack


class LineTierOut(serializers.Serializer[Any]):
    """A tier version that routes to a line, at which place, and how much of it a tenant may use."""

    tier = serializers.CharField(source="tier_version.tier.key")
    number = serializers.IntegerField(source="tier_version.number")
    position = serializers.IntegerField(help_text="From 0.")
    allowance_tokens = serializers.IntegerField(allow_null=True, help_text="Null: as much as its token limits allow.")
    allowance_window = serializers.CharField()


class ServingLineOut(serializers.Serializer[Any]):
    """A named way to answer."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=["hosted", "api"])
    model = serializers.CharField(source="model_name")
    region = serializers.CharField()
    price_basis = serializers.ChoiceField(choices=["instance_hours", "tokens"])
    usd_per_million_input = serializers.DecimalField(max_digits=12, decimal_places=6, allow_null=True)
    usd_per_million_output = serializers.DecimalField(max_digits=12, decimal_places=6, allow_null=True)
    capacity_tokens_per_minute = serializers.IntegerField(allow_null=True, help_text="Null: not known.")
    endpoint_scope = serializers.CharField()
    component_scope = serializers.CharField()
    instance_type = serializers.CharField(allow_blank=True)
    max_instance_count = serializers.IntegerField()
    copies = serializers.IntegerField()
    eula_url = serializers.CharField(allow_blank=True, help_text="Of a gated model.")
    tiers = serializers.SerializerMethodField()

    @extend_schema_field(LineTierOut(many=True))
    def get_tiers(self, line: Any) -> list[Any]:
        """The tier versions that route to it."""
        return list(LineTierOut(line.routes.all(), many=True).data)


class PackedAdapterOut(serializers.Serializer[Any]):
    """An adapter component on a base."""

    name = serializers.CharField()
    tenant = serializers.CharField(source="tenant.public_id", default=None, allow_null=True)
    adapter_version = serializers.CharField(source="adapter_version.public_id", default=None, allow_null=True)


class PackedBaseOut(serializers.Serializer[Any]):
    """A base component on an endpoint."""

    name = serializers.CharField(source="component.name")
    line = serializers.CharField(source="component.line.name", default=None, allow_null=True)
    model = serializers.CharField(source="model_name")
    copies = serializers.IntegerField()
    accelerators = serializers.IntegerField(help_text="Of all copies.")
    memory_used_bytes = serializers.IntegerField(
        source="used_bytes", allow_null=True, help_text="Weights and adapter slots of all copies; null: not known."
    )
    concurrent_sequences = serializers.IntegerField(source="sequences", allow_null=True)
    adapters = PackedAdapterOut(many=True)


class PackedEndpointOut(serializers.Serializer[Any]):
    """An endpoint and what sits on it."""

    name = serializers.CharField(source="endpoint.name")
    tenant = serializers.CharField(source="endpoint.tenant.public_id", default=None, allow_null=True)
    account = serializers.CharField(source="endpoint.account")
    region = serializers.CharField(source="endpoint.region")
    instance_type = serializers.CharField()
    instance_count = serializers.IntegerField()
    max_instance_count = serializers.IntegerField()
    instances_needed = serializers.IntegerField(allow_null=True, help_text="For the copies, none of them split.")
    accelerators_used = serializers.IntegerField()
    accelerators_at_most = serializers.IntegerField(allow_null=True)
    memory_used_bytes = serializers.IntegerField()
    memory_at_most_bytes = serializers.IntegerField(allow_null=True)
    bases = PackedBaseOut(many=True)


class ServingLineList(ApiView):
    """All lines."""

    @endpoint("list_serving_lines", scope="operations.view", query=PageQuery, reply=ServingLineOut, many=True)
    def get(self, request: Request) -> Response:
        """List the serving lines with the tiers that route to them, oldest first."""
        return self.page(line_queries.serving_lines(self.visible_tenants), ServingLineOut, order="id")


class PackingList(ApiView):
    """All endpoints."""

    @endpoint("list_packing", scope="operations.view", query=PageQuery, reply=PackedEndpointOut, many=True)
    def get(self, request: Request) -> Response:
        """List the endpoints with the base components and adapters on them and what they take, newest first."""
        return page_reply(
            line_queries.endpoints(self.visible_tenants),
            request=self.request,
            query=self.query,
            show=lambda rows: list(PackedEndpointOut(pack(rows), many=True).data),
        )
