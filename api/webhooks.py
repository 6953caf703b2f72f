"""/webhooks: where a customer's systems want to be told, what was sent to them, and sending it again."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, InvalidParameter, PageQuery, Text
from api.endpoint import ApiView, endpoint
from api.fields import actions_open_to
from api.idempotency import KeyRule
from api.tenants import OptionalReasonIn
from core.errors import FieldError
from events.catalog import SUBSCRIBABLE
from events.record import HasIds
from events.webhooks import endpoints, queries, replay
from events.webhooks.destinations import LONGEST_URL
from events.webhooks.states import DeliveryState, DisabledReason, EndpointState
from tenants.queries import get_tenant, list_tenants

SCOPE = "webhooks.manage"
ATTEMPTS_SHOWN = 50
EVENTS_HELP = "Names from the catalogue of events; none means all that can be subscribed to."


class WebhookOut(serializers.Serializer[Any]):
    """An endpoint, without its secret."""

    id = serializers.CharField(source="public_id")
    url = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    events = serializers.ListField(source="event_names", child=serializers.CharField(), help_text=EVENTS_HELP)
    tenant = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=EndpointState.choices)
    disabled_reason = serializers.ChoiceField(choices=DisabledReason.choices, allow_blank=True)
    disabled_at = serializers.DateTimeField(allow_null=True)
    health = serializers.ChoiceField(choices=["healthy", "failing", "disabled", "unused"])
    failing_since = serializers.DateTimeField(allow_null=True, help_text="Disabled after five days of it.")
    last_attempt_at = serializers.DateTimeField(allow_null=True)
    last_success_at = serializers.DateTimeField(allow_null=True)
    old_secret_until = serializers.DateTimeField(
        source="previous_secret_until", allow_null=True, help_text="Until then messages are signed with both secrets."
    )
    created_at = serializers.DateTimeField()
    available_actions = serializers.SerializerMethodField()

    def get_tenant(self, row: Any) -> str | None:
        """The tenant whose events it hears of; null for those of all tenants."""
        return row.tenant_ref or None

    def get_available_actions(self, row: Any) -> list[str]:
        """What the caller may do with it now."""
        is_active = row.state == EndpointState.ACTIVE
        possible = {
            "update": True,
            "rotate_secret": True,
            "test": is_active,
            "replay": is_active,
            "disable": is_active,
            "enable": not is_active,
            "delete": not is_active,
        }
        return actions_open_to(self.context["principal"], dict.fromkeys(possible, SCOPE), possible)


class WebhookWithSecretOut(WebhookOut):
    """An endpoint with its new secret, which is shown this once."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, _row: Any) -> str:
        """`whsec_…`, as Standard Webhooks libraries take it."""
        return str(self.context["secret"])


class AttemptOut(serializers.Serializer[Any]):
    """One try."""

    number = serializers.IntegerField()
    url = serializers.CharField()
    ended_at = serializers.DateTimeField()
    duration_ms = serializers.IntegerField(allow_null=True)
    status = serializers.IntegerField(allow_null=True, help_text="The receiver's answer; null when none came.")
    error = serializers.CharField(
        allow_blank=True,
        help_text="Empty for a success; or http_status, redirect, timeout, connection, tls, unresolvable, refused, "
        "bad_reply, lost.",
    )
    detail = serializers.CharField(allow_blank=True)
    response = serializers.CharField(allow_blank=True, help_text="The beginning of the answer.")


class WebhookDeliveryOut(serializers.Serializer[Any]):
    """One event on its way to one endpoint."""

    id = serializers.CharField(source="public_id")
    event = serializers.CharField(source="event.public_id", help_text="Sent as `webhook-id`.")
    type = serializers.CharField(source="event.name")
    occurred_at = serializers.DateTimeField(source="event.created_at")
    state = serializers.ChoiceField(choices=DeliveryState.choices)
    attempt_count = serializers.IntegerField(source="attempts")
    next_attempt_at = serializers.SerializerMethodField()
    delivered_at = serializers.DateTimeField(allow_null=True)
    last_status = serializers.IntegerField(allow_null=True)
    last_error = serializers.CharField(allow_blank=True)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, row: Any) -> Any:
        """When it is tried next; null when it is not."""
        return row.due_at if row.state == DeliveryState.WAITING else None


class WebhookDeliveryDetailOut(WebhookDeliveryOut):
    """A delivery with what is sent and what came of each try, newest first."""

    body = serializers.CharField(help_text="The very text that is sent and signed.")
    attempts = serializers.SerializerMethodField()

    @extend_schema_field(AttemptOut(many=True))
    def get_attempts(self, row: Any) -> Any:
        """The last fifty tries."""
        return AttemptOut(queries.attempts_of(row)[:ATTEMPTS_SHOWN], many=True).data


class ReplayOut(serializers.Serializer[Any]):
    """How much is sent again."""

    events = serializers.IntegerField()


