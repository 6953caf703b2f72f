"""What served at T and what served when, for a tenant or an adapter, gaps included."""

from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.adapters import NamedOut
from api.bodies import Query
from api.canaries import SharedOut
from api.endpoint import ApiView, endpoint
from api.releases import ServedAtQuery, ServedOut
from models_registry import queries
from models_registry.history_files import MEDIA_TYPES, pieces_of
from tenants.queries import get_tenant


class ServedThenOut(serializers.Serializer[Any]):
    """Which version of one adapter answered at an instant, or why none did."""

    adapter = NamedOut()
    served = ServedOut(allow_null=True)
    canary = SharedOut(allow_null=True, help_text="Which version had a share of the requests beside it, if one did.")
    gap = serializers.CharField(
        allow_blank=True, help_text="Why nothing answered: not_released, withdrawn, suspended or left; else empty."
    )


class TenantServedAtOut(serializers.Serializer[Any]):
    """What each of a tenant's adapters answered with at an instant."""

    tenant = serializers.CharField()
    at = serializers.DateTimeField()
    adapters = ServedThenOut(many=True)


class HistoryQuery(Query):
    """The file's format, and the time it is about: all of it without bounds."""

    format = serializers.ChoiceField(choices=sorted(MEDIA_TYPES), default="json")
    start = serializers.DateTimeField(required=False, help_text="RFC 3339, with its offset.")
    end = serializers.DateTimeField(required=False, help_text="RFC 3339, with its offset; itself left out.")


class TenantServedAt(ApiView):
    """What a tenant's adapters answered with at an instant."""

    @endpoint("get_tenant_served_at", scope="adapters.view", query=ServedAtQuery, reply=TenantServedAtOut)
    def get(self, request: Request, tenant: str) -> Response:
        """Read what each adapter of a tenant answered with at an instant."""
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        then = queries.served_then(list(queries.adapters_of(found.pk)), self.query["at"])
        return self.reply(TenantServedAtOut, {"tenant": found.public_id, "at": self.query["at"], "adapters": then})


class TenantHistory(ApiView):
    """What a tenant's adapters served when, as a file."""

    @endpoint("export_tenant_history", scope="adapters.view", query=HistoryQuery, media_type="application/json")
    def get(self, request: Request, tenant: str) -> HttpResponseBase:
        """Download what every adapter of a tenant served when, gaps and shares included, as JSON or CSV."""
        found = get_tenant(tenant, tenant_ids=self.visible_tenants)
        return history_file(list(queries.adapters_of(found.pk)), self.query, name=found.slug)


class AdapterHistory(ApiView):
    """What an adapter served when, as a file."""

    @endpoint("export_adapter_history", scope="adapters.view", query=HistoryQuery, media_type="application/json")
    def get(self, request: Request, adapter: str) -> HttpResponseBase:
        """Download what an adapter served when, gaps and shares included, as JSON or CSV."""
        found = queries.get_adapter(adapter, tenant_ids=self.visible_tenants)
        return history_file([found], self.query, name=f"{found.tenant.slug}-{found.name}")


def history_file(adapters: list[Any], query: dict[str, Any], *, name: str) -> HttpResponseBase:
    """The stretches of these adapters as a streamed file. Raises TooMuchToExport before its first byte."""
    start, end, file_format = query.get("start"), query.get("end"), query["format"]
    queries.refuse_too_much([adapter.pk for adapter in adapters], start=start, end=end)
    stretches = queries.served_stretches(adapters, start=start, end=end)
    response = StreamingHttpResponse(pieces_of(stretches, file_format), content_type=MEDIA_TYPES[file_format])
    response["Content-Disposition"] = f'attachment; filename="{name}-served.{file_format}"'
    return response
