"""Ids sort by time and look like nothing else; the test clock moves business time only."""

import time
from pathlib import Path

import pytest

from core import clock
from core.ids import is_public_id, new_id


def test_ids_sort_by_the_time_they_were_made() -> None:
    first = new_id("ten")
    time.sleep(0.002)
    assert first < new_id("ten")


@pytest.mark.parametrize(
    "text", ["ten_", "ten_123", "TEN_01k0000000000000000000000a", "ten_01k000000000000000000000il"]
)
def test_odd_texts_are_no_ids(text: str) -> None:
    assert not is_public_id(text)


def test_an_id_is_recognised_with_its_prefix() -> None:
    made = new_id("inv")
    assert is_public_id(made) and is_public_id(made, "inv") and not is_public_id(made, "ten")


def test_the_test_clock_moves_business_time_and_leaves_leases_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clock"
    monkeypatch.setenv("CP_TEST_CLOCK_FILE", str(file))
    assert clock.offset_seconds() == 0
    file.write_text("86400\n")
    ahead = (clock.now() - clock.real_now()).total_seconds()
    assert ahead == pytest.approx(86400, abs=1)


def test_a_malformed_clock_file_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clock"
    file.write_text("tomorrow")
    monkeypatch.setenv("CP_TEST_CLOCK_FILE", str(file))
    with pytest.raises(ValueError, match="tomorrow"):
        clock.now()
