"""Webhooks on their way: at least once, in the receiver's own time, and never to somebody else's address."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.db import IntegrityError, transaction

from core import clock, crashpoints
from events.catalog import CATALOG, SUBSCRIBABLE
from events.dispatch import dispatch_events
from events.models import DeliveryAttempt, Event, Outbox, WebhookDelivery, WebhookEndpoint
from events.record import record_event
from events.webhooks import delivery, endpoints, replay, tidying
from events.webhooks.delivery import claim, deliver_due, record, send
from events.webhooks.payloads import LARGEST_BYTES
from events.webhooks.schedule import DELAYS, delay_after
from events.webhooks.states import DeliveryState, EndpointState
from tenants.models import Tenant
from tests.factories import TESTER, make_tenant
from tests.support.receivers import Receiver, closed_port, receiving

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(autouse=True)
def bells(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would be rung; nobody listens here, so that each step is taken by the test."""
    rung: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: rung.append(name))
    return rung


def listening(url: str, tenant: Tenant | None = None, events: tuple[str, ...] = ("tenant.updated",)) -> WebhookEndpoint:
    """An endpoint that hears of these events."""
    made, _ = endpoints.create_endpoint(url=url, event_names=events, tenant=tenant, actor=TESTER)
    return made


def happen(tenant: Tenant, name: str = "tenant.updated", **data: Any) -> Event:
    """Record an event about the tenant and tell it."""
    with transaction.atomic():
        event = record_event(name, tenant=tenant, subject=tenant, actor=TESTER, data=data or None)
    dispatch_events()
    return event


def the_delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


def push_clock(clock_file: Path, by: timedelta) -> None:
    """Move the business clock on by whole seconds, at least as far as asked."""
    seconds = int(clock_file.read_text() or 0) + int(by.total_seconds()) + 1
    clock_file.write_text(str(seconds))


class Killed(Exception):
    """The worker dies here."""


@contextmanager
def dying_at_every(nth: int) -> Iterator[None]:
    """Die after the receiver has answered and before that is recorded, at every nth message."""
    passed = itertools.count(1)

    def die(name: str) -> None:
        if name == "before webhook record" and next(passed) % nth == 0:
            raise Killed

    crashpoints.arm(die)
    try:
        yield
    finally:
        crashpoints.arm(None)


# --- from event to message ----------------------------------------------------------------------------------------
def test_an_event_arrives_signed_and_says_what_happened(receiver: Receiver, bells: list[str]) -> None:
    tenant = make_tenant()
    endpoint, secret = endpoints.create_endpoint(
        url=receiver.url, event_names=["tenant.updated"], tenant=tenant, actor=TESTER
    )
    event = happen(tenant, name="tenant.updated", id=tenant.public_id, tier="basic")
    assert bells[-1] == "events.tasks.deliver_webhooks"
    assert deliver_due() == 1

    [message] = receiver.received
    assert message.headers["webhook-id"] == event.public_id
    assert abs(int(message.headers["webhook-timestamp"]) - time.time()) < 5
    assert message.is_signed_with(secret)
    told = json.loads(message.body)
    assert told == {
        "type": "tenant.updated",
        "timestamp": event.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "sequence": 2,  # after tenant.signed_up
        "data": {"id": tenant.public_id, "tenant": tenant.public_id, "tier": "basic"},
    }
    sent = the_delivery()
    assert (sent.state, sent.last_status, sent.attempts) == (DeliveryState.DELIVERED, 200, 1)
    [attempt] = DeliveryAttempt.objects.all()
    assert (attempt.status, attempt.error, attempt.response) == (200, "", "thank you")
    endpoint.refresh_from_db()
    assert endpoint.health == "healthy"
    assert deliver_due() == 0


def test_data_that_is_too_large_gives_way_to_the_ids(receiver: Receiver) -> None:
    tenant = make_tenant()
    listening(receiver.url)
    happen(tenant, note="髙" * LARGEST_BYTES)
    deliver_due()
    [message] = receiver.received
    assert json.loads(message.body)["data"] == {"id": tenant.public_id, "tenant": tenant.public_id, "truncated": True}
    assert len(message.body) <= LARGEST_BYTES


