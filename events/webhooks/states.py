"""The lives of an endpoint and of a delivery.

endpoint   active <──> disabled            by hand, on 410 Gone, after five days of failing,
                              or when its tenant has left

delivery   waiting ──> sending ──> delivered
              ^           ├──────> waiting     the next try is due later
              │           ├──────> failed      the tries are used up
              │           └──────> cancelled   the endpoint was disabled
              ├─────────────────── cancelled <── waiting
              └── a replay starts the tries again from delivered, failed or cancelled
"""

from django.db.models import TextChoices

from core.states import Moves


class EndpointState(TextChoices):
    """Whether anything is sent to it."""

    ACTIVE = "active"
    DISABLED = "disabled"


ENDPOINT_MOVES: Moves = {
    EndpointState.ACTIVE: frozenset({EndpointState.DISABLED}),
    EndpointState.DISABLED: frozenset({EndpointState.ACTIVE}),
}


class DisabledReason(TextChoices):
    """Who or what disabled an endpoint."""

    BY_HAND = "by_hand"
    GONE = "gone"
    FAILING = "failing"
    DEPARTED = "departed"


class DeliveryState(TextChoices):
    """How far one event has come on its way to one endpoint."""

    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


DELIVERY_MOVES: Moves = {
    DeliveryState.WAITING: frozenset({DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.CANCELLED}),
    DeliveryState.SENDING: frozenset(
        {DeliveryState.WAITING, DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.CANCELLED}
    ),
    DeliveryState.DELIVERED: frozenset({DeliveryState.WAITING}),
    DeliveryState.FAILED: frozenset({DeliveryState.WAITING}),
    DeliveryState.CANCELLED: frozenset({DeliveryState.WAITING}),
}
