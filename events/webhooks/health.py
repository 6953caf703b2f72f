"""How an endpoint fares: what a success and a failure change, and when it is disabled.

Everything here needs the caller's transaction and the endpoint's lock.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.actors import Actor
from core.states import move
from events.models import WebhookDelivery, WebhookEndpoint
from events.record import record_event
from events.webhooks.schedule import DISABLED_AFTER, rest_after
from events.webhooks.states import ENDPOINT_MOVES, DeliveryState, DisabledReason, EndpointState


@dataclass(slots=True)
class TenantIds:
    """An endpoint's tenant as events want it; `events` lies below `tenants` and cannot ask for the row."""

    pk: int
    public_id: str


def tenant_of(endpoint: WebhookEndpoint) -> TenantIds | None:
    """Whose endpoint it is; None for one of the operating team."""
    return None if endpoint.tenant_pk is None else TenantIds(endpoint.tenant_pk, endpoint.tenant_ref)


def endpoint_data(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What events tell about an endpoint. It never holds a secret."""
    return {"id": endpoint.public_id, "url": endpoint.url, "events": endpoint.event_names, "state": endpoint.state}


def note_success(endpoint: WebhookEndpoint, *, at: datetime) -> None:
    """The endpoint has answered: failures are forgotten."""
    endpoint.failing_since, endpoint.consecutive_failures, endpoint.paused_until = None, 0, None
    endpoint.last_success_at = at
    endpoint.save(update_fields=["failing_since", "consecutive_failures", "paused_until", "last_success_at"])


def note_failure(endpoint: WebhookEndpoint, *, status: int | None, at: datetime, actor: Actor) -> None:
    """The endpoint has not taken a message: it rests, and is disabled on 410 Gone or after five days of failures."""
    endpoint.failing_since = endpoint.failing_since or at
    endpoint.consecutive_failures += 1
    endpoint.paused_until = at + rest_after(endpoint.consecutive_failures)
    endpoint.save(update_fields=["failing_since", "consecutive_failures", "paused_until"])
    if endpoint.state == EndpointState.DISABLED:
        return
    if status == 410:
        disable(endpoint, because=DisabledReason.GONE, why="The receiver answered 410 Gone.", at=at, actor=actor)
    elif at - endpoint.failing_since >= DISABLED_AFTER:
        why = f"Nothing was delivered for {DISABLED_AFTER.days} days."
        disable(endpoint, because=DisabledReason.FAILING, why=why, at=at, actor=actor)


def disable(endpoint: WebhookEndpoint, *, because: str, why: str, at: datetime, actor: Actor) -> None:
    """Send nothing more, cancel what waits, and tell the audit trail and the tenant's other endpoints."""
    move(endpoint, to=EndpointState.DISABLED, table=ENDPOINT_MOVES, disabled_reason=because, disabled_at=at)
    # All at once, there may be thousands; nobody moves a delivery without the endpoint's lock, which we hold.
    waiting = WebhookDelivery.objects.filter(endpoint=endpoint, state=DeliveryState.WAITING)
    cancelled = waiting.update(state=DeliveryState.CANCELLED)
    data = {**endpoint_data(endpoint), "because": because, "cancelled_deliveries": cancelled}
    record_event(
        "webhook_endpoint.disabled",
        tenant=tenant_of(endpoint),
        subject=endpoint,
        actor=actor,
        reason=why,
        data=data,
    )
