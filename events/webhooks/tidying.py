"""What webhooks leave behind: old deliveries are deleted, endpoints of tenants that have left are switched off.

A sweep that may run twice or be lost: what is due follows from the rows.
"""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from core import clock
from core.actors import SYSTEM
from events.models import DeliveryAttempt, Event, WebhookDelivery, WebhookEndpoint
from events.webhooks import health
from events.webhooks.schedule import DISABLED_AFTER
from events.webhooks.states import DeliveryState, DisabledReason, EndpointState

OVER = (DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.CANCELLED)
BATCH = 1000


def prune_deliveries() -> int:
    """Delete deliveries, with their tries, that are over and older than the retention; answers how many.

    Events stay: they are the audit trail. A replay can still send one again, as a new delivery under the same id.
    """
    cutoff = clock.now() - timedelta(days=settings.WEBHOOK_RETENTION_DAYS)
    old = WebhookDelivery.objects.filter(created_at__lt=cutoff, due_at__lt=cutoff, state__in=OVER)
    pruned = 0
    while True:
        with transaction.atomic(durable=True):
            # What is replayed at this moment is locked and stays.
            locked = old.select_for_update(skip_locked=True, no_key=True).order_by("pk").values_list("pk", flat=True)
            batch = list(locked[:BATCH])
            delete_deliveries(batch)
        pruned += len(batch)
        if len(batch) < BATCH:
            return pruned


def delete_deliveries(delivery_ids: list[int]) -> None:
    """Delete these with their tries; inside the caller's transaction and under its locks."""
    DeliveryAttempt.objects.filter(delivery__in=delivery_ids).delete()
    WebhookDelivery.objects.filter(pk__in=delivery_ids).delete()


def disable_departed() -> int:
    """Switch off the endpoints of tenants that have left; answers how many.

    Each may first receive what waits for it, down to the news that its tenant has left, for as long as the tries last.
    """
    at = clock.now()
    left = Event.objects.filter(name="tenant.offboarded", tenant_pk=OuterRef("tenant_pk"))
    unsent = WebhookDelivery.objects.filter(
        endpoint=OuterRef("pk"), state__in=(DeliveryState.WAITING, DeliveryState.SENDING)
    )
    departed = WebhookEndpoint.objects.filter(Exists(left), state=EndpointState.ACTIVE, tenant_pk__isnull=False)
    done_with = departed.filter(~Exists(unsent)) | departed.filter(
        Exists(left.filter(created_at__lt=at - DISABLED_AFTER))
    )
    disabled = 0
    for pk in done_with.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic(durable=True):
            endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=pk)
            if endpoint.state == EndpointState.ACTIVE:
                why = "Its tenant has left."
                health.disable(endpoint, because=DisabledReason.DEPARTED, why=why, at=at, actor=SYSTEM)
                disabled += 1
    return disabled
