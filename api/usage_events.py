"""/usage-events: usage that the callers count themselves, up to a thousand events at a time."""

import json
from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.bodies import Body, JsonBody
from api.endpoint import ApiView, endpoint
from api.idempotency import KeyRule
from metering.event_rules import AHEAD, LATEST_AFTER, MOST_EVENTS, shown_id
from metering.meters import EVENT_METERS
from metering.services.events import Taken, record_usage_events
from tenants.queries import get_tenant

ALL, PARTIAL = "all", "partial"


class UsageEventIn(serializers.Serializer[Any]):
    """Something that was used once."""

    id = serializers.CharField(max_length=64, help_text="Yours; it stands for this event for ever, per tenant.")
    tenant = serializers.CharField(required=False, help_text="Absent: the `tenant` of the batch, or of the key.")
    meter = serializers.ChoiceField(choices=sorted(EVENT_METERS))
    line = serializers.CharField(help_text="The serving line that answered.")
    adapter_version = serializers.CharField(help_text='The version that answered, or "base".')
    quantity = serializers.IntegerField(min_value=1)
    occurred_at = serializers.DateTimeField(
        help_text=f"RFC 3339; at most {LATEST_AFTER.days} days ago and {AHEAD.seconds // 60} minutes ahead."
    )


@extend_schema_field(UsageEventIn(many=True))
class Events(serializers.Field[Any, Any, Any, Any]):
    """A list of anything: a field's own rules would take longer per event than everything else together."""

    def to_internal_value(self, data: Any) -> list[Any]:
        """Raises ValidationError for anything but a list."""
        if not isinstance(data, list):
            raise serializers.ValidationError("This must be a list.", code="wrong_type")
        return data


class UsageEventsIn(Body):
    """A batch. With mode `all` one bad event refuses the batch; with `partial` the others are taken."""

    tenant = serializers.RegexField(r"^[!-~]{1,64}\Z", required=False, help_text="Of events that name none.")
    mode = serializers.ChoiceField(choices=[ALL, PARTIAL], default=ALL)
    events = Events(help_text=f"1 to {MOST_EVENTS}.")


class EventResultOut(serializers.Serializer[Any]):
    """What became of one event."""

    index = serializers.IntegerField()
    id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["accepted", "duplicate", "refused"])
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)


class UsageEventsOut(serializers.Serializer[Any]):
    """What became of a batch."""

    batch = serializers.CharField(allow_blank=True, help_text="Empty when nothing was well-formed.")
    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Known before, word for word; sending again is harmless.")
    refused = serializers.IntegerField()
    results = EventResultOut(many=True, required=False, help_text="One per event, in mode `partial` only.")


class EventsJson(JsonBody):
    """Without the walk over every text: an event's texts are held to patterns of their own."""

    def decode(self, raw: bytes) -> Any:
        """Half a surrogate pair, which msgspec refuses, is the fault of one event and not of the batch."""
        try:
            document = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            document = json.loads(raw)
        if isinstance(document, dict) and not all(name.isprintable() for name in document):
            raise ValueError("a name holds characters that cannot be shown")
        return document


EXAMPLE = {
    "mode": "all",
    "events": [
        {
            "id": "req-7f3c9a",
            "tenant": "ten_01jd0000000000000000000000",
            "meter": "output_tokens",
            "line": "pooled",
            "adapter_version": "adv_01jd0000000000000000000000",
            "quantity": 533,
            "occurred_at": "2026-11-20T10:14:07Z",
        }
    ],
}
REPLY = {"batch": "ub_01jd0000000000000000000000", "accepted": 1, "duplicates": 0, "refused": 0}


class UsageEvents(ApiView):
    """Reporting usage."""

    parser_classes = [EventsJson]

    # An event's id does what an Idempotency-Key would, and does it for ever.
    @endpoint(
        "record_usage_events",
        scope="usage.write",
        body=UsageEventsIn,
        reply=UsageEventsOut,
        idempotency=KeyRule.IGNORED,
        request_example=EXAMPLE,
        reply_example=REPLY,
    )
    def post(self, request: Request) -> Response:
        """Report usage events, up to 1,000 at a time.

        Each event counts once, however often it is sent: its `id` is remembered for ever.
        """
        events, mode = self.body["events"], self.body["mode"]
        taken = record_usage_events(
            events=events,
            tenant_ids=self.visible_tenants,
            default_tenant_id=self._default_tenant(),
            all_or_nothing=mode == ALL,
            actor=self.actor,
        )
        answer: dict[str, Any] = {
            "batch": taken.batch,
            "accepted": taken.accepted,
            "duplicates": len(taken.duplicates),
            "refused": len(taken.refusals),
        }
        return Response(answer | ({"results": _results(events, taken)} if mode == PARTIAL else {}))

    def _default_tenant(self) -> int | None:
        """The tenant of events that name none: the one that the batch names, or the only one that the key is for."""
        named: str | None = self.body.get("tenant")
        if named is not None:
            return int(get_tenant(named, tenant_ids=self.visible_tenants).pk)
        own = self.visible_tenants
        return next(iter(own)) if own is not None and len(own) == 1 else None


def _results(events: list[Any], taken: Taken) -> list[dict[str, Any]]:
    """One answer per event, in their order."""
    results = [{"index": index, "id": shown_id(event), "status": "accepted"} for index, event in enumerate(events)]
    for index in taken.duplicates:
        results[index]["status"] = "duplicate"
    for refusal in taken.refusals:
        results[refusal.index] |= {"status": "refused", "code": refusal.code, "detail": refusal.detail}
    return results
