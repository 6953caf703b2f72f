"""Adding, changing and silencing endpoints, giving them new secrets, and trying them out."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from core import clock
from core.actors import Actor
from core.errors import Conflict, FieldError, Invalid, QuotaExceeded
from core.locks import advisory_lock
from core.states import move
from events.catalog import SUBSCRIBABLE
from events.models import WebhookDelivery, WebhookEndpoint
from events.record import HasIds, record_event
from events.webhooks import destinations, health, signing
from events.webhooks.fan_out import write_deliveries
from events.webhooks.health import endpoint_data, tenant_of
from events.webhooks.states import ENDPOINT_MOVES, DeliveryState, DisabledReason, EndpointState
from events.webhooks.tidying import delete_deliveries

OLD_SECRET_COUNTS_FOR = timedelta(hours=24)
MOST_ENDPOINTS = 20
LONGEST_DESCRIPTION = 200
CHANGEABLE = frozenset({"url", "description", "event_names"})


class WebhookInvalid(Invalid):
    """An endpoint cannot have this address, these events or this description."""

    code = "webhook_invalid"
    title = "Not a valid webhook endpoint"


class TooManyWebhooks(QuotaExceeded):
    """A tenant, like the operating team, has a limited number of endpoints."""

    code = "too_many_webhooks"
    title = "Too many webhook endpoints"


class WebhookDisabled(Conflict):
    """Nothing is sent to a disabled endpoint, not even when somebody asks."""

    code = "webhook_disabled"
    title = "The webhook endpoint is disabled"


class WebhookActive(Conflict):
    """Only a disabled endpoint is deleted."""

    code = "webhook_active"
    title = "The webhook endpoint is in use"


class WebhookChanged(Conflict):
    """Somebody else changed the endpoint since it was read."""

    code = "precondition_failed"
    status = 412
    title = "The object changed meanwhile"


def create_endpoint(
    *, url: str, event_names: Collection[str], description: str = "", tenant: HasIds | None, actor: Actor
) -> tuple[WebhookEndpoint, str]:
    """Add an address that is told about events from now on; answers it with its secret, to be shown this once.

    Without `event_names` it hears of all that customers may subscribe to; with a tenant, of that tenant alone. Raises
    WebhookInvalid, with every fault at once, and TooManyWebhooks.
    """
    wanted = {"url": url, "event_names": sorted(set(event_names)), "description": description.strip()}
    _refuse_invalid(wanted)
    with transaction.atomic(durable=True):
        advisory_lock(f"webhooks of {tenant.public_id if tenant else 'the operating team'}")
        if WebhookEndpoint.objects.filter(tenant_pk=tenant.pk if tenant else None).count() >= MOST_ENDPOINTS:
            raise TooManyWebhooks(
                f"There are {MOST_ENDPOINTS} webhook endpoints already.",
                hint="Delete or change one that is not needed any more.",
            )
        endpoint = WebhookEndpoint.objects.create(
            tenant_pk=tenant.pk if tenant else None,
            tenant_ref=tenant.public_id if tenant else "",
            created_by=actor.name,
            **wanted,
        )
        data = endpoint_data(endpoint)
        record_event("webhook_endpoint.created", tenant=tenant, subject=endpoint, actor=actor, after=data, data=data)
    return endpoint, secret_of(endpoint)


def change_endpoint(
    *, endpoint_id: int, changes: Mapping[str, Any], expected_version: int, actor: Actor
) -> WebhookEndpoint:
    """Change address, events or description; what waits goes to the new address. No change at all is quiet.

    Raises WebhookInvalid, and WebhookChanged when the endpoint is not at `expected_version`.
    """
    unknown = sorted(set(changes) - CHANGEABLE)
    if unknown:
        raise WebhookInvalid(f"{', '.join(unknown)} cannot be changed.")
    wanted = dict(changes)
    if "event_names" in wanted:
        wanted["event_names"] = sorted(set(wanted["event_names"]))
    _refuse_invalid(wanted)
    with transaction.atomic(durable=True):
        endpoint = _locked(endpoint_id)
        if endpoint.version != expected_version:
            raise WebhookChanged(
                f"The endpoint is at version {endpoint.version}, not {expected_version}.",
                hint="Read it again and decide whether your change still makes sense.",
            )
        before = {field: getattr(endpoint, field) for field in wanted}
        if before != wanted:
            WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**wanted, version=F("version") + 1)
            endpoint.refresh_from_db()
            _record("webhook_endpoint.updated", endpoint, actor, before=before, after=wanted)
    return endpoint


def rotate_secret(*, endpoint_id: int, actor: Actor) -> tuple[WebhookEndpoint, str]:
    """Give the endpoint a new secret, to be shown this once; the one before signs beside it for 24 hours.

    Rotating again within that time replaces the new one and keeps the old: it is the one that the receiver surely has
    when the first reply was lost.
    """
    at = clock.now()
    with transaction.atomic(durable=True):
        endpoint = _locked(endpoint_id)
        old_counts = endpoint.previous_secret_until is not None and at < endpoint.previous_secret_until
        endpoint.previous_secret_version = endpoint.previous_secret_version if old_counts else endpoint.secret_version
        endpoint.previous_secret_until = at + OLD_SECRET_COUNTS_FOR
        endpoint.secret_version += 1
        endpoint.version += 1
        endpoint.save(update_fields=["secret_version", "previous_secret_version", "previous_secret_until", "version"])
        data = {**endpoint_data(endpoint), "old_secret_until": endpoint.previous_secret_until.isoformat()}
        _record("webhook_endpoint.secret_rotated", endpoint, actor, data=data)
    return endpoint, secret_of(endpoint)


def disable_endpoint(*, endpoint_id: int, reason: str = "", actor: Actor) -> WebhookEndpoint:
    """Send nothing more to it; what waits is cancelled. Quiet when it is disabled already."""
    with transaction.atomic(durable=True):
        endpoint = _locked(endpoint_id)
        if endpoint.state != EndpointState.DISABLED:
            health.disable(endpoint, because=DisabledReason.BY_HAND, why=reason, at=clock.now(), actor=actor)
    return endpoint


def enable_endpoint(*, endpoint_id: int, actor: Actor) -> WebhookEndpoint:
    """Tell it about events again, from now on; a replay sends what it missed. Quiet when it is active already."""
    with transaction.atomic(durable=True):
        endpoint = _locked(endpoint_id)
        if endpoint.state != EndpointState.ACTIVE:
            move(
                endpoint,
                to=EndpointState.ACTIVE,
                table=ENDPOINT_MOVES,
                disabled_reason="",
                disabled_at=None,
                failing_since=None,
                consecutive_failures=0,
                paused_until=None,
            )
            _record("webhook_endpoint.enabled", endpoint, actor)
    return endpoint


def delete_endpoint(*, endpoint_id: int, reason: str = "", actor: Actor) -> None:
    """Delete a disabled endpoint with the record of what was sent to it; the events themselves stay.

    Raises WebhookActive, so that nobody deletes what is told about events, and while the last message is on its way.
    """
    with transaction.atomic(durable=True):
        endpoint = _locked(endpoint_id)
        deliveries = WebhookDelivery.objects.filter(endpoint=endpoint)
        if endpoint.state != EndpointState.DISABLED:
            raise WebhookActive("Events are still sent to this endpoint.", hint="Disable it first.")
        if deliveries.filter(state=DeliveryState.SENDING).exists():
            raise WebhookActive("A message to it is on its way.", hint="Try again in half a minute.")
        data = endpoint_data(endpoint)
        record_event(
            "webhook_endpoint.deleted",
            tenant=tenant_of(endpoint),
            subject=endpoint,
            actor=actor,
            reason=reason,
            before=data,
            data=data,
        )
        delete_deliveries(list(deliveries.values_list("pk", flat=True)))
        endpoint.delete()


def send_test(*, endpoint_id: int, actor: Actor) -> WebhookDelivery:
    """Send a `webhook.test` message at once, whatever the endpoint has subscribed to. Raises WebhookDisabled."""
    with transaction.atomic(durable=True):
        endpoint = _locked(endpoint_id)
        refuse_disabled(endpoint)
        data = {"id": endpoint.public_id, "message": "If you can read this and the signature is right, all is well."}
        event = record_event("webhook.test", tenant=tenant_of(endpoint), subject=endpoint, actor=actor, data=data)
        write_deliveries([(event, endpoint)])
        wake(endpoint)
        return WebhookDelivery.objects.select_related("event", "endpoint").get(event=event, endpoint=endpoint)


def secret_of(endpoint: WebhookEndpoint) -> str:
    """The endpoint's present secret as its receiver enters it. Only for the answer to whoever just made it."""
    key = signing.derive_key(
        settings.WEBHOOK_SIGNING_KEY, endpoint_ref=endpoint.public_id, version=endpoint.secret_version
    )
    return signing.written(key)


