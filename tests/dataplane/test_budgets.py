"""Windows and estimates: tables, with the edges."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dataplane.budgets import Limit, Tokens, budgets_of, upper_bound, window_around


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("window", "zone", "at", "start", "end"),
    [
        ("minute", "UTC", "2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z", "2026-11-20T12:01:00Z"),
        ("minute", "UTC", "2026-11-20T12:00:59Z", "2026-11-20T12:00:00Z", "2026-11-20T12:01:00Z"),
        ("minute", "Asia/Kolkata", "2026-11-20T12:01:00Z", "2026-11-20T12:01:00Z", "2026-11-20T12:02:00Z"),
        ("day", "UTC", "2026-11-20T23:59:59Z", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
        ("day", "Asia/Tokyo", "2026-11-20T14:59:59Z", "2026-11-19T15:00:00Z", "2026-11-20T15:00:00Z"),
        ("day", "Asia/Tokyo", "2026-11-20T15:00:00Z", "2026-11-20T15:00:00Z", "2026-11-21T15:00:00Z"),
        ("day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        # Santiago skips the midnight of 6 September: the day begins at the instant of the change.
        ("day", "America/Santiago", "2026-09-06T04:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"),
        ("month", "America/New_York", "2026-12-01T04:59:59Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
        ("month", "America/New_York", "2026-12-01T05:00:00Z", "2026-12-01T05:00:00Z", "2027-01-01T05:00:00Z"),
        ("month", "Asia/Tokyo", "2024-02-29T15:00:00Z", "2024-02-29T15:00:00Z", "2024-03-31T15:00:00Z"),
    ],
)
def test_a_window_holds_its_start_and_not_its_end(window: str, zone: str, at: str, start: str, end: str) -> None:
    assert window_around(window, epoch(at), zone) == (epoch(start), epoch(end))


@pytest.mark.parametrize("zone", ["America/Santiago", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
@pytest.mark.parametrize("window", ["day", "month"])
def test_windows_of_a_year_follow_each_other_without_gap(zone: str, window: str) -> None:
    at = int(datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).timestamp())
    for _ in range(400 if window == "day" else 14):
        start, end = window_around(window, at, zone)
        assert start == at < end
        assert window_around(window, end - 1, zone) == (start, end)
        at = end


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"prompt": "two words", "max_tokens": 10}, Tokens(17, 10)),
        ({"prompt": "", "max_tokens": 1}, Tokens(8, 1)),
        ({"prompt": "日本", "max_tokens": 1}, Tokens(14, 1)),
        ({"prompt": "x", "max_tokens": 10, "n": 3}, Tokens(9, 30)),
        ({"prompt": "x", "max_tokens": 10, "n": 2, "best_of": 4}, Tokens(9, 40)),
        ({"prompt": "x", "max_tokens": 10, "n": "3"}, Tokens(9, 30)),
        ({"prompt": "x", "max_tokens": 10, "n": None, "best_of": "many"}, Tokens(9, 10)),
        ({"prompt": "x", "max_tokens": 10, "n": -1}, Tokens(9, 10)),
        ({"prompt": "\ud800", "max_tokens": 1}, Tokens(9, 1)),
    ],
)
def test_an_estimate_is_never_below_what_can_be_counted(body: dict[str, object], tokens: Tokens) -> None:
    assert upper_bound(body) == tokens


def test_a_config_of_before_there_were_windows_limits_nothing() -> None:
    assert budgets_of({"max_output_tokens": 4096}).counters(0.0) == ()


def test_limits_are_read_in_order() -> None:
    window = {"meter": "total_tokens", "window": "day", "amount": 5, "mode": "soft"}
    found = budgets_of({"timezone": "Asia/Tokyo", "windows": [window, window | {"meter": "input_tokens"}]})
    assert found.limits == (Limit("total_tokens", "day", 5, "soft"), Limit("input_tokens", "day", 5, "soft"))
    assert [each.key for each in found.counters(54_000)] == ["c#day#54000#total_tokens", "c#day#54000#input_tokens"]


@pytest.mark.parametrize(
    "change",
    [{"meter": "requests"}, {"window": "week"}, {"mode": "off"}, {"amount": 0}, {"amount": None}],
)
def test_a_limit_that_cannot_be_kept_is_refused(change: dict[str, object]) -> None:
    window = {"meter": "total_tokens", "window": "day", "amount": 5, "mode": "soft"} | change
    with pytest.raises((ValueError, TypeError)):
        budgets_of({"timezone": "UTC", "windows": [window]})


def test_one_meter_has_one_limit_per_window_in_a_known_zone() -> None:
    window = {"meter": "total_tokens", "window": "day", "amount": 5, "mode": "soft"}
    with pytest.raises(ValueError, match="twice"):
        budgets_of({"timezone": "UTC", "windows": [window, window | {"mode": "hard"}]})
    with pytest.raises(KeyError):
        budgets_of({"timezone": "Mars/Olympus", "windows": [window]})
