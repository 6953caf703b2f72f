"""Charts draw what they are told, say it in words, and escape what people named."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.charts import Bar, Span, nice_step, sparkline, stacked_bars, timeline

SVG = "{http://www.w3.org/2000/svg}"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)


@pytest.mark.parametrize(
    ("highest", "step"),
    [(0, 1), (1, 1), (4, 1), (7, 2), (11, 5), (26, 10), (99, 25), (101, 50), (2_460_000, 1_000_000)],
)
def test_grid_lines_carry_round_numbers(highest: int, step: int) -> None:
    assert nice_step(highest) == step


def test_bars_stack_and_keep_their_proportions() -> None:
    picture = drawn(
        stacked_bars([Bar("1 Nov", (300, 100)), Bar("2 Nov", (0, 0))], title="T", series=("in", "out"), unit="tokens")
    )
    heights = [float(rect.get("height", 0)) for rect in picture.iter("rect")]
    assert len(heights) == 2
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.02)


def test_incomplete_day_is_marked_and_said() -> None:
    picture = drawn(stacked_bars([Bar("1 Nov", (5, 5), is_gap=True)], title="T", series=("in", "out"), unit="tokens"))
    assert [rect.get("class") for rect in picture.iter("rect")] == ["gap", "one", "two"]
    assert "incomplete" in next(title.text for title in picture.iter("title"))


def test_no_bars_is_an_empty_chart_not_an_error() -> None:
    assert drawn(stacked_bars([], title="T", series=("in", "out"), unit="tokens")).get("role") == "img"


def test_names_are_escaped() -> None:
    picture = stacked_bars([Bar("<script>", (1, 1))], title='"><b>', series=("in", "out"), unit="tokens")
    assert "<script>" not in picture
    assert "<b>" not in picture
    drawn(picture)


def test_sparkline_needs_two_points_and_something_to_show() -> None:
    assert sparkline([], title="T") == sparkline([5], title="T") == sparkline([0, 0, 0], title="T") == ""
    assert "path" in sparkline([1, 2], title="T")


def test_timeline_fills_its_width_and_shows_the_shortest_span() -> None:
    spans = [
        Span("v1", NOON - timedelta(days=30), NOON - timedelta(days=29)),
        Span("v2", NOON - timedelta(days=29), NOON - timedelta(days=29) + timedelta(minutes=5)),
        Span("v1", NOON - timedelta(days=29) + timedelta(minutes=5), None, note="Rolled back: wrong tone"),
    ]
    picture = drawn(timeline(spans, now=NOON, title="T"))
    rects = list(picture.iter("rect"))
    assert [rect.get("class") for rect in rects] == ["past", "past", "live"]
    assert min(float(rect.get("width", 0)) for rect in rects) > 40
    assert sum(float(rect.get("width", 0)) + 2 for rect in rects) == pytest.approx(1180, abs=2)
    assert "Rolled back: wrong tone" in "".join(picture.itertext())


def test_empty_timeline_draws_nothing() -> None:
    assert timeline([], now=NOON, title="T") == ""