def test_telling_an_event_twice_sends_it_once(receiver: Receiver) -> None:
    listening(receiver.url)
    event = happen(make_tenant())
    Outbox.objects.create(event=event)  # as if the dispatcher had died before it could forget the event
    dispatch_events()
    deliver_due()
    Outbox.objects.create(event=event)
    dispatch_events()
    assert deliver_due() == 0
    assert receiver.ids == [event.public_id]


def test_an_event_of_a_change_that_was_rolled_back_is_never_sent(receiver: Receiver) -> None:
    tenant = make_tenant()
    listening(receiver.url)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record_event("tenant.updated", tenant=tenant, subject=tenant, actor=TESTER)
        raise ZeroDivisionError
    dispatch_events()
    assert deliver_due() == 0
    assert receiver.received == []


def test_only_what_customers_may_know_can_be_subscribed_to() -> None:
    assert set(CATALOG) >= SUBSCRIBABLE
    inside = {"operator.created", "login_link.created", "login_link.used", "resource.stuck", "catalogue.imported"}
    assert not inside & SUBSCRIBABLE
    for name in (*inside, "webhook.test", "no.such_event"):
        with pytest.raises(endpoints.WebhookInvalid):
            listening("http://127.0.0.1:9/", events=(name,))
    assert not WebhookEndpoint.objects.exists()


# --- whose events ---------------------------------------------------------------------------------------------------
def test_an_endpoint_of_a_tenant_hears_of_that_tenant_alone() -> None:
    ours, theirs = make_tenant(), make_tenant()
    with receiving() as our_receiver, receiving() as their_receiver, receiving() as operators:
        listening(our_receiver.url, ours, ())
        listening(their_receiver.url, theirs, ())
        listening(operators.url, None, ("tenant.updated",))
        happened = [happen(tenant) for tenant in (ours, theirs, ours)]
        deliver_due()
    ids = [event.public_id for event in happened]
    assert set(our_receiver.ids) & set(ids) == {ids[0], ids[2]}
    assert set(their_receiver.ids) & set(ids) == {ids[1]}
    assert operators.ids == ids
    for wanted, receiver in ((ours, our_receiver), (theirs, their_receiver)):
        assert {json.loads(message.body)["data"]["tenant"] for message in receiver.received} == {wanted.public_id}


def test_the_database_itself_refuses_an_event_to_another_tenants_endpoint(receiver: Receiver) -> None:
    ours, theirs = make_tenant(), make_tenant()
    endpoint = listening(receiver.url, ours)
    event = happen(theirs)
    for tenant_pk in (ours.pk, theirs.pk, None):
        with pytest.raises(IntegrityError), transaction.atomic():
            WebhookDelivery.objects.create(
                event=event, endpoint=endpoint, tenant_pk=tenant_pk, body="{}", due_at=clock.now()
            )
    with pytest.raises(IntegrityError), transaction.atomic():
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(tenant_pk=theirs.pk, tenant_ref=theirs.public_id)
    mine = happen(ours)
    with pytest.raises(IntegrityError), transaction.atomic():
        WebhookDelivery.objects.filter(event=mine).update(body="{}")


# --- when it fails --------------------------------------------------------------------------------------------------
def test_the_schedule_is_kept_to_the_second_over_three_days(clock_file: Path) -> None:
    endpoint = listening(f"http://127.0.0.1:{closed_port()}/")
    happen(make_tenant())
    began = clock.now()
    for tries in range(1, len(DELAYS) + 1):
        sent = the_delivery()
        assert sent.state == DeliveryState.WAITING
        assert deliver_due() == 1, "due, and not postponed by the endpoint's rest"
        sent.refresh_from_db()
        attempt = DeliveryAttempt.objects.get(number=tries)
        assert (attempt.error, attempt.status) == ("connection", None)
        delay = delay_after(tries, seed=sent.public_id)
        if delay is not None:
            assert sent.due_at - attempt.ended_at == delay
            assert deliver_due() == 0, "not before it is due"
            push_clock(clock_file, sent.due_at - clock.now())
    assert sent.state == DeliveryState.FAILED
    assert timedelta(hours=75) < clock.now() - began < timedelta(hours=84)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.health) == (EndpointState.ACTIVE, "failing")


