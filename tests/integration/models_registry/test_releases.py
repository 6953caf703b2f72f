"""What should serve, what did serve, and when."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from core import clock
from core.actors import SYSTEM
from events.models import Event
from models_registry import queries
from models_registry.models import Adapter, AdapterVersion, Release, ServedInterval
from models_registry.services import releases
from models_registry.services.adapters import TenantLeaving, VersionInUse, archive_version
from models_registry.services.releases import (
    NothingReleased,
    NothingToRollBackTo,
    VersionNotReady,
    end_serving,
    record_live,
    record_withdrawn,
    refuse,
    release_version,
    roll_back,
    withdraw,
)
from models_registry.states import VersionState
from tenants.services.offboarding import begin_offboarding
from tests.factories import TESTER

START = clock.now().replace(microsecond=0)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def ready(adapter: Adapter, **details: Any) -> AdapterVersion:
    """A ready version without an upload: releases look at nothing else of it."""
    adapter.refresh_from_db()
    number = adapter.next_number
    Adapter.objects.filter(pk=adapter.pk).update(next_number=number + 1)
    return AdapterVersion.objects.create(
        adapter=adapter,
        tenant_id=adapter.tenant_id,
        number=number,
        state=VersionState.READY,
        sha256=f"{number:064x}",
        artifact_key=f"k{number}",
        size_bytes=1,
        rank=8,
        **{"uploaded_by": "tester", **details},
    )


def live(version: AdapterVersion, at: float, *, back: bool = False) -> Release:
    if back:
        release = roll_back(adapter_id=version.adapter_id, to_version_id=version.pk, reason="", actor=TESTER)
    else:
        release = release_version(version_id=version.pk, reason="", actor=TESTER)
    record_live(release_ids=[release.pk], at=hour(at), actor=SYSTEM)
    release.refresh_from_db()
    return release


def story(adapter: Adapter) -> list[tuple[int, float, float | None]]:
    """(number, from hour, until hour) of everything that served, oldest first."""
    told = []
    for interval in reversed(queries.timeline(adapter.pk)):
        begin = (interval.during.lower - START).total_seconds() / 3600
        end = (interval.during.upper - START).total_seconds() / 3600 if interval.during.upper else None
        told.append((interval.version.number, begin, end))
    return told


def states(adapter: Adapter) -> list[str]:
    return list(Release.objects.filter(adapter=adapter).order_by("sequence").values_list("state", flat=True))


def test_release_then_another_then_back(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    live(first, 1)
    live(second, 2)
    back = roll_back(adapter_id=adapter.pk, reason="answers got worse", actor=TESTER)
    assert (back.kind, back.version, back.state) == ("roll_back", first, "pending")
    record_live(release_ids=[back.pk], at=hour(3), actor=SYSTEM)
    assert story(adapter) == [(1, 1, 2), (2, 2, 3), (1, 3, None)]
    assert states(adapter) == ["superseded", "superseded", "live"]
    adapter.refresh_from_db()
    assert adapter.live_version == first
    served = {h: queries.served_at(adapter.pk, hour(h)) for h in (0.5, 1, 1.99, 2, 2.5, 3, 99)}
    assert {h: found.version.number if found else None for h, found in served.items()} == {
        0.5: None, 1: 1, 1.99: 1, 2: 2, 2.5: 2, 3: 1, 99: 1,
    }  # fmt: skip
    names = Event.objects.filter(name__startswith="adapter.r").order_by("pk").values_list("name", flat=True)
    assert list(names) == [
        "adapter.release_requested",
        "adapter.released",
        "adapter.release_requested",
        "adapter.released",
        "adapter.roll_back_requested",
        "adapter.rolled_back",
    ]
    # Back again goes to what served before that.
    assert roll_back(adapter_id=adapter.pk, reason="", actor=TESTER).version == second


def test_wanted_releases_and_the_warm_previous_version(adapter: Adapter) -> None:
    tenant = adapter.tenant_id
    assert queries.wanted_releases(tenant) == []
    first, second, third = ready(adapter), ready(adapter), ready(adapter)
    release_version(version_id=first.pk, reason="", actor=TESTER)
    [wanted] = queries.wanted_releases(tenant)
    assert (wanted.version, wanted.live_version, wanted.previous) == (first, None, None)
    live(first, 1)
    live(second, 2)
    [wanted] = queries.wanted_releases(tenant)
    assert (wanted.version, wanted.live_version, wanted.previous) == (second, second, first)
    assert wanted.previous_stopped_at == hour(2)
    release_version(version_id=third.pk, reason="", actor=TESTER)
    [wanted] = queries.wanted_releases(tenant)
    assert (wanted.version, wanted.live_version, wanted.previous) == (third, second, first)


def test_asking_twice_wishes_once(adapter: Adapter) -> None:
    version = ready(adapter)
    release = release_version(version_id=version.pk, reason="", actor=TESTER)
    assert release_version(version_id=version.pk, reason="again", actor=TESTER) == release
    record_live(release_ids=[release.pk], at=hour(1), actor=SYSTEM)
    assert record_live(release_ids=[release.pk], at=hour(2), actor=SYSTEM) == []
    assert story(adapter) == [(1, 1, None)]
    assert release_version(version_id=version.pk, reason="", actor=TESTER) == release


def test_a_refused_release_leaves_the_old_one_serving(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    live(first, 1)
    release = release_version(version_id=second.pk, reason="", actor=TESTER)
    for _ in range(2):
        refuse(release_id=release.pk, code="no_effect", detail="same as base", evidence={"a": 1}, actor=SYSTEM)
    release.refresh_from_db()
    assert (release.state, release.refusal_code, release.evidence) == ("refused", "no_effect", {"a": 1})
    [wanted] = queries.wanted_releases(adapter.tenant_id)
    assert wanted.version == first
    assert story(adapter) == [(1, 1, None)]
    assert Event.objects.filter(name="adapter.release_refused").count() == 1
    assert release_version(version_id=second.pk, reason="", actor=TESTER).sequence == 3


def test_rolling_back_while_a_release_is_on_its_way_goes_to_what_is_live(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    live(first, 1)
    release_version(version_id=second.pk, reason="", actor=TESTER)
    back = roll_back(adapter_id=adapter.pk, reason="", actor=TESTER)
    assert back.version == first
    record_live(release_ids=[back.pk], at=hour(2), actor=SYSTEM)
    assert states(adapter) == ["superseded", "superseded", "live"]
    assert [number for number, _, _ in story(adapter)] == [1, 1]


def test_an_overtaken_release_is_superseded_when_it_arrives_late(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    early = release_version(version_id=first.pk, reason="", actor=TESTER)
    late = release_version(version_id=second.pk, reason="", actor=TESTER)
    record_live(release_ids=[early.pk, late.pk], at=hour(1), actor=SYSTEM)
    assert states(adapter) == ["superseded", "live"]
    assert story(adapter)[-1][0] == 2
    with pytest.raises(DatabaseError), transaction.atomic():
        Release.objects.filter(pk=early.pk).update(state="live")


def test_withdrawing(adapter: Adapter) -> None:
    with pytest.raises(NothingReleased):
        withdraw(adapter_id=adapter.pk, reason="", actor=TESTER)
    live(ready(adapter), 1)
    wish = withdraw(adapter_id=adapter.pk, reason="recall", actor=TESTER)
    [wanted] = queries.wanted_releases(adapter.tenant_id)
    assert (wanted.version, wanted.release) == (None, wish)
    with pytest.raises(ValueError, match="withdraw"):
        record_live(release_ids=[wish.pk], at=hour(2), actor=SYSTEM)
    record_withdrawn(release_ids=[wish.pk], at=hour(2), actor=SYSTEM)
    adapter.refresh_from_db()
    assert adapter.live_version is None
    assert story(adapter) == [(1, 1, 2)]
    assert queries.served_at(adapter.pk, hour(2)) is None
    back = roll_back(adapter_id=adapter.pk, reason="", actor=TESTER)
    assert back.version is not None and back.version.number == 1


def test_refusals_change_nothing(adapter: Adapter, make_adapter: Callable[..., Adapter]) -> None:
    version = ready(adapter)
    with pytest.raises(NothingToRollBackTo):
        roll_back(adapter_id=adapter.pk, reason="", actor=TESTER)
    other = ready(make_adapter())
    with pytest.raises(NothingToRollBackTo):
        roll_back(adapter_id=adapter.pk, to_version_id=other.pk, reason="", actor=TESTER)
    live(version, 1)
    with pytest.raises(VersionInUse):
        archive_version(version_id=version.pk, actor=TESTER)
    spare = ready(adapter)
    archive_version(version_id=spare.pk, actor=TESTER)
    for _ in range(2):
        with pytest.raises(VersionNotReady):
            release_version(version_id=spare.pk, reason="", actor=TESTER)
    begin_offboarding(tenant_id=adapter.tenant_id, reason="", actor=TESTER)
    with pytest.raises(TenantLeaving):
        release_version(version_id=version.pk, reason="", actor=TESTER)
    assert states(adapter) == ["live"]
    end_serving(tenant_id=adapter.tenant_id, at=hour(5), actor=SYSTEM)
    assert story(adapter) == [(1, 1, 5)]
    assert queries.wanted_releases(adapter.tenant_id) == []


def test_two_clocks_make_no_empty_interval(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    live(first, 2)
    live(second, 1)  # a worker whose clock is behind
    intervals = ServedInterval.objects.filter(adapter=adapter).order_by("during")
    assert [not interval.during.isempty for interval in intervals] == [True, True]
    assert intervals[0].during.upper == intervals[1].during.lower


def test_the_database_keeps_the_ledger(adapter: Adapter, make_adapter: Callable[..., Adapter]) -> None:
    first, second = ready(adapter), ready(adapter)
    release = live(first, 1)
    pending = release_version(version_id=second.pk, reason="", actor=TESTER)
    foreign = ready(make_adapter())
    overlapping = DateTimeTZRange(hour(5), hour(6), "[)")
    with pytest.raises(DatabaseError, match="no_overlap"), transaction.atomic():
        ServedInterval.objects.create(adapter=adapter, version=second, release=pending, during=overlapping)
    with pytest.raises(DatabaseError, match="release_of_adapters_version"), transaction.atomic():
        Release.objects.create(adapter=adapter, version=foreign, kind="release", sequence=99, requested_by="x")
        connection.check_constraints()
    for change in ({"version": second}, {"reason": "other"}, {"sequence": 9}, {"requested_by": "x"}):
        with pytest.raises(DatabaseError, match="final"), transaction.atomic():
            Release.objects.filter(pk=release.pk).update(**change)


@pytest.mark.django_db(transaction=True)
def test_ten_people_release_at_once(transactional_db: None, adapter: Adapter) -> None:
    versions = [ready(adapter) for _ in range(5)]
    failures: list[BaseException] = []

    def ask(version: AdapterVersion) -> None:
        try:
            release_version(version_id=version.pk, reason="", actor=TESTER)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(version,)) for version in versions for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    sequences = list(Release.objects.filter(adapter=adapter).order_by("sequence").values_list("sequence", flat=True))
    assert sequences == list(range(1, len(sequences) + 1))
    assert 5 <= len(sequences) <= 10


def test_two_people_who_roll_back_at_once_want_the_same(adapter: Adapter) -> None:
    first, second = ready(adapter), ready(adapter)
    live(first, 1)
    live(second, 2)
    one = roll_back(adapter_id=adapter.pk, reason="worse", actor=TESTER)
    assert one.version == first
    assert roll_back(adapter_id=adapter.pk, reason="I see it too", actor=TESTER) == one
    back = roll_back(adapter_id=adapter.pk, to_version_id=second.pk, reason="no, it was the data", actor=TESTER)
    assert back.version == second


def test_who_decides_about_an_adapter_holds_up_no_new_version_of_it(transactional_db: None, adapter: Adapter) -> None:
    def arrive() -> None:
        try:
            with transaction.atomic():
                AdapterVersion.objects.create(adapter=adapter, tenant=adapter.tenant, parts=[], uploaded_by="tester")
        finally:
            connection.close()

    with transaction.atomic():
        releases._lock(adapter.pk)
        upload = threading.Thread(target=arrive)
        upload.start()
        upload.join(timeout=3)
        assert not upload.is_alive()
    assert adapter.versions.count() == 1
