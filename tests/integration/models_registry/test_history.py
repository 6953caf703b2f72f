"""What served when, gaps included; and what differs between two versions."""

from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.errors import DomainError
from local_stack.emulator import EmulatorClient
from models_registry import queries
from models_registry.canary import Plan
from models_registry.history_files import row_of
from models_registry.models import Adapter
from models_registry.services.canaries import follow_shares
from models_registry.services.comparing import NotComparable, compare_versions
from models_registry.services.releases import end_serving, follow_traffic, record_withdrawn, release_version, withdraw
from tenants.models import Tenant
from tests.factories import TESTER
from tests.integration.models_registry.test_releases import hour, live, ready
from tests.integration.models_registry.uploading import upload

Line = tuple[str, int | None, float, float | None]


def told(adapter: Adapter, start: datetime | None = None, end: datetime | None = None) -> list[Line]:
    """(version or gap, number, from, until) in hours since the adapter was made."""
    adapter = queries.adapters_of(adapter.tenant_id).get(pk=adapter.pk)

    def hours(at: datetime | None) -> float | None:
        return None if at is None else round((at - hour(0)).total_seconds() / 3600, 3)

    return [
        (each.gap or "served", each.version.number if each.version else None, hours(each.since) or 0, hours(each.until))
        for each in queries.served_stretches([adapter], start=start, end=end)
    ]


@pytest.fixture
def history(adapter: Adapter) -> Adapter:
    """v1, v2, back to v1, suspended, withdrawn while suspended, v2 again."""
    Adapter.objects.filter(pk=adapter.pk).update(created_at=hour(0))
    first, second = ready(adapter), ready(adapter)
    live(first, 1)
    live(second, 2)
    live(first, 3, back=True)
    follow_traffic(tenant_id=adapter.tenant_id, is_routed=False, at=hour(4))
    gone = withdraw(adapter_id=adapter.pk, reason="", actor=TESTER)
    record_withdrawn(release_ids=[gone.pk], at=hour(5), actor=TESTER)
    follow_traffic(tenant_id=adapter.tenant_id, is_routed=True, at=hour(6))
    live(second, 7)
    return adapter


def test_every_stretch_of_time_is_told_without_holes(history: Adapter) -> None:
    assert told(history) == [
        ("not_released", None, 0, 1),
        ("served", 1, 1, 2),
        ("served", 2, 2, 3),
        ("served", 1, 3, 4),
        ("suspended", None, 4, 5),
        ("withdrawn", None, 5, 7),
        ("served", 2, 7, None),
    ]
    assert told(history, start=hour(3.5), end=hour(4.5)) == [("served", 1, 3.5, 4), ("suspended", None, 4, 4.5)]


def test_a_departure_is_told_as_such(history: Adapter) -> None:
    end_serving(tenant_id=history.tenant_id, at=hour(9), actor=TESTER)
    Tenant.objects.filter(pk=history.tenant_id).update(state="offboarded")
    assert told(history)[-2:] == [("served", 2, 7, 9), ("left", None, 9, None)]


def test_shares_of_a_release_in_steps_are_told_where_they_begin_change_and_end(history: Adapter) -> None:
    """v1 goes in steps beside v2 from hour 8: 10 %, then 50 %, then it is aborted."""
    first = history.versions.get(number=1)
    release = release_version(version_id=first.pk, plan=Plan(steps=(10, 50)), reason="try it", actor=TESTER)
    for number, shares in ((8, {first.public_id: 10}), (9, {first.public_id: 50}), (10, {})):
        follow_shares(tenant_id=history.tenant_id, shares=shares, at=hour(number))
    stretches = queries.served_stretches([queries.adapters_of(history.tenant_id).get()], start=hour(7.5))
    rows = [row_of(stretch) for stretch in stretches]
    told_shares = [(row["percent"], row["canary_version_number"], row["canary_percent"]) for row in rows]
    assert told_shares == [(100, None, None), (90, 1, 10), (50, 1, 50), (100, None, None)]
    assert {row["version_number"] for row in rows} == {2}
    assert [row["canary_release"] for row in rows] == [None, release.public_id, release.public_id, None]
    bounds = [row["served_from"] for row in rows]
    assert [row["served_until"] for row in rows] == [*bounds[1:], None], "no holes"
    assert told(history, start=hour(8.5), end=hour(8.75)) == [("served", 2, 8.5, 8.75)]
    [then] = queries.served_then([history], hour(9.5))
    assert then.served is not None and then.served.version.number == 2
    assert then.canary is not None and (then.canary.version.number, then.canary.percent) == (1, 50)


def test_what_served_then_is_four_statements_for_all_adapters(history: Adapter) -> None:
    other = Adapter.objects.create(
        tenant=history.tenant,
        name="other",
        foundation_model=history.foundation_model,
        serving_profile=history.serving_profile,
    )
    adapters = list(queries.adapters_of(history.tenant_id))

    def then(number: float) -> list[tuple[str, int | None, str]]:
        return [
            (each.adapter.name, each.served.version.number if each.served else None, each.gap)
            for each in queries.served_then(adapters, hour(number))
        ]

    assert then(2.5) == [("other", None, "not_released"), ("support", 2, "")]
    assert then(4.5)[1] == ("support", None, "suspended")
    assert then(6)[1] == ("support", None, "withdrawn")
    with CaptureQueriesContext(connection) as captured:
        then(4.5)
    assert len(captured) == 4
    assert other.name == "other"


def test_two_versions_are_compared_down_to_their_tensors(adapter: Adapter, aws: EmulatorClient) -> None:
    before = upload(adapter, "ok-r8-qv", metrics={"f1": 0.8, "loss": 0.4, "ms": {"p95": 30}, "oddity": 1, "gone": 2})
    after = upload(adapter, "ok-r16-all", metrics={"f1": 0.9, "loss": 0.5, "ms": {"p95": 20}, "oddity": 2, "new": 1})
    found = compare_versions(before=before, after=after)
    assert [(c.name, c.before, c.after) for c in found.config if c.name == "r"] == [("r", 8, 16)]
    assert found.tensors.added_count > 0 and found.tensors.removed_count == 0
    assert found.tensors.changed_count > 0 and " x " in found.tensors.changed[0].before
    assert {m.name: m.verdict for m in found.metrics} == {
        "f1": "better",
        "loss": "worse",
        "ms.p95": "better",
        "oddity": "changed",
        "gone": "removed",
        "new": "added",
    }
    assert found.size_change == (after.size_bytes or 0) - (before.size_bytes or 0) > 0
    back = compare_versions(before=after, after=before)
    assert back.tensors.removed_count == found.tensors.added_count
    same = compare_versions(before=before, after=upload(adapter, "ok-r8-qv", notes="Again."))
    assert same.is_same_content and not same.config and [c.name for c in same.provenance] == ["notes"]


def test_what_did_not_pass_the_gate_cannot_be_compared(adapter: Adapter, aws: EmulatorClient) -> None:
    good, bad = upload(adapter, "ok-r8-qv"), upload(adapter, {"adapter_config.json": b"{}"})
    check: Callable[[], object] = lambda: compare_versions(before=good, after=bad)  # noqa: E731
    with pytest.raises(NotComparable):
        check()
    assert issubclass(NotComparable, DomainError)