@pytest.mark.parametrize(("status", "error"), [(302, "redirect"), (400, "http_status"), (500, "http_status")])
def test_anything_but_a_2xx_is_tried_again_with_the_same_id_and_bytes(
    status: int, error: str, clock_file: Path
) -> None:
    with receiving(status=status, headers={"Location": "http://127.0.0.1:1/"}) as receiver:
        endpoint = listening(receiver.url)
        happen(make_tenant(), tier="basic")
        deliver_due()
        assert (the_delivery().state, the_delivery().last_error) == (DeliveryState.WAITING, error)
        receiver.status = 204
        push_clock(clock_file, timedelta(seconds=6))
        deliver_due()
    first, second = receiver.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert the_delivery().state == DeliveryState.DELIVERED
    endpoint.refresh_from_db()
    assert (endpoint.health, endpoint.consecutive_failures) == ("healthy", 0)


def test_an_endpoint_that_is_gone_is_disabled_at_once(clock_file: Path) -> None:
    tenant = make_tenant()
    with receiving(status=410) as receiver:
        endpoint = listening(receiver.url, tenant)
        for _ in range(3):
            happen(tenant)
        deliver_due()
        assert len(receiver.received) == 1
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.disabled_reason) == (EndpointState.DISABLED, "gone")
    assert {each.state for each in WebhookDelivery.objects.all()} == {DeliveryState.CANCELLED}
    told = Event.objects.get(name="webhook_endpoint.disabled")
    assert (told.tenant_pk, told.data["cancelled_deliveries"]) == (tenant.pk, 3)
    happen(tenant)
    assert WebhookDelivery.objects.count() == 3  # a disabled endpoint collects nothing


def test_five_days_without_a_success_disable_an_endpoint(clock_file: Path) -> None:
    with receiving(status=500) as receiver:
        endpoint = listening(receiver.url)
        happen(make_tenant())
        deliver_due()
        push_clock(clock_file, timedelta(days=4, hours=23))
        deliver_due()
        endpoint.refresh_from_db()
        assert endpoint.state == EndpointState.ACTIVE
        push_clock(clock_file, timedelta(hours=2))
        happen(make_tenant())
        deliver_due()
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.disabled_reason) == (EndpointState.DISABLED, "failing")
    assert Event.objects.filter(name="webhook_endpoint.disabled", subject_ref=endpoint.public_id).count() == 1


def test_one_success_begins_the_five_days_anew(clock_file: Path) -> None:
    with receiving(status=500) as receiver:
        endpoint = listening(receiver.url)
        for status in (500, 200, 500):
            receiver.status = status
            happen(make_tenant())
            push_clock(clock_file, timedelta(days=3))
            deliver_due()
    endpoint.refresh_from_db()
    assert endpoint.state == EndpointState.ACTIVE


# --- when we die ----------------------------------------------------------------------------------------------------
def test_a_worker_that_dies_between_sending_and_recording_sends_the_same_again(
    receiver: Receiver, clock_file: Path
) -> None:
    listening(receiver.url)
    event = happen(make_tenant(), tier="basic")

    with dying_at_every(1), pytest.raises(Killed):
        deliver_due()
    assert the_delivery().state == DeliveryState.SENDING
    assert deliver_due() == 0  # the lease still holds

    expired = clock.real_now() - timedelta(seconds=1)
    WebhookDelivery.objects.update(leased_until=expired)
    assert deliver_due() == 0  # taken back, and due after the schedule's delay
    push_clock(clock_file, timedelta(seconds=6))
    assert deliver_due() == 1
    assert receiver.ids == [event.public_id, event.public_id]
    assert receiver.received[0].body == receiver.received[1].body
    assert the_delivery().state == DeliveryState.DELIVERED
    assert [each.error for each in DeliveryAttempt.objects.order_by("number")] == ["lost", ""]


