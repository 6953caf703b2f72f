"""Shares of months, whatever their length, and periods cut without gap."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.rating.proration import Share, prorate, share_of, split, whole_units
from core.periods import Period, billing_month


@pytest.mark.parametrize(
    ("year", "month", "timezone", "hours"),
    [
        (2026, 2, "UTC", 28 * 24),
        (2028, 2, "UTC", 29 * 24),
        (2026, 3, "America/New_York", 31 * 24 - 1),
        (2026, 11, "America/New_York", 30 * 24 + 1),
        (2026, 11, "Asia/Tokyo", 30 * 24),
    ],
)
def test_a_whole_month_is_a_whole_share_whatever_its_hours(year: int, month: int, timezone: str, hours: int) -> None:
    period = billing_month(year, month, timezone)
    share = share_of(period, period)
    assert share == Share(hours * 3600, hours * 3600)
    assert prorate(Decimal("31.01"), share) == Decimal("31.01")


def test_an_empty_span_is_no_share() -> None:
    assert share_of(None, billing_month(2026, 11, "UTC")).seconds == 0


def test_a_span_outside_its_month_is_a_bug() -> None:
    month = billing_month(2026, 11, "UTC")
    with pytest.raises(ValueError, match="not within"):
        share_of(Period(month.start, month.end + timedelta(hours=1)), month)


@pytest.mark.parametrize(
    ("quantity", "share", "units"),
    [(10, Share(1, 3), 4), (9, Share(1, 3), 3), (0, Share(1, 3), 0), (10, Share(0, 3), 0), (10, Share(3, 3), 10)],
)
def test_limits_round_up_to_whole_units(quantity: int, share: Share, units: int) -> None:
    assert whole_units(quantity, share) == units


hours = st.integers(0, 24 * 62)


@settings(max_examples=200, deadline=None)
@given(st.lists(hours, max_size=8))
def test_cut_parts_are_contiguous_and_their_shares_add_up_to_one(offsets: list[int]) -> None:
    month = billing_month(2026, 11, "UTC")
    before = datetime(2026, 10, 15, tzinfo=UTC)
    parts = split(month, [before + timedelta(hours=offset) for offset in offsets])
    assert parts[0].start == month.start and parts[-1].end == month.end
    assert all(left.end == right.start for left, right in itertools.pairwise(parts))
    shares = [share_of(part, month) for part in parts]
    assert sum(Fraction(share.seconds, share.of) for share in shares) == 1