class WebhookIn(Body):
    """A new endpoint."""

    url = Text(max_length=LONGEST_URL, help_text="https, port 443 or 8443, reachable from the internet.")
    events = serializers.ListField(
        child=Text(max_length=60), max_length=len(SUBSCRIBABLE), default=list, help_text=EVENTS_HELP
    )
    description = Text(max_length=endpoints.LONGEST_DESCRIPTION, allow_blank=True, default="")
    tenant = Text(
        max_length=110,
        allow_null=True,
        default=None,
        help_text="Hear of this tenant alone. A tenant's own key need not name it.",
    )


class WebhookChangesIn(Body):
    """What can be changed; what is left out stays."""

    url = Text(max_length=LONGEST_URL)
    events = serializers.ListField(child=Text(max_length=60), max_length=len(SUBSCRIBABLE), help_text=EVENTS_HELP)
    description = Text(max_length=endpoints.LONGEST_DESCRIPTION, allow_blank=True)


class ReplayIn(Body):
    """A half-open range of time, at most 31 days."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class WebhookQuery(PageQuery):
    """Filters of the list."""

    tenant = serializers.CharField(required=False, max_length=110, help_text="A tenant's id, slug or `ext:…`.")


class WebhookDeliveryQuery(PageQuery):
    """Filters of the deliveries."""

    state = serializers.CharField(required=False, max_length=10, help_text="Such as `failed`.")


class WebhookView(ApiView):
    """What the operations on one endpoint share."""

    def find(self, webhook: str) -> Any:
        """The endpoint, if the caller may see it. Raises WebhookNotFound."""
        return queries.get_endpoint(webhook, tenant_ids=self.visible_tenants)

    def with_secret(self, row: Any, secret: str, *, status: int = 200) -> Response:
        """The one answer that holds a secret."""
        shown = WebhookWithSecretOut(row, context={"principal": self.principal, "secret": secret}).data
        return Response(shown, status=status, headers={"Location": f"/api/v1/webhooks/{row.public_id}"})


class WebhookList(WebhookView):
    """All endpoints."""

    @endpoint("list_webhooks", scope=SCOPE, query=WebhookQuery, reply=WebhookOut, many=True)
    def get(self, request: Request) -> Response:
        """List webhook endpoints, newest first; secrets are not kept and cannot be read."""
        tenant_ids = self.visible_tenants
        if tenant := self.query.get("tenant"):
            tenant_ids = {get_tenant(tenant, tenant_ids=tenant_ids).pk}
        return self.page(queries.list_endpoints(tenant_ids=tenant_ids), WebhookOut)

    @endpoint(
        "create_webhook",
        scope=SCOPE,
        body=WebhookIn,
        reply=WebhookWithSecretOut,
        status=201,
        # A kept reply would keep the secret, which must be nowhere.
        idempotency=KeyRule.IGNORED,
        request_example={
            "url": "https://hooks.example.com/control-plane",
            "events": ["invoice.finalized", "invoice.voided", "credit_note.issued"],
            "description": "ERP",
        },
    )
    def post(self, request: Request) -> Response:
        """Add a webhook endpoint.

        The reply holds the secret that its messages are signed with, this once. It hears of what happens from now on;
        a replay sends what happened before.
        """
        made, secret = endpoints.create_endpoint(
            url=self.body["url"],
            event_names=self.body["events"],
            description=self.body["description"],
            tenant=self._tenant(self.body["tenant"]),
            actor=self.actor,
        )
        return self.with_secret(made, secret, status=201)

    def _tenant(self, ref: str | None) -> HasIds | None:
        """Whose endpoint it will be: a key of one tenant makes endpoints of that tenant."""
        if ref is not None:
            return get_tenant(ref, tenant_ids=self.visible_tenants)
        return None if self.visible_tenants is None else list_tenants(tenant_ids=self.visible_tenants).get()


class WebhookDetail(WebhookView):
    """One endpoint."""

    @endpoint("get_webhook", scope=SCOPE, reply=WebhookOut)
    def get(self, request: Request, webhook: str) -> Response:
        """Read a webhook endpoint."""
        found = self.find(webhook)
        return self.reply(WebhookOut, found, version=found.version)

    @endpoint(
        "update_webhook",
        scope=SCOPE,
        body=WebhookChangesIn,
        reply=WebhookOut,
        if_match=True,
        request_example={"description": "The new ERP"},
    )
    def patch(self, request: Request, webhook: str) -> Response:
        """Change a webhook endpoint; what waits goes to the new address."""
        found = self.find(webhook)
        self.match(found.version)
        changed = endpoints.change_endpoint(
            endpoint_id=found.pk, changes=_changes(self.body), expected_version=found.version, actor=self.actor
        )
        return self.reply(WebhookOut, changed, version=changed.version)

    @endpoint("delete_webhook", scope=SCOPE, status=204)
    def delete(self, request: Request, webhook: str) -> Response:
        """Delete a disabled webhook endpoint with the record of what was sent to it."""
        endpoints.delete_endpoint(endpoint_id=self.find(webhook).pk, actor=self.actor)
        return Response(status=204)


class WebhookSecretRotation(WebhookView):
    """A new secret."""

    @endpoint("rotate_webhook_secret", scope=SCOPE, reply=WebhookWithSecretOut, idempotency=KeyRule.IGNORED)
    def post(self, request: Request, webhook: str) -> Response:
        """Give a webhook endpoint a new secret.

        The reply holds it, this once. For 24 hours messages carry a signature of each, so that the receiver can change
        over in between.
        """
        return self.with_secret(*endpoints.rotate_secret(endpoint_id=self.find(webhook).pk, actor=self.actor))


class WebhookTest(WebhookView):
    """A message to try an endpoint out."""

    @endpoint("test_webhook", scope=SCOPE, reply=WebhookDeliveryOut, status=202)
    def post(self, request: Request, webhook: str) -> Response:
        """Send a `webhook.test` message; its delivery shows what came of it."""
        made = endpoints.send_test(endpoint_id=self.find(webhook).pk, actor=self.actor)
        location = f"/api/v1/webhooks/{webhook}/deliveries/{made.public_id}"
        return self.reply(WebhookDeliveryOut, made, status=202, location=location)


class WebhookDisabling(WebhookView):
    """Silence."""

    @endpoint("disable_webhook", scope=SCOPE, body=OptionalReasonIn, reply=WebhookOut)
    def post(self, request: Request, webhook: str) -> Response:
        """Disable a webhook endpoint; what waits for it is cancelled."""
        done = endpoints.disable_endpoint(
            endpoint_id=self.find(webhook).pk, reason=self.body["reason"], actor=self.actor
        )
        return self.reply(WebhookOut, done, version=done.version)


class WebhookEnabling(WebhookView):
    """An end of the silence."""

    @endpoint("enable_webhook", scope=SCOPE, reply=WebhookOut)
    def post(self, request: Request, webhook: str) -> Response:
        """Enable a webhook endpoint; replay the time meanwhile to send what it missed."""
        done = endpoints.enable_endpoint(endpoint_id=self.find(webhook).pk, actor=self.actor)
        return self.reply(WebhookOut, done, version=done.version)


class WebhookReplay(WebhookView):
    """Sending a range again."""

    @endpoint(
        "replay_webhook",
        scope=SCOPE,
        body=ReplayIn,
        reply=ReplayOut,
        status=202,
        request_example={"start": "2026-11-19T00:00:00Z", "end": "2026-11-20T00:00:00Z"},
    )
    def post(self, request: Request, webhook: str) -> Response:
        """Send every event of a time range again, delivered or not, with its id and bytes of the first time."""
        count = replay.replay_range(endpoint_id=self.find(webhook).pk, **self.body, actor=self.actor)
        return self.reply(ReplayOut, {"events": count}, status=202)


class WebhookDeliveryList(WebhookView):
    """What was sent."""

    @endpoint("list_webhook_deliveries", scope=SCOPE, query=WebhookDeliveryQuery, reply=WebhookDeliveryOut, many=True)
    def get(self, request: Request, webhook: str) -> Response:
        """List the deliveries of a webhook endpoint, newest first."""
        found, state = self.find(webhook), self.query.get("state")
        if state and state not in DeliveryState.values:
            known = f"States are: {', '.join(DeliveryState.values)}."
            raise InvalidParameter(known, errors=[FieldError("?state", "unknown_state", known)])
        return self.page(queries.list_deliveries(found, state=state), WebhookDeliveryOut)


class WebhookDeliveryDetail(WebhookView):
    """One delivery."""

    @endpoint("get_webhook_delivery", scope=SCOPE, reply=WebhookDeliveryDetailOut)
    def get(self, request: Request, webhook: str, webhook_delivery: str) -> Response:
        """Read a delivery, with what is sent and what came of each try."""
        return self.reply(WebhookDeliveryDetailOut, queries.get_delivery(self.find(webhook), webhook_delivery))


class WebhookDeliveryReplay(WebhookView):
    """Sending one again."""

    @endpoint("replay_webhook_delivery", scope=SCOPE, reply=WebhookDeliveryOut, status=202)
    def post(self, request: Request, webhook: str, webhook_delivery: str) -> Response:
        """Send one delivery again, now, with the same id and bytes."""
        found = queries.get_delivery(self.find(webhook), webhook_delivery)
        again = replay.replay_delivery(delivery_id=found.pk, actor=self.actor)
        return self.reply(WebhookDeliveryOut, again, status=202)


def _changes(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by our names for them."""
    names = {"events": "event_names"}
    return {names.get(name, name): value for name, value in body.items()}