def refuse_disabled(endpoint: WebhookEndpoint) -> None:
    """Raises WebhookDisabled for an endpoint that is told nothing."""
    if endpoint.state == EndpointState.DISABLED:
        raise WebhookDisabled("Nothing is sent to a disabled endpoint.", hint="Enable it first.")


def wake(endpoint: WebhookEndpoint) -> None:
    """End the endpoint's rest after failures: somebody asked to send now. Needs the transaction and its lock."""
    endpoint.paused_until = None
    endpoint.save(update_fields=["paused_until"])


def _locked(endpoint_id: int) -> WebhookEndpoint:
    return WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)


def _record(
    name: str,
    endpoint: WebhookEndpoint,
    actor: Actor,
    *,
    data: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    data = data or endpoint_data(endpoint)
    record_event(name, tenant=tenant_of(endpoint), subject=endpoint, actor=actor, before=before, after=after, data=data)


def _refuse_invalid(wanted: Mapping[str, Any]) -> None:
    """Raises WebhookInvalid with all that is wrong. Asks the name service, which can wait: outside any transaction."""
    errors: list[FieldError] = []
    if "url" in wanted:
        try:
            _check_destination(wanted["url"])
        except destinations.DestinationRefused as error:
            errors.append(FieldError("/url", "destination_refused", str(error)))
    for name in wanted.get("event_names", []):
        if name not in SUBSCRIBABLE:
            errors.append(FieldError("/events", "unknown_event", f"There is no event {name} to subscribe to."))
    if len(wanted.get("description", "")) > LONGEST_DESCRIPTION:
        errors.append(FieldError("/description", "length", f"At most {LONGEST_DESCRIPTION} characters."))
    if errors:
        raise WebhookInvalid("The webhook endpoint cannot be like this.", errors=errors)


def _check_destination(url: str) -> None:
    """Raises DestinationRefused. A name without an address is not refused: it may get one before the first message."""
    allow_loopback = settings.WEBHOOKS_MAY_GO_TO_LOOPBACK
    destination = destinations.read_url(url, allow_loopback=allow_loopback)
    try:
        destinations.checked_addresses(destination, allow_loopback=allow_loopback, resolve=destinations.resolve_name)
    except destinations.Unresolvable:
        destinations.read_url(url, allow_loopback=False)
