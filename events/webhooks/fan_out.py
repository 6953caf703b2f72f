"""From events to deliveries: one row for each endpoint that wants to hear of an event and may."""

from collections.abc import Collection, Iterable, Sequence

from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from core import clock
from events.catalog import SUBSCRIBABLE
from events.models import Event, WebhookDelivery, WebhookEndpoint
from events.webhooks.payloads import body_of
from events.webhooks.states import EndpointState

AT_ONCE = 500


def make_deliveries(events: Sequence[Event]) -> int:
    """Write the deliveries of these events that are not there yet; answers how many endpoints want one or more.

    The constraint on event and endpoint makes it safe to repeat: what was sent already is not sent again.
    """
    offered = [event for event in events if event.name in SUBSCRIBABLE]
    if not offered:
        return 0
    tenants = {event.tenant_pk for event in offered if event.tenant_pk is not None}
    active = WebhookEndpoint.objects.filter(state=EndpointState.ACTIVE)
    endpoints = list(active.filter(Q(tenant_pk=None) | Q(tenant_pk__in=tenants)).order_by("pk"))
    pairs = [(event, endpoint) for endpoint in endpoints for event in offered if wants(endpoint, event)]
    write_deliveries(pairs)
    return len({endpoint.pk for _, endpoint in pairs})


def wants(endpoint: WebhookEndpoint, event: Event) -> bool:
    """Whether the endpoint has subscribed to the event and may know of it."""
    may_know = endpoint.tenant_pk is None or endpoint.tenant_pk == event.tenant_pk
    return may_know and (not endpoint.event_names or event.name in endpoint.event_names)


def write_deliveries(pairs: Collection[tuple[Event, WebhookEndpoint]]) -> None:
    """Write a waiting delivery, due now, for each pair that has none."""
    numbers = _sequences({event.pk for event, _ in pairs})
    bodies = {event.pk: body_of(event, sequence=numbers[event.pk]) for event, _ in pairs}
    due_at = clock.now()
    rows = [
        WebhookDelivery(event=event, endpoint=endpoint, tenant_pk=event.tenant_pk, body=bodies[event.pk], due_at=due_at)
        for event, endpoint in pairs
    ]
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=AT_ONCE)


def _sequences(event_pks: Iterable[int]) -> dict[int, int]:
    """For each event its number among those of the same object."""
    same = Q(subject_type=OuterRef("subject_type"), subject_ref=OuterRef("subject_ref"), pk__lte=OuterRef("pk"))
    before = Event.objects.filter(same).order_by().values("subject_ref").annotate(n=Count("pk")).values("n")
    numbered = Event.objects.filter(pk__in=event_pks).annotate(sequence=Coalesce(Subquery(before), 1))
    return dict(numbered.values_list("pk", "sequence"))
