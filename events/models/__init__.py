"""The audit trail with its outbox, and the webhooks that tell customers about it."""

from events.models.audit import Event, Outbox
from events.models.webhooks import DeliveryAttempt, WebhookDelivery, WebhookEndpoint

__all__ = ["DeliveryAttempt", "Event", "Outbox", "WebhookDelivery", "WebhookEndpoint"]
