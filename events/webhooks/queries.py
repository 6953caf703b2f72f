"""Endpoints, deliveries and attempts, as the doors show them."""

from collections.abc import Collection

from django.db.models import QuerySet

from core.errors import NotFound
from events.models import DeliveryAttempt, WebhookDelivery, WebhookEndpoint
from events.webhooks.states import DisabledReason


class WebhookNotFound(NotFound):
    """No such endpoint, or not one that the caller may see."""

    code = "webhook_not_found"


class WebhookDeliveryNotFound(NotFound):
    """The endpoint has no such delivery."""

    code = "webhook_delivery_not_found"


def list_endpoints(*, tenant_ids: Collection[int] | None) -> QuerySet[WebhookEndpoint]:
    """Endpoints the caller may see, newest first; None means all, with those of the operating team."""
    found = WebhookEndpoint.objects.order_by("-pk")
    return found if tenant_ids is None else found.filter(tenant_pk__in=tenant_ids)


def get_endpoint(ref: str, *, tenant_ids: Collection[int] | None) -> WebhookEndpoint:
    """The endpoint with this public id. Raises WebhookNotFound."""
    endpoint = list_endpoints(tenant_ids=tenant_ids).filter(public_id=ref).first()
    if endpoint is None:
        raise WebhookNotFound(f"There is no webhook endpoint {ref}.")
    return endpoint


def list_deliveries(endpoint: WebhookEndpoint, *, state: str | None = None) -> QuerySet[WebhookDelivery]:
    """The deliveries of an endpoint that the caller was given, newest first, each with its event."""
    found = WebhookDelivery.objects.filter(endpoint=endpoint).select_related("event").order_by("-pk")
    return found.filter(state=state) if state else found


def get_delivery(endpoint: WebhookEndpoint, ref: str) -> WebhookDelivery:
    """The endpoint's delivery with this public id. Raises WebhookDeliveryNotFound."""
    delivery = list_deliveries(endpoint).filter(public_id=ref).first()
    if delivery is None:
        raise WebhookDeliveryNotFound(f"The endpoint has no delivery {ref}.")
    return delivery


def find_delivery(ref: str, *, tenant_ids: Collection[int] | None) -> WebhookDelivery:
    """The delivery with this public id, of an endpoint that the caller may see. Raises WebhookDeliveryNotFound."""
    found = WebhookDelivery.objects.select_related("event", "endpoint").filter(public_id=ref)
    delivery = (found if tenant_ids is None else found.filter(endpoint__tenant_pk__in=tenant_ids)).first()
    if delivery is None:
        raise WebhookDeliveryNotFound(f"There is no delivery {ref}.")
    return delivery


def attempts_by_delivery(delivery_ids: Collection[int]) -> dict[int, list[DeliveryAttempt]]:
    """Every try of these deliveries, newest first, in one query for all of them."""
    found: dict[int, list[DeliveryAttempt]] = {}
    for attempt in DeliveryAttempt.objects.filter(delivery__in=delivery_ids).order_by("delivery_id", "-number"):
        found.setdefault(attempt.delivery_id, []).append(attempt)
    return found


def disabled_by_themselves(*, tenant_ids: Collection[int] | None) -> QuerySet[WebhookEndpoint]:
    """Endpoints that were disabled because their receiver is gone or failed for days, the latest first."""
    reasons = (DisabledReason.GONE, DisabledReason.FAILING)
    return list_endpoints(tenant_ids=tenant_ids).filter(disabled_reason__in=reasons).order_by("-disabled_at")


def attempts_of(delivery: WebhookDelivery) -> QuerySet[DeliveryAttempt]:
    """Every try of a delivery, newest first."""
    return DeliveryAttempt.objects.filter(delivery=delivery).order_by("-number")
