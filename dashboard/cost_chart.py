"""Annual cost over volume as SVG: hosting climbs in steps of instances, APIs along lines.

Drawn like the other charts (dashboard.charts): colours and both themes come from CSS, a table holds the same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from babel.numbers import format_compact_decimal
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from dashboard.charts import nice_step
from provisioning.planner.evaluate import Evaluation
from provisioning.planner.options import HostedOption, Option

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 34
MOST_APIS = 3
MOST_STEPS = 120
# Shares of the width at which the table under the chart reads the lines.
TABLE_SHARES = (Decimal("0.125"), Decimal("0.25"), Decimal("0.5"), Decimal("0.75"), Decimal(1))


@dataclass(frozen=True, slots=True)
class Series:
    """One line of the chart; `look` is its CSS class and the class of its key in the legend."""

    option: Option
    label: str
    look: str


@dataclass(frozen=True, slots=True)
class CostRow:
    """One volume of the table: the cost of each series there."""

    requests_per_year: int
    costs: tuple[Decimal, ...]
    is_here: bool


@dataclass(frozen=True, slots=True)
class CostChart:
    """The drawing, its legend and its numbers."""

    drawing: SafeString
    series: Sequence[Series]
    rows: Sequence[CostRow]


def cost_chart(result: Evaluation) -> CostChart | None:
    """The cheapest hosting against up to three APIs, from nothing to twice the load; None when nothing carries it."""
    series = _series(result)
    if not series:
        return None
    load = result.scenario.requests_per_year
    most = _ceiling(2 * load)
    top = _ceiling(int(max(each.option.annual_usd(most) for each in series)) + 1)
    across, up = _scale(most, LEFT, WIDTH - RIGHT), _scale(top, HEIGHT - BOTTOM, TOP)
    lines = [_line(each, most, across, up) for each in series]
    marks = [*_break_even_marks(result, series, most, across, up), _here(load, series, across, up)]
    drawing = format_html(
        '<svg class="cp-chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><desc>{}</desc>{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        "Annual cost over requests a year",
        "The table below holds the same numbers.",
        _grid(most, top, across, up),
        format_html_join("", "{}", ((line,) for line in lines)),
        format_html_join("", "{}", ((mark,) for mark in marks)),
    )
    return CostChart(drawing, series, _rows(result, series, most))


def _series(result: Evaluation) -> list[Series]:
    hosted = result.cheapest_hosted
    found = [Series(hosted, hosted.label, "one")] if hosted else []
    apis = sorted(result.apis, key=lambda api: api.usd_per_request)[:MOST_APIS]
    looks = ("two", "three", "four")
    return found + [Series(api, api.label, look) for api, look in zip(apis, looks, strict=False)]


def _line(series: Series, most: int, across: "Scale", up: "Scale") -> SafeString:
    option = series.option
    points: list[tuple[Decimal, Decimal]] = [(Decimal(0), Decimal(0)), (Decimal(most), option.annual_usd(most))]
    if isinstance(option, HostedOption):
        steps = option.instances(most)
        if steps <= MOST_STEPS:
            points = []
            for count in range(1, steps + 1):
                cost = count * option.usd_per_instance_year
                points.append(((count - 1) * option.capacity_requests_per_year, cost))
                points.append((min(Decimal(most), count * option.capacity_requests_per_year), cost))
    path = "L".join(f"{across(x)},{up(y)}" for x, y in points)
    return format_html(
        '<path class="cost-line cost-{}" d="M{}"><title>{}</title></path>', series.look, path, series.label
    )


def _break_even_marks(
    result: Evaluation, series: Sequence[Series], most: int, across: "Scale", up: "Scale"
) -> list[SafeString]:
    hosted = result.cheapest_hosted
    marks = []
    for each in series:
        if hosted is None or each.option is hosted:
            continue
        found = result.break_evens[hosted.key, each.option.key]
        volume = found.requests_per_year
        if volume is None or not found.within_capacity or volume > most:
            continue
        said = f"Break-even with {each.label} at {int(volume):,} requests a year"
        marks.append(
            format_html(
                '<g class="break-even"><title>{}</title><line x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<circle class="cost-{}" cx="{}" cy="{}" r="5"/>{}</g>',
                said, across(volume), across(volume), HEIGHT - BOTTOM, up(hosted.usd_per_instance_year),
                each.look, across(volume), up(hosted.usd_per_instance_year),
                _text(across(volume), str(float(up(hosted.usd_per_instance_year)) - 10), "break-even", "middle"),
            )
        )  # fmt: skip
    return marks


def _here(load: int, series: Sequence[Series], across: "Scale", up: "Scale") -> SafeString:
    dots = format_html_join(
        "",
        '<circle class="cost-{}" cx="{}" cy="{}" r="4"/>',
        ((each.look, across(load), up(each.option.annual_usd(load))) for each in series),
    )
    return format_html(
        '<g class="here"><line x1="{}" x2="{}" y1="{}" y2="{}"/>{}{}</g>',
        across(load), across(load), TOP, HEIGHT - BOTTOM,
        _text(across(load), str(TOP - 4), "you are here", "middle"), dots,
    )  # fmt: skip


def _rows(result: Evaluation, series: Sequence[Series], most: int) -> list[CostRow]:
    load = result.scenario.requests_per_year
    volumes = sorted({load, *(int(most * share) for share in TABLE_SHARES)} - {0})
    return [
        CostRow(volume, tuple(each.option.annual_usd(volume) for each in series), volume == load) for volume in volumes
    ]


def _grid(most: int, top: int, across: "Scale", up: "Scale") -> SafeString:
    rows = []
    for cost in range(0, top + 1, nice_step(top)):
        label = _text(str(LEFT - 8), str(float(up(cost)) + 4), "$" + _compact(cost), "end")
        rows.append((LEFT, WIDTH - RIGHT, up(cost), label))
    volumes = range(0, most + 1, nice_step(most))
    below = [(_text(across(volume), str(HEIGHT - BOTTOM + 16), _compact(volume), "middle"),) for volume in volumes]
    lines = format_html_join("", '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>{3}', rows)
    axis = _text(str((LEFT + WIDTH - RIGHT) // 2), str(HEIGHT - 3), "requests a year", "middle")
    return format_html("{}{}{}", lines, format_html_join("", "{}", below), axis)


Scale = Callable[[Decimal | int], str]


def _scale(most: int, begin: int, end: int) -> Scale:
    """From values of 0 to `most` to coordinates, on a tenth of a unit."""
    return lambda value: f"{begin + (end - begin) * float(value) / most:.1f}"


def _ceiling(value: int) -> int:
    """The first grid line that is not below a value."""
    step = nice_step(value)
    return -(-value // step) * step


def _compact(value: int) -> str:
    return format_compact_decimal(value, fraction_digits=1 if value >= 1000 else 0, locale="en")


def _text(x: str, y: str, words: str, anchor: str) -> SafeString:
    return format_html('<text x="{}" y="{}" text-anchor="{}">{}</text>', x, y, anchor, words)
