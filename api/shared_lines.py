"""/shared-lines: who uses the lines that tenants share, who is turned away there, and what to do about it."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery
from api.endpoint import ApiView, endpoint
from api.pagination import page_reply
from metering.services.neighbours import shared_lines
from provisioning.limit_queries import list_shared_lines

EXAMPLE = {
    "line": "pooled",
    "region": "us-west-2",
    "instance_type": "ml.g5.2xlarge",
    "tokens": 9200000,
    "tenant_count": 12,
    "tenants": [
        {
            "tenant": "ten_01m7wyrstv9qeqcgpqjtka1v0y",
            "name": "Acme Corp",
            "tokens": 7636000,
            "share_percent": 83,
            "requests": 4100,
            "milliseconds_per_request": 812.5,
            "turned_away": 0,
            "refused_by_limits": 3,
            "fullest_limit": {"meter": "total_tokens", "window": "minute", "mode": "hard", "percent": 96},
        }
    ],
    "advice": ["The line turned away Beta Inc. (41 times). Acme Corp uses 83 % of it: move it to a tier with …"],
}


class FullestOut(serializers.Serializer[Any]):
    """The token limit that a tenant is nearest to."""

    meter = serializers.CharField()
    window = serializers.CharField()
    mode = serializers.CharField()
    percent = serializers.IntegerField(help_text="Of its amount, tokens that are held included.")


class OnLineOut(serializers.Serializer[Any]):
    """One tenant on a shared line."""

    tenant = serializers.CharField(source="use.tenant_ref")
    name = serializers.CharField(source="use.name")
    tokens = serializers.IntegerField(source="use.tokens", help_text="In and out together.")
    share_percent = serializers.IntegerField(source="use.share_percent", help_text="Of the line's tokens.")
    requests = serializers.IntegerField(source="use.requests")
    milliseconds_per_request = serializers.FloatField(
        source="use.milliseconds", allow_null=True, help_text="On average; null: not measured."
    )
    turned_away = serializers.IntegerField(
        source="use.turned_away", help_text="How often the line did not answer it: another line did, or nobody."
    )
    refused_by_limits = serializers.IntegerField(
        source="use.refused", help_text="How often its own token limits refused it, on whatever line."
    )
    fullest_limit = FullestOut(source="fullest", allow_null=True, help_text="Null: no limits, or not known now.")


class SharedLineOut(serializers.Serializer[Any]):
    """A line whose instances tenants share, with those that use it most or are turned away most."""

    line = serializers.CharField(source="line.name")
    region = serializers.CharField(source="line.region")
    instance_type = serializers.CharField(source="line.instance_type")
    tokens = serializers.IntegerField(help_text="Of all its tenants.")
    tenant_count = serializers.IntegerField(source="tenants", help_text="That used it or were turned away.")
    tenants = OnLineOut(source="on_it", many=True, help_text="Ten of each kind at most; most tokens first.")
    advice = serializers.ListField(child=serializers.CharField(), help_text="Empty when nobody suffers.")


class SharedLineQuery(PageQuery):
    """How far back."""

    hours = serializers.IntegerField(min_value=1, max_value=168, default=24, help_text="Full hours before this one.")


class SharedLineList(ApiView):
    """All of them."""

    @endpoint(
        "list_shared_lines",
        scope="usage.view",
        query=SharedLineQuery,
        reply=SharedLineOut,
        many=True,
        reply_example={"data": [EXAMPLE], "has_more": False, "next_cursor": None},
    )
    def get(self, request: Request) -> Response:
        """List shared lines, newest first, with who uses what share and who suffers.

        A key of one tenant sees none, as they tell of the others. Usage is what metering has read so far: the newest
        hour is usually missing.
        """
        return page_reply(
            list_shared_lines(self.visible_tenants),
            request=request,
            query=self.query,
            show=lambda lines: list(SharedLineOut(shared_lines(lines, hours=self.query["hours"]), many=True).data),
        )