def test_many_deaths_lose_nothing_and_change_no_byte(receiver: Receiver, clock_file: Path) -> None:
    tenants = [make_tenant() for _ in range(5)]
    for tenant in tenants:
        listening(receiver.url, tenant)
    happened = {happen(tenant, number=number).public_id for tenant in tenants for number in range(4)}
    deaths = 0
    with dying_at_every(2):
        while WebhookDelivery.objects.exclude(state=DeliveryState.DELIVERED).exists():
            try:
                deliver_due()
            except Killed:
                deaths += 1
            WebhookDelivery.objects.filter(state=DeliveryState.SENDING).update(
                leased_until=clock.real_now() - timedelta(seconds=1)
            )
            push_clock(clock_file, timedelta(hours=1))
    assert deaths >= 15
    assert set(receiver.ids) == happened
    assert len(receiver.received) > len(happened)
    assert len({(message.headers["webhook-id"], message.body) for message in receiver.received}) == len(happened)


def test_a_worker_that_wakes_up_late_records_nothing(receiver: Receiver, clock_file: Path) -> None:
    listening(receiver.url)
    happen(make_tenant())
    [slow] = claim(limit=1)
    outcome = send(slow)
    WebhookDelivery.objects.update(leased_until=clock.real_now() - timedelta(seconds=1))
    assert claim(limit=1) == []
    record(slow, outcome)
    sent = the_delivery()
    assert (sent.state, sent.last_error) == (DeliveryState.WAITING, "lost")
    push_clock(clock_file, timedelta(seconds=6))
    [second] = claim(limit=1)
    record(slow, outcome)  # another fence
    assert the_delivery().state == DeliveryState.SENDING
    record(second, send(second))
    record(second, outcome)  # twice changes nothing
    assert the_delivery().attempts == 2
    assert DeliveryAttempt.objects.count() == 2


# --- one that hangs -------------------------------------------------------------------------------------------------
def test_an_endpoint_that_hangs_delays_nobody() -> None:
    with receiving() as hanging, receiving() as first, receiving() as second:
        hanging.open.clear()
        for each in (hanging, first, second):
            listening(each.url)
        tenant = make_tenant()
        for _ in range(5):
            happen(tenant)
        began = time.monotonic()
        arrived: list[float] = []

        def watch() -> None:
            while len(first.received) + len(second.received) < 10 and time.monotonic() - began < 10:
                time.sleep(0.01)
            arrived.append(time.monotonic() - began)
            hanging.open.set()

        watching = threading.Thread(target=watch)
        watching.start()
        assert deliver_due() == 15
        watching.join()
    assert arrived[0] < 2.0
    assert len(hanging.received) == 5
    assert {each.state for each in WebhookDelivery.objects.all()} == {DeliveryState.DELIVERED}


def test_an_endpoint_has_one_message_in_flight(receiver: Receiver) -> None:
    listening(receiver.url)
    for _ in range(3):
        happen(make_tenant())
    [first] = claim(limit=10)
    assert claim(limit=10) == []
    with pytest.raises(IntegrityError), transaction.atomic():
        WebhookDelivery.objects.filter(state=DeliveryState.WAITING).update(
            state=DeliveryState.SENDING, leased_until=clock.real_now()
        )
    record(first, send(first))
    assert len(claim(limit=10)) == 1


def test_nobody_is_passed_over_when_there_are_more_endpoints_than_slots(receiver: Receiver) -> None:
    tenant = make_tenant()
    made = [listening(f"{receiver.url}/{number}") for number in range(4)]
    for _ in range(2):
        happen(tenant)
    served = []
    for _ in range(4):
        for sending in claim(limit=2):
            served.append(sending.endpoint_id)
            record(sending, send(sending))
    assert served == [each.pk for each in made] * 2


