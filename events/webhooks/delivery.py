"""Sending what is due: claim, talk, record, by as many endpoints at once as there are slots.

    claim   (transaction)   at most one delivery per endpoint, leased; the fence says which claim may record
    talk    (no transaction, in a thread)   one POST, at most 15 s
    record  (transaction)   the attempt, what is next for the delivery, how the endpoint fares

A worker that dies between talking and recording leaves a lease that runs out: the same id and bytes are sent again. So
an event arrives at least once. An endpoint that hangs holds one slot; the pass goes on claiming for the others.
"""

import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from core import clock
from core.actors import SYSTEM
from core.crashpoints import crashpoint
from core.locks import one_at_a_time
from core.states import move
from events.models import DeliveryAttempt, WebhookDelivery, WebhookEndpoint
from events.webhooks import health, signing
from events.webhooks.schedule import delay_after
from events.webhooks.states import DELIVERY_MOVES, DeliveryState, EndpointState
from events.webhooks.transport import NotDelivered, post

SLOTS = 32
# Of one tenant, or of the operating team: twenty endpoints that hang are the trouble of whoever owns them.
SLOTS_PER_OWNER = 4
# Twice what one delivery may take, so that only a dead worker's lease runs out.
LEASE = timedelta(seconds=30)
# How long a pass takes new deliveries on; with the last one it ends well before the task's limit.
PASS_SECONDS = 30.0
LOOK_EVERY_SECONDS = 0.2
EXCERPT_CHARACTERS = 1000
LOST = "lost"


@dataclass(frozen=True, slots=True)
class Sending:
    """A claimed delivery: all that a thread needs to send it, and the fence under which it may be recorded."""

    delivery_id: int
    endpoint_id: int
    fence: int
    url: str
    message_id: str
    body: bytes
    keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Sending({self.message_id} to endpoint {self.endpoint_id}, keys hidden)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to. `error` is empty for a success."""

    status: int | None = None
    error: str = ""
    detail: str = ""
    response: str = ""
    duration_ms: int | None = None


def deliver_due(*, pass_seconds: float = PASS_SECONDS) -> int:
    """Send what is due until nothing is, or for `pass_seconds`; answers how many tries were made.

    One pass at a time takes deliveries on: another one called meanwhile answers 0, because this one sees what became
    due. It stops being alone when it stops claiming, and then only waits for the slow ones.
    """
    in_flight: dict[Future[Outcome], Sending] = {}
    tries = looks = 0
    ends = time.monotonic() + pass_seconds
    with ThreadPoolExecutor(SLOTS, thread_name_prefix="webhook") as pool:
        look_again = True
        while look_again:
            before, looks = tries, looks + 1
            with one_at_a_time("webhook pass") as is_alone:
                while is_alone and time.monotonic() < ends:
                    for sending in claim(limit=SLOTS - len(in_flight)):
                        in_flight[pool.submit(send, sending)] = sending
                    if not in_flight:
                        break
                    tries += _record_finished(in_flight, LOOK_EVERY_SECONDS)
            # A bell that rang between our last look and our letting go found the pass taken, and nobody heard it.
            fruitful = looks == 1 or tries > before
            look_again = is_alone and fruitful and time.monotonic() < ends and _ready(clock.now()).exists()
        while in_flight:
            tries += _record_finished(in_flight, None)
    return tries


def claim(*, limit: int) -> list[Sending]:
    """Take up to `limit` due deliveries, each of another endpoint, those first that were not served for longest."""
    if limit <= 0:
        return []
    at = clock.now()
    with transaction.atomic(durable=True):
        _take_back_lost(at)
        taken = Counter(_in_flight().values_list("endpoint__tenant_pk", flat=True))
        oldest = _ready(at).order_by(F("last_attempt_at").asc(nulls_first=True), "pk")
        for owner in (owner for owner, count in taken.items() if count >= SLOTS_PER_OWNER):
            oldest = oldest.filter(tenant_pk__isnull=False) if owner is None else oldest.exclude(tenant_pk=owner)
        locked = {endpoint.pk: endpoint for endpoint in oldest.select_for_update(skip_locked=True, no_key=True)[:limit]}
        # Asked again under the lock: another pass may have claimed between our first look and the lock.
        busy = set(_in_flight().filter(endpoint__in=list(locked)).values_list("endpoint_id", flat=True))
        free = [pk for pk, endpoint in locked.items() if pk not in busy and _takes_slot(endpoint, taken)]
        first = _due(at).filter(endpoint__in=free).order_by("endpoint_id", "due_at", "pk")
        claimed = list(first.distinct("endpoint_id").select_related("event"))
        WebhookDelivery.objects.filter(pk__in=[delivery.pk for delivery in claimed]).update(
            state=DeliveryState.SENDING,
            leased_until=clock.real_now() + LEASE,
            fence=F("fence") + 1,
            tries=F("tries") + 1,
            attempts=F("attempts") + 1,
        )
        WebhookEndpoint.objects.filter(pk__in=[delivery.endpoint_id for delivery in claimed]).update(last_attempt_at=at)
    return [_sending(delivery, locked[delivery.endpoint_id], at) for delivery in claimed]


def send(sending: Sending) -> Outcome:
    """One signed POST. Raises nothing: what goes wrong is the outcome. Only a 2xx is a success."""
    headers = signing.signature_headers(
        sending.keys,
        message_id=sending.message_id,
        timestamp=int(clock.real_now().timestamp()),  # receivers compare it with their own clocks
        body=sending.body,
    )
    began = time.monotonic()
    try:
        reply = post(
            sending.url, headers=headers, body=sending.body, allow_loopback=settings.WEBHOOKS_MAY_GO_TO_LOOPBACK
        )
    except NotDelivered as problem:
        return Outcome(error=problem.code, detail=problem.detail, duration_ms=_milliseconds_since(began))
    error, detail = "", ""
    if 300 <= reply.status < 400:
        error, detail = "redirect", "The receiver answered with a redirect; webhooks follow none."
    elif not 200 <= reply.status < 300:
        error, detail = "http_status", f"The receiver answered {reply.status}."
    return Outcome(reply.status, error, detail, _excerpt(reply.body), _milliseconds_since(began))


def record(sending: Sending, outcome: Outcome) -> None:
    """Write what came of a claimed delivery; quiet when its lease ran out and another claim took over."""
    with transaction.atomic(durable=True):
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=sending.endpoint_id)
        delivery = (
            WebhookDelivery.objects.select_for_update(no_key=True)
            .filter(pk=sending.delivery_id, state=DeliveryState.SENDING, fence=sending.fence)
            .first()
        )
        if delivery is not None:
            _settle(delivery, endpoint, outcome, at=clock.now())


def _in_flight() -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(state=DeliveryState.SENDING)


def _due(at: datetime) -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.filter(state=DeliveryState.WAITING, due_at__lte=at)


def _ready(at: datetime) -> QuerySet[WebhookEndpoint]:
    """Active endpoints that do not rest, have something due and nothing in flight."""
    return WebhookEndpoint.objects.filter(
        Exists(_due(at).filter(endpoint=OuterRef("pk"))),
        ~Exists(_in_flight().filter(endpoint=OuterRef("pk"))),
        Q(paused_until=None) | Q(paused_until__lte=at),
        state=EndpointState.ACTIVE,
    )


def _takes_slot(endpoint: WebhookEndpoint, taken: Counter[int | None]) -> bool:
    """Whether the endpoint's owner has a slot left; it is counted as taken then."""
    if taken[endpoint.tenant_pk] >= SLOTS_PER_OWNER:
        return False
    taken[endpoint.tenant_pk] += 1
    return True


