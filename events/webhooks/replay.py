"""Sending again: one delivery, or everything of a time range, with what an endpoint missed while it was disabled."""

from datetime import datetime, timedelta

from django.db import transaction

from core import clock
from core.actors import Actor
from core.errors import Invalid
from core.states import move
from events.catalog import SUBSCRIBABLE
from events.models import Event, WebhookDelivery, WebhookEndpoint
from events.record import record_event
from events.webhooks.endpoints import refuse_disabled, wake
from events.webhooks.fan_out import wants, write_deliveries
from events.webhooks.health import tenant_of
from events.webhooks.states import DELIVERY_MOVES, DeliveryState

LONGEST_RANGE = timedelta(days=31)
MOST_EVENTS = 5000


class ReplayRangeInvalid(Invalid):
    """The range ends before it starts, or is too long or too full to be replayed at once."""

    code = "replay_range_invalid"
    title = "Not a range that can be replayed"


def replay_delivery(*, delivery_id: int, actor: Actor) -> WebhookDelivery:
    """Send one delivery again, now, with the same id and bytes; one that is being sent is left alone.

    Raises WebhookDisabled.
    """
    with transaction.atomic(durable=True):
        endpoint_id = WebhookDelivery.objects.values_list("endpoint_id", flat=True).get(pk=delivery_id)
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)
        refuse_disabled(endpoint)
        delivery = (
            WebhookDelivery.objects.select_for_update(of=("self",), no_key=True)
            .select_related("event")
            .get(pk=delivery_id)
        )
        if delivery.state != DeliveryState.SENDING:
            move(delivery, to=DeliveryState.WAITING, table=DELIVERY_MOVES, due_at=clock.now(), tries=0)
        wake(endpoint)
        _record(endpoint, actor, data={"delivery": delivery.public_id, "event": delivery.event.public_id})
    return delivery


def replay_range(*, endpoint_id: int, start: datetime, end: datetime, actor: Actor) -> int:
    """Send every event of [start, end) that the endpoint subscribes to again, delivered or not; answers how many.

    What happened while it was disabled is sent for the first time. Receivers know by `webhook-id` what they had.
    Raises ReplayRangeInvalid and WebhookDisabled.
    """
    _refuse_range(start, end)
    with transaction.atomic(durable=True):
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)
        refuse_disabled(endpoint)
        happened = Event.objects.filter(created_at__gte=start, created_at__lt=end, name__in=_names_of(endpoint))
        if endpoint.tenant_pk is not None:
            happened = happened.filter(tenant_pk=endpoint.tenant_pk)
        events = [event for event in happened.order_by("pk")[: MOST_EVENTS + 1] if wants(endpoint, event)]
        if len(events) > MOST_EVENTS:
            raise ReplayRangeInvalid(
                f"More than {MOST_EVENTS} events happened in this range.", hint="Replay a shorter one, then the next."
            )
        write_deliveries([(event, endpoint) for event in events])
        # One statement for up to thousands; none of them can be claimed meanwhile, because we hold the endpoint.
        again = WebhookDelivery.objects.filter(endpoint=endpoint, event__in=events)
        again.exclude(state=DeliveryState.SENDING).update(state=DeliveryState.WAITING, due_at=clock.now(), tries=0)
        wake(endpoint)
        span = {"start": start.isoformat(), "end": end.isoformat(), "events": len(events)}
        _record(endpoint, actor, data=span)
    return len(events)


def _names_of(endpoint: WebhookEndpoint) -> list[str]:
    return sorted(endpoint.event_names or SUBSCRIBABLE)


def _refuse_range(start: datetime, end: datetime) -> None:
    if start >= end:
        raise ReplayRangeInvalid("The range ends before it starts.", hint="Give a start before the end.")
    if end - start > LONGEST_RANGE:
        raise ReplayRangeInvalid(
            f"The range is longer than {LONGEST_RANGE.days} days.", hint="Replay it in several parts."
        )


def _record(endpoint: WebhookEndpoint, actor: Actor, *, data: dict[str, object]) -> None:
    tenant = tenant_of(endpoint)
    record_event("webhook_endpoint.replayed", tenant=tenant, subject=endpoint, actor=actor, data=data)