def test_one_tenant_holds_a_few_slots_and_leaves_the_rest_to_others(receiver: Receiver) -> None:
    greedy, modest = make_tenant(), make_tenant()
    for number in range(2 * delivery.SLOTS_PER_OWNER):
        listening(f"{receiver.url}/{number}", greedy)
    of_modest = listening(receiver.url, modest)
    of_operators = listening(receiver.url)
    happen(greedy)
    happen(modest)
    claimed = [sending.endpoint_id for sending in claim(limit=32)]
    assert len(claimed) == delivery.SLOTS_PER_OWNER + 2
    assert {of_modest.pk, of_operators.pk} <= set(claimed)
    assert claim(limit=32) == []
    happen(modest)
    assert claim(limit=32) == []


def test_a_failing_endpoint_rests_between_its_many_messages(clock_file: Path) -> None:
    with receiving(status=500) as receiver:
        listening(receiver.url)
        for _ in range(20):
            happen(make_tenant())
        assert deliver_due() == 1
        push_clock(clock_file, timedelta(seconds=2))
        assert deliver_due() == 1
        receiver.status = 200
        push_clock(clock_file, timedelta(seconds=4))
        assert deliver_due() >= 18


@pytest.mark.django_db(transaction=True)
def test_two_passes_and_two_claimers_never_take_the_same(receiver: Receiver) -> None:
    from django.db import connection

    tenant = make_tenant()
    for number in range(6):
        listening(f"{receiver.url}/{number}")
    happen(tenant)
    start = threading.Barrier(4)

    def work(results: list[Any], job: Callable[[], Any]) -> None:
        try:
            start.wait()
            results.append(job())
        finally:
            connection.close()

    def both() -> list[int]:
        taken = claim(limit=3)
        for sending in taken:
            record(sending, send(sending))
        return [sending.delivery_id for sending in taken]

    claimed: list[Any] = []
    tried: list[Any] = []
    jobs = [(claimed, both), (claimed, both), (tried, deliver_due), (tried, deliver_due)]
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliver_due()
    assert len(receiver.received) == 6
    assert len({message.path for message in receiver.received}) == 6


# --- secrets, tests, replays ----------------------------------------------------------------------------------------
def test_for_a_day_after_a_rotation_both_secrets_verify(receiver: Receiver, clock_file: Path) -> None:
    endpoint, old = endpoints.create_endpoint(url=receiver.url, event_names=[], tenant=None, actor=TESTER)
    _, lost = endpoints.rotate_secret(endpoint_id=endpoint.pk, actor=TESTER)
    _, new = endpoints.rotate_secret(endpoint_id=endpoint.pk, actor=TESTER)
    assert len({old, lost, new}) == 3
    endpoints.send_test(endpoint_id=endpoint.pk, actor=TESTER)
    deliver_due()
    message = receiver.received[-1]
    assert message.is_signed_with(new) and message.is_signed_with(old) and not message.is_signed_with(lost)

    push_clock(clock_file, timedelta(hours=24))
    endpoints.send_test(endpoint_id=endpoint.pk, actor=TESTER)
    deliver_due()
    message = receiver.received[-1]
    assert message.is_signed_with(new) and not message.is_signed_with(old)