def _record_finished(in_flight: dict[Future[Outcome], Sending], timeout: float | None) -> int:
    """Wait for one to finish, at most `timeout`, and record all that have; answers how many."""
    finished, _ = wait(in_flight, timeout=timeout, return_when=FIRST_COMPLETED)
    for future in finished:
        crashpoint("before webhook record")
        record(in_flight.pop(future), future.result())
    return len(finished)


def _take_back_lost(at: datetime) -> None:
    """Deliveries whose worker died: the try counts, and its trace says that nobody knows what came of it."""
    lost = _in_flight().filter(leased_until__lt=clock.real_now())
    owners = list(lost.order_by("endpoint_id").values_list("endpoint_id", flat=True))
    for endpoint in (
        WebhookEndpoint.objects.filter(pk__in=owners).order_by("pk").select_for_update(skip_locked=True, no_key=True)
    ):
        delivery = lost.filter(endpoint=endpoint).select_for_update(no_key=True).first()
        if delivery is not None:
            _settle(delivery, endpoint, Outcome(error=LOST, detail="The worker died before it could record."), at=at)


def _settle(delivery: WebhookDelivery, endpoint: WebhookEndpoint, outcome: Outcome, *, at: datetime) -> None:
    """Needs the transaction and the locks of both rows."""
    DeliveryAttempt.objects.create(
        delivery=delivery,
        number=delivery.attempts,
        url=endpoint.url,
        ended_at=at,
        duration_ms=outcome.duration_ms,
        status=outcome.status,
        error=outcome.error,
        detail=outcome.detail[:300],
        response=outcome.response,
    )
    seen = {"leased_until": None, "last_status": outcome.status, "last_error": outcome.error}
    if not outcome.error:
        move(delivery, to=DeliveryState.DELIVERED, table=DELIVERY_MOVES, delivered_at=at, **seen)
        health.note_success(endpoint, at=at)
        return
    delay = delay_after(delivery.tries, seed=delivery.public_id)
    if endpoint.state == EndpointState.DISABLED:
        move(delivery, to=DeliveryState.CANCELLED, table=DELIVERY_MOVES, **seen)
    elif delay is None:
        move(delivery, to=DeliveryState.FAILED, table=DELIVERY_MOVES, **seen)
    else:
        move(delivery, to=DeliveryState.WAITING, table=DELIVERY_MOVES, due_at=at + delay, **seen)
    if outcome.error != LOST:  # our own death says nothing about the receiver
        health.note_failure(endpoint, status=outcome.status, at=at, actor=SYSTEM)


def _sending(delivery: WebhookDelivery, endpoint: WebhookEndpoint, at: datetime) -> Sending:
    return Sending(
        delivery_id=delivery.pk,
        endpoint_id=endpoint.pk,
        fence=delivery.fence + 1,
        url=endpoint.url,
        message_id=delivery.event.public_id,
        body=delivery.body.encode(),
        keys=tuple(keys_of(endpoint, at=at)),
    )


def keys_of(endpoint: WebhookEndpoint, *, at: datetime) -> list[bytes]:
    """The keys that sign for the endpoint: its own, and for a day after a rotation the one before."""
    versions = [endpoint.secret_version]
    older, until = endpoint.previous_secret_version, endpoint.previous_secret_until
    if older is not None and until is not None and at < until:
        versions.append(older)
    return [
        signing.derive_key(settings.WEBHOOK_SIGNING_KEY, endpoint_ref=endpoint.public_id, version=version)
        for version in versions
    ]


def _excerpt(body: bytes) -> str:
    """The beginning of an answer as text that PostgreSQL can hold."""
    return body[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace").replace("\x00", "�")[:EXCERPT_CHARACTERS]


def _milliseconds_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
