"""Where webhooks go, what is on its way, and what came of each try."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from core.models import PublicModel
from events.models.audit import Event
from events.webhooks.states import DeliveryState, DisabledReason, EndpointState


class WebhookEndpoint(PublicModel):
    """An address that wants to be told. With a tenant it hears of that tenant alone, without one of all tenants.

    No secret is kept here: `secret_version` says which one is derived from the installation's key (ADR 13), and
    `previous_secret_version` signs beside it until `previous_secret_until`. An empty `event_names` means all that
    customers may subscribe to. `failing_since` is when the first failure since the last success happened.
    """

    PREFIX: ClassVar[str] = "whe"

    tenant_pk = models.BigIntegerField(null=True)
    tenant_ref = models.CharField(max_length=40, blank=True)
    url = models.CharField(max_length=2000)
    description = models.CharField(max_length=200, blank=True)
    event_names = ArrayField(models.CharField(max_length=60), default=list)
    state = models.CharField(max_length=10, choices=EndpointState.choices, default=EndpointState.ACTIVE)
    disabled_reason = models.CharField(max_length=10, choices=DisabledReason.choices, blank=True)
    disabled_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1)
    created_by = models.CharField(max_length=200)
    secret_version = models.PositiveIntegerField(default=1)
    previous_secret_version = models.PositiveIntegerField(null=True)
    previous_secret_until = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    paused_until = models.DateTimeField(null=True)
    last_attempt_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "webhook endpoint"
        indexes = [models.Index(fields=["tenant_pk", "-id"], name="webhook_endpoint_by_tenant")]
        constraints = [
            models.CheckConstraint(name="webhook_endpoint_state_known", condition=Q(state__in=EndpointState.values)),
            models.CheckConstraint(
                name="webhook_endpoint_disabled_whole",
                condition=Q(state=EndpointState.ACTIVE, disabled_at=None, disabled_reason="")
                | Q(
                    state=EndpointState.DISABLED,
                    disabled_at__isnull=False,
                    disabled_reason__in=DisabledReason.values,
                ),
            ),
            models.CheckConstraint(
                name="webhook_endpoint_tenant_whole",
                condition=Q(tenant_pk=None, tenant_ref="") | (Q(tenant_pk__isnull=False) & ~Q(tenant_ref="")),
            ),
            models.CheckConstraint(
                name="webhook_endpoint_older_secret",
                condition=Q(previous_secret_version=None, previous_secret_until=None)
                | Q(previous_secret_version__lt=F("secret_version"), previous_secret_until__isnull=False),
            ),
        ]

    @property
    def health(self) -> str:
        """`disabled`, `failing`, `healthy`, or `unused` when nothing was sent yet."""
        if self.state == EndpointState.DISABLED:
            return "disabled"
        if self.failing_since is not None:
            return "failing"
        return "healthy" if self.last_success_at is not None else "unused"


class WebhookDelivery(PublicModel):
    """One event on its way to one endpoint. `body` is what is sent, byte for byte the same on every try.

    `tries` counts within the schedule and begins anew with a replay; `attempts` counts for ever. `due_at` is on the
    business clock, the lease on the machine's. Whoever claims the row raises `fence`; only that claim may record.
    """

    PREFIX: ClassVar[str] = "whd"

    # Both are found through the constraint and the index below.
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="+", db_index=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    tenant_pk = models.BigIntegerField(null=True)
    body = models.TextField()
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    fence = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=30, blank=True)

    class Meta:
        verbose_name = "webhook delivery"
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="webhook_delivery_by_endpoint"),
            models.Index(
                fields=["endpoint", "due_at", "id"],
                name="webhook_delivery_due",
                condition=Q(state=DeliveryState.WAITING),
            ),
            BrinIndex(fields=["created_at"], name="webhook_delivery_by_time"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["event", "endpoint"], name="webhook_delivery_once_per_endpoint"),
            # One at a time: an endpoint that hangs holds up itself and nobody else.
            models.UniqueConstraint(
                fields=["endpoint"], name="webhook_delivery_one_in_flight", condition=Q(state=DeliveryState.SENDING)
            ),
            models.CheckConstraint(name="webhook_delivery_state_known", condition=Q(state__in=DeliveryState.values)),
            models.CheckConstraint(
                name="webhook_delivery_leased_while_sending",
                condition=Q(state=DeliveryState.SENDING, leased_until__isnull=False)
                | (~Q(state=DeliveryState.SENDING) & Q(leased_until=None)),
            ),
        ]


class DeliveryAttempt(models.Model):
    """One try and what came of it. `error` is empty for a success; `response` is the beginning of the answer."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.PROTECT, related_name="attempt_rows", db_index=False)
    number = models.PositiveIntegerField()
    url = models.CharField(max_length=2000)
    ended_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(null=True)
    status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=30, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    response = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="webhook_attempt_numbered"),
        ]