def test_no_secret_is_in_any_table_or_log(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    from django.db import connection

    endpoint, secret = endpoints.create_endpoint(url=receiver.url, event_names=[], tenant=None, actor=TESTER)
    endpoints.send_test(endpoint_id=endpoint.pk, actor=TESTER)
    [sending] = claim(limit=1)
    record(sending, send(sending))
    kept = ""
    with connection.cursor() as cursor:
        for model in (WebhookEndpoint, WebhookDelivery, DeliveryAttempt, Event):
            cursor.execute(f"SELECT row_to_json(t)::text FROM {model._meta.db_table} t")
            kept += "".join(row[0] for row in cursor.fetchall())
    core = secret.removeprefix("whsec_")
    assert core not in kept + caplog.text + repr(sending)
    assert endpoint.public_id in kept


def test_a_test_message_is_sent_whatever_is_subscribed_to(receiver: Receiver) -> None:
    endpoint = listening(receiver.url, make_tenant())
    made = endpoints.send_test(endpoint_id=endpoint.pk, actor=TESTER)
    assert dispatch_events()
    deliver_due()
    [message] = receiver.received
    assert json.loads(message.body)["type"] == "webhook.test"
    assert made.event.name == "webhook.test"


def test_one_delivery_can_be_sent_again(receiver: Receiver) -> None:
    listening(receiver.url)
    event = happen(make_tenant())
    deliver_due()
    replay.replay_delivery(delivery_id=the_delivery().pk, actor=TESTER)
    deliver_due()
    assert receiver.ids == [event.public_id] * 2
    assert receiver.received[0].body == receiver.received[1].body
    assert the_delivery().attempts == 2
    [asked] = Event.objects.filter(name="webhook_endpoint.replayed")
    assert asked.actor_ref == TESTER.ref


def test_a_range_brings_back_what_was_missed_and_nothing_of_others(receiver: Receiver, clock_file: Path) -> None:
    ours, theirs = make_tenant(), make_tenant()
    endpoint = listening(receiver.url, ours)
    before = happen(ours)
    push_clock(clock_file, timedelta(minutes=1))
    start = clock.now()
    endpoints.disable_endpoint(endpoint_id=endpoint.pk, reason="moving house", actor=TESTER)
    missed = [happen(ours), happen(ours)]
    happen(theirs)
    happen(ours, name="tenant.resumed")  # not subscribed to
    push_clock(clock_file, timedelta(minutes=1))
    with pytest.raises(endpoints.WebhookDisabled):
        replay.replay_range(endpoint_id=endpoint.pk, start=start, end=clock.now(), actor=TESTER)
    endpoints.enable_endpoint(endpoint_id=endpoint.pk, actor=TESTER)
    assert replay.replay_range(endpoint_id=endpoint.pk, start=start, end=clock.now(), actor=TESTER) == 2
    deliver_due()
    assert receiver.ids == [event.public_id for event in missed]
    assert before.public_id not in receiver.ids
    replay.replay_range(endpoint_id=endpoint.pk, start=start, end=clock.now(), actor=TESTER)
    deliver_due()
    assert sorted(receiver.ids) == sorted([event.public_id for event in missed] * 2)


@pytest.mark.parametrize("days", [0, -1, 32])
def test_a_range_that_makes_no_sense_is_refused(days: int) -> None:
    endpoint = listening("http://127.0.0.1:9/")
    with pytest.raises(replay.ReplayRangeInvalid):
        at = clock.now()
        replay.replay_range(endpoint_id=endpoint.pk, start=at, end=at + timedelta(days=days), actor=TESTER)


def test_what_waits_goes_to_the_new_address(receiver: Receiver, clock_file: Path) -> None:
    endpoint = listening(f"http://127.0.0.1:{closed_port()}/")
    happen(make_tenant())
    deliver_due()
    endpoints.change_endpoint(endpoint_id=endpoint.pk, changes={"url": receiver.url}, expected_version=1, actor=TESTER)
    push_clock(clock_file, timedelta(seconds=6))
    deliver_due()
    assert len(receiver.received) == 1
    with pytest.raises(endpoints.WebhookChanged):
        endpoints.change_endpoint(
            endpoint_id=endpoint.pk, changes={"url": receiver.url}, expected_version=1, actor=TESTER
        )


def test_an_inner_address_is_refused_when_saved_and_again_when_sent(receiver: Receiver, settings: Any) -> None:
    endpoint = listening(receiver.url)  # saved on somebody's own machine
    settings.WEBHOOKS_MAY_GO_TO_LOOPBACK = False
    with pytest.raises(endpoints.WebhookInvalid) as refused:
        listening(receiver.url)
    assert refused.value.errors[0].pointer == "/url"
    happen(make_tenant())
    deliver_due()
    assert receiver.received == []
    assert the_delivery().last_error == "refused"
    assert WebhookEndpoint.objects.get() == endpoint


def test_the_number_of_endpoints_is_limited_for_each_owner() -> None:
    tenant = make_tenant()
    for number in range(endpoints.MOST_ENDPOINTS):
        listening(f"http://127.0.0.1:9/{number}", tenant)
    with pytest.raises(endpoints.TooManyWebhooks):
        listening("http://127.0.0.1:9/more", tenant)
    assert listening("http://127.0.0.1:9/", make_tenant())


def test_the_lease_outlives_one_delivery_and_the_task_outlives_a_pass() -> None:
    from events.tasks import deliver_webhooks
    from events.webhooks.transport import TOTAL_SECONDS

    assert delivery.LEASE.total_seconds() >= 2 * TOTAL_SECONDS
    assert deliver_webhooks.time_limit > delivery.PASS_SECONDS + TOTAL_SECONDS + 5


# --- afterwards -------------------------------------------------------------------------------------------------------
def test_old_deliveries_go_and_events_what_waits_and_what_was_sent_again_stay(
    receiver: Receiver, clock_file: Path, settings: Any
) -> None:
    endpoint = listening(receiver.url)
    waits = listening(f"http://127.0.0.1:{closed_port()}/")
    tenant = make_tenant()
    old, again = happen(tenant), happen(tenant)
    deliver_due()
    push_clock(clock_file, timedelta(days=settings.WEBHOOK_RETENTION_DAYS))
    replay.replay_delivery(delivery_id=WebhookDelivery.objects.get(event=again, endpoint=endpoint).pk, actor=TESTER)
    recent = happen(tenant)
    assert tidying.prune_deliveries() == 1
    assert set(WebhookDelivery.objects.filter(endpoint=endpoint).values_list("event_id", flat=True)) == {
        again.pk, recent.pk
    }  # fmt: skip
    assert WebhookDelivery.objects.filter(endpoint=waits).count() == 3, "what still waits is not old"
    assert not DeliveryAttempt.objects.filter(delivery__event=old, delivery__endpoint=endpoint).exists()
    assert Event.objects.filter(pk=old.pk).exists()
    assert tidying.prune_deliveries() == 0


def test_a_disabled_endpoint_is_deleted_with_what_was_sent_to_it(receiver: Receiver) -> None:
    endpoint, other = listening(receiver.url), listening(receiver.url)
    event = happen(make_tenant())
    deliver_due()
    with pytest.raises(endpoints.WebhookActive):
        endpoints.delete_endpoint(endpoint_id=endpoint.pk, actor=TESTER)
    endpoints.disable_endpoint(endpoint_id=endpoint.pk, actor=TESTER)
    endpoints.delete_endpoint(endpoint_id=endpoint.pk, reason="moved", actor=TESTER)
    assert [row.endpoint_id for row in WebhookDelivery.objects.all()] == [other.pk]
    assert list(WebhookEndpoint.objects.all()) == [other]
    told = Event.objects.get(name="webhook_endpoint.deleted")
    assert (told.subject_ref, told.reason, Event.objects.filter(pk=event.pk).exists()) == (
        endpoint.public_id, "moved", True
    )  # fmt: skip


def test_a_departed_tenants_endpoint_hears_the_last_news_and_is_switched_off(
    receiver: Receiver, clock_file: Path
) -> None:
    leaving, staying = make_tenant(), make_tenant()
    heard = listening(receiver.url, leaving, ("tenant.offboarded",))
    deaf = listening(f"http://127.0.0.1:{closed_port()}/", leaving, ("tenant.offboarded",))
    stays = listening(receiver.url, staying)
    happen(leaving, "tenant.offboarded")
    assert tidying.disable_departed() == 0, "what waits is sent first"
    deliver_due()
    assert tidying.disable_departed() == 1
    push_clock(clock_file, timedelta(days=5))
    assert tidying.disable_departed() == 1
    reasons = {row.pk: row.disabled_reason for row in WebhookEndpoint.objects.all()}
    assert reasons == {heard.pk: "departed", deaf.pk: "departed", stays.pk: ""}
    assert len(receiver.received) == 1
