"""A trace goes out as prompts and comes back as tokens: nothing lost, nothing doubled, whatever the file says."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dataplane.errors import TraceError
from dataplane.replay import Lane, TenantResult, replay
from dataplane.trace import HEADER, Trace, make_trace, read_trace, slices
from tests.dataplane.conftest import TENANT, document

if TYPE_CHECKING:
    from tests.dataplane.conftest import Plane


@dataclass(frozen=True)
class Span:
    start: datetime
    end: datetime


MADE = (4_875_734, 46_898)
NOVEMBER = Span(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def written(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_made_trace_is_large_bursty_and_always_the_same(tmp_path: Path) -> None:
    trace = make_trace()
    assert len(trace.requests) >= 2000
    assert trace.context_tokens > 50 * trace.generated_tokens
    assert [request.at_ticks for request in trace.requests] == sorted(request.at_ticks for request in trace.requests)
    minutes = [request.at_ticks // 600_000_000 for request in trace.requests]
    busiest = max(minutes.count(minute) for minute in set(minutes))
    assert busiest > 3 * len(minutes) / 60
    assert make_trace() == trace != make_trace(seed=2)
    # The same on every Python and machine: these figures are in the demo's summary.
    assert (trace.context_tokens, trace.generated_tokens) == MADE
    trace.write(tmp_path / "made.csv")
    assert read_trace(tmp_path / "made.csv") == trace


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2023-11-16 18:17:03.97,12", "line 2: expected 3 columns, found 2"),
        ("2023-11-16 18:17:03.97,12,3,4", "line 2: expected 3 columns, found 4"),
        ("yesterday,12,3", "line 2: TIMESTAMP 'yesterday'"),
        ("2023-02-30 18:17:03,12,3", "line 2: TIMESTAMP .* is not a real date"),
        ("2023-11-16 18:17:03,twelve,3", "line 2: ContextTokens 'twelve' is not a whole number"),
        ("2023-11-16 18:17:03,-1,3", "line 2: ContextTokens '-1' is not a whole number"),
        ("2023-11-16 18:17:03,1.5,3", "line 2: ContextTokens"),
        ("2023-11-16 18:17:03,0,3", "line 2: ContextTokens 0 is not from 1"),
        ("2023-11-16 18:17:03,12,0", "line 2: GeneratedTokens 0 is not from 1"),
        ("2023-11-16 18:17:03,1000001,3", "line 2: ContextTokens 1000001 is not from 1 to 1,000,000"),
        ("2023-11-16 18:17:03,٣,3", "line 2: ContextTokens"),
        ("x" * 300, "line 2: longer than 200"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(TraceError, match=says) as refused:
        read_trace(written(tmp_path, line))
    assert "trace.csv" in str(refused.value)


def test_a_bad_line_further_down_is_named(tmp_path: Path) -> None:
    good = "2023-11-16 18:17:03.9799600,4808,10"
    with pytest.raises(TraceError, match=r"line 4: expected 3 columns"):
        read_trace(written(tmp_path, good, good, "4808,10"))


def test_a_wrong_header_an_empty_file_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="line 1: expected the header"):
        read_trace(written(tmp_path, header="time,in,out"))
    with pytest.raises(TraceError, match="ends without a request"):
        read_trace(written(tmp_path))
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="line 1: not UTF-8"):
        read_trace(tmp_path / "binary.csv")


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n2023-11-16 18:17:03.9799600,4808,10\r\n\r\n".encode())
    [request] = read_trace(path).requests
    assert (request.context_tokens, request.generated_tokens, request.at_ticks % 10_000_000) == (4808, 10, 9_799_600)


@pytest.mark.parametrize("days", [1, 5, 7, 31])
def test_slices_keep_every_request_in_its_place(days: int) -> None:
    trace = make_trace()
    cut = list(slices(trace, NOVEMBER, days=days))
    assert cut[0].start == NOVEMBER.start
    assert cut[-1].end == NOVEMBER.end
    assert all(left.end == right.start for left, right in itertools.pairwise(cut))
    for piece in cut:
        assert all(piece.start.timestamp() <= request.at < piece.end.timestamp() for request in piece.requests)
    numbers = [request.number for piece in cut for request in piece.requests]
    assert numbers == list(range(len(trace.requests)))
    assert sum(r.context_tokens for piece in cut for r in piece.requests) == trace.context_tokens
    assert cut[0].requests[0].at == NOVEMBER.start.timestamp()


def test_a_replay_is_counted_to_the_token(plane: Plane) -> None:
    plane.publish(document())
    day = float(plane.aws.get("clock")["now"]) // 86400 * 86400
    period = Span(datetime.fromtimestamp(day - 86400, UTC), datetime.fromtimestamp(day, UTC))
    trace = Trace(make_trace(seed=3, requests=300).requests)
    kit = plane.kit()
    total = TenantResult(TENANT)
    for piece in slices(trace, period):
        total.add(replay(piece, [Lane(kit, "support")])[TENANT])
    assert total.is_exact, total
    assert (total.requests_sent, total.input_tokens_received) == (300, trace.context_tokens)
    assert plane.total("InputTokens", day - 86400, day, period=3600) == trace.context_tokens
    assert plane.total("OutputTokens", day - 86400, day, period=3600) == trace.generated_tokens
    assert plane.total("Requests", day - 86400, day, period=3600) == 300


def test_what_the_kit_flushed_on_its_own_counts_as_emitted(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    plane.publish(document())
    monkeypatch.setattr("dataplane.kit.FLUSH_EVERY_SECONDS", 0.0)
    clock = datetime.fromtimestamp(float(plane.aws.get("clock")["now"]), UTC)
    [piece] = slices(make_trace(seed=6, requests=30), Span(clock - timedelta(hours=20), clock))
    result = replay(piece, [Lane(plane.kit(), "support")])[TENANT]
    assert result.is_exact, result
    assert plane.aws.calls()["PutMetricData"] > 5


def test_a_failed_request_is_told_not_counted(plane: Plane) -> None:
    plane.publish(document(limits={"max_output_tokens": 20}))
    clock = datetime.fromtimestamp(float(plane.aws.get("clock")["now"]), UTC)
    trace = make_trace(seed=3, requests=60)
    [piece] = slices(trace, Span(clock - timedelta(hours=20), clock))
    result = replay(piece, [Lane(plane.kit(), "support")])[TENANT]
    too_long = sum(request.generated_tokens > 20 for request in trace.requests)
    assert 0 < too_long < 60
    assert result.requests_sent - result.requests_answered == too_long
    assert not result.is_exact
    assert "invalid_request" in result.errors[0]
    assert result.requests_emitted == result.requests_answered


def test_the_command_replays_a_file(plane: Plane, tmp_path: Path) -> None:
    plane.publish(document())
    path = tmp_path / "trace.csv"
    make_trace(seed=4, requests=40).write(path)
    command = [sys.executable, "-m", "dataplane.replay", "--tenant", TENANT, "--table", os.environ["CP_CONFIG_TABLE"]]
    env = os.environ | {"DATAPLANE_CONFIG_KEY": plane.key.hex()}
    done = subprocess.run(
        [*command, "--route", "support", "--trace", path, "--json"], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["requests_answered"], found["is_exact"]) == (40, True)
    path.write_text(f"{HEADER}\nnonsense\n")
    refused = subprocess.run(
        [*command, "--route", "support", "--trace", path], env=env, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2
    assert "line 2" in refused.stderr


def test_the_real_trace_comes_out_right(plane: Plane, request: pytest.FixtureRequest) -> None:
    named = os.environ.get("TRACE_FILE")
    if not named:
        if request.config.getoption("--long"):
            pytest.fail("the full counts need the real trace: TRACE_FILE must name it")
        pytest.skip("TRACE_FILE names no trace")
    trace = read_trace(Path(named))
    assert (len(trace.requests), trace.context_tokens, trace.generated_tokens) == (8_819, 18_059_974, 245_896)
    plane.publish(document())
    kit = plane.kit()
    end = datetime.fromtimestamp(float(plane.aws.get("clock")["now"]) // 3600 * 3600, UTC)
    period = Span(end - timedelta(days=3), end)
    total = TenantResult(TENANT)
    began = time.monotonic()
    for piece in slices(trace, period):
        total.add(replay(piece, [Lane(kit, "support")])[TENANT])
    print(f"replayed in {time.monotonic() - began:.1f} s")
    assert total.is_exact, total
    span = period.start.timestamp(), period.end.timestamp()
    assert plane.total("InputTokens", *span, period=3600) == 18_059_974
    assert plane.total("OutputTokens", *span, period=3600) == 245_896
