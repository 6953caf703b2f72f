"""/inventory: how AWS differs from what our rows say."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery
from api.endpoint import ApiView, endpoint
from provisioning import queries

KINDS = ("orphan", "missing", "drift", "stuck")


class InventoryFindingOut(serializers.Serializer[Any]):
    """One difference between AWS and our rows that the last inventory saw."""

    id = serializers.CharField(source="public_id")
    kind = serializers.ChoiceField(choices=KINDS)
    tenant = serializers.CharField(source="tenant.public_id", default=None, allow_null=True, help_text="Null: shared.")
    owner = serializers.CharField(
        help_text="Whose it is: a tenant's name, `shared`, or, of an orphan, `unknown: tag says …`."
    )
    resource = serializers.CharField(
        source="resource.public_id",
        default=None,
        allow_null=True,
        help_text="Our row; of an orphan once it was adopted or is deleted.",
    )
    account = serializers.CharField()
    region = serializers.CharField()
    aws_kind = serializers.CharField()
    name = serializers.CharField(help_text="Its name in AWS.")
    arn = serializers.CharField(allow_blank=True)
    tags = serializers.DictField(child=serializers.CharField())
    detail = serializers.CharField()
    what_to_do = serializers.CharField()
    before = serializers.DictField(help_text="What we wish; for drift.")
    after = serializers.DictField(help_text="What AWS has; for drift.")
    usd_per_hour = serializers.DecimalField(
        max_digits=12, decimal_places=4, allow_null=True, help_text="Of an orphan; null: the price is not known."
    )
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    sightings = serializers.IntegerField()
    is_confirmed = serializers.BooleanField(help_text="An orphan counts after two sightings with time between them.")
    is_wrong = serializers.BooleanField(help_text="Somebody should do something: confirmed and not ignored.")
    ignored_reason = serializers.CharField(allow_blank=True)


class InventoryQuery(PageQuery):
    """Filters of the list."""

    kind = serializers.ChoiceField(choices=KINDS, required=False)


class InventoryList(ApiView):
    """All findings."""

    @endpoint("list_inventory", scope="operations.view", query=InventoryQuery, reply=InventoryFindingOut, many=True)
    def get(self, request: Request) -> Response:
        """List how AWS differs from what we wish, newest finding first."""
        return self.page(queries.findings(self.visible_tenants, kind=self.query.get("kind")), InventoryFindingOut)
