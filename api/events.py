"""/events: the audit trail."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import PageQuery
from api.endpoint import ApiView, endpoint
from api.fields import ActorOut
from events.queries import search_events
from tenants.queries import get_tenant


class EventOut(serializers.Serializer[Any]):
    """Something that happened."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    occurred_at = serializers.DateTimeField(source="created_at")
    tenant = serializers.SerializerMethodField()
    subject = serializers.CharField(source="subject_ref")
    actor = serializers.SerializerMethodField()
    request_id = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    data = serializers.JSONField(allow_null=True)  # type: ignore[assignment]  # DRF moves declared fields away

    def get_tenant(self, event: Any) -> str | None:
        """The tenant's id; null for what concerns no tenant."""
        return event.tenant_ref or None

    @extend_schema_field(ActorOut)
    def get_actor(self, event: Any) -> dict[str, str]:
        """Who did it."""
        return {"kind": event.actor_kind, "ref": event.actor_ref, "name": event.actor_name}


class EventQuery(PageQuery):
    """Filters of the audit trail."""

    name = serializers.CharField(required=False, max_length=60, help_text="Such as `tenant.activated`.")
    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")
    subject = serializers.CharField(required=False, max_length=40, help_text="The id of what it happened to.")
    request_id = serializers.CharField(required=False, max_length=64)


class EventList(ApiView):
    """The audit trail."""

    @endpoint("list_events", scope="audit.view", query=EventQuery, reply=EventOut, many=True)
    def get(self, request: Request) -> Response:
        """List what happened, newest first."""
        tenant_ids = self.visible_tenants
        if tenant := self.query.get("tenant"):
            tenant_ids = {get_tenant(tenant, tenant_ids=tenant_ids).pk}
        found = search_events(
            tenant_ids=tenant_ids,
            subject_ref=self.query.get("subject"),
            name=self.query.get("name"),
            request_id=self.query.get("request_id"),
        )
        return self.page(found, EventOut)
