"""The demo's own judgements: what it would notice, and when its example month begins."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo import command
from demo.clock import first_of_next_month
from demo.closing import SETTLES_AFTER, _has_gap
from demo.examples import first_moment
from demo.lister import Seen, doubled, leaked
from demo.report import Report


def test_a_disagreement_is_remembered_and_an_agreement_is_not() -> None:
    report = Report()
    report.agree("tokens", 5, 5, 5)
    assert report.disagreements == []
    report.agree("tokens", 5, 5, 6)
    assert report.disagreements == ["tokens: 5, 5, 6"]


@pytest.mark.parametrize(
    ("numbers", "gap"),
    [
        (["INV-2026-000001", "INV-2026-000002"], False),
        (["INV-2026-000002", "INV-2027-000001", "INV-2026-000001"], False),
        (["INV-2026-000001", "INV-2026-000003"], True),
        (["INV-2026-000002"], True),
        (["INV-2026-000001", "INV-2026-000001"], True),
    ],
)
def test_gaps_in_invoice_numbers(numbers: list[str], gap: bool) -> None:
    assert _has_gap(numbers) is gap


@pytest.mark.parametrize(
    ("today", "begins"),
    [
        (datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)),
        (datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)),
        (datetime(2027, 1, 31, 23, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2027, 1, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2028, 3, 15, tzinfo=UTC), datetime(2028, 2, 1, tzinfo=UTC)),
    ],
)
def test_the_example_month_has_settled_by_today(today: datetime, begins: datetime) -> None:
    assert first_moment(today) == begins
    assert first_of_next_month(begins) + SETTLES_AFTER < today


def test_the_lister_s_arithmetic() -> None:
    one = Seen("endpoint", "a", "InService", {"cp:resource": "res_1"})
    twin = Seen("endpoint", "b", "InService", {"cp:resource": "res_1"})
    assert leaked([one, twin], known={"a"}) == ["b"]
    assert doubled([one, twin]) == ["res_1"]
    assert (leaked([one], known={"a"}), doubled([one])) == ([], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,nine,10\n", "line 2"),
        ("a,b\n", "line 1"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "without a request"),
    ],
)
def test_a_trace_that_cannot_be_read_names_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    assert command.run(json_file=None, trace=str(trace), external_aws=None) == 2
    assert said in capsys.readouterr().err


def test_a_server_elsewhere_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(json_file=None, trace=None, external_aws="https://sagemaker.us-west-2.amazonaws.com") == 2
    assert "on this machine" in capsys.readouterr().err
