"""Charts as SVG, drawn on the server: no script, both themes from CSS, and a data table for whoever cannot see them.

Colours come from classes in static/css/parts.css. Sizes are in the units of the view box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor, log10

from babel.numbers import format_compact_decimal, format_decimal
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# Half a page and a whole page: text keeps its size only when the drawing is about as wide as its place.
NARROW, WIDE = 720, 1180
HEIGHT = 220
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 10, 24
GRID_LINES = 4
LABEL_ROOM = 66


@dataclass(frozen=True, slots=True)
class Bar:
    """One stack of bars: a label below, what it counts (lower part first), and whether the count is incomplete."""

    label: str
    values: tuple[int, ...]
    is_gap: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a timeline; `until` None means that it goes on. `note` says why it began."""

    label: str
    since: datetime
    until: datetime | None
    note: str = ""


def nice_ceiling(value: int) -> int:
    """The next number of the form 1, 2, 2.5 or 5 times a power of ten, so that grid lines carry round numbers."""
    if value <= 1:
        return 1
    power = 10 ** floor(log10(value))
    steps = (power, 2 * power, 5 * power // 2, 5 * power, 10 * power)
    return next(step for step in steps if step >= value)


def nice_step(highest: int) -> int:
    """The distance of grid lines, so that about four of them reach `highest`."""
    return nice_ceiling(ceil(highest / GRID_LINES))


def stacked_bars(
    bars: Sequence[Bar], *, title: str, series: Sequence[str], unit: str, width: int = NARROW
) -> SafeString:
    """A bar chart, one stack per label. `series` names the parts of a stack from below, `unit` what they count."""
    highest = max((sum(bar.values) for bar in bars), default=0)
    step = nice_step(highest)
    lines = max(1, ceil(highest / step))
    plot_height, plot_width = HEIGHT - TOP - BOTTOM, width - LEFT - RIGHT
    slot = plot_width / max(1, len(bars))
    thickness = min(40.0, slot * 0.68)
    every = ceil(LABEL_ROOM / slot)
    columns = []
    for index, bar in enumerate(bars):
        x = LEFT + index * slot + (slot - thickness) / 2
        label = _text(LEFT + (index + 0.5) * slot, HEIGHT - 6, bar.label, "middle") if index % every == 0 else ""
        columns.append((_stack(bar, x, thickness, plot_height / (step * lines), series, unit), label))
    drawing = format_html_join("", "<g>{}</g>{}", columns)
    total = format_decimal(sum(sum(bar.values) for bar in bars), locale="en")
    described = f"{total} {unit} in {len(bars)} bars; the table below holds the same numbers."
    return _svg(title, described, format_html("{}{}", _grid(step, lines, width), drawing), width, HEIGHT)


def sparkline(values: Sequence[int], *, title: str, width: int = 96, height: int = 28) -> SafeString:
    """A small line without axes, for a tile or a table cell; empty when there is nothing to draw."""
    if len(values) < 2 or not any(values):
        return SafeString("")
    highest, step = max(values), (width - 4) / (len(values) - 1)
    points = [(2 + i * step, height - 3 - (height - 6) * value / highest) for i, value in enumerate(values)]
    line = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return format_html(
        '<svg class="spark" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" aria-label="{title}">'
        '<path class="fill" d="{line}L{last},{h}L2,{h}Z"/><path class="line" d="{line}"/></svg>',
        w=width,
        h=height,
        title=title,
        line=line,
        last=_n(points[-1][0]),
    )


def timeline(spans: Sequence[Span], *, now: datetime, title: str) -> SafeString:
    """What was in force when, one row from left to right, oldest first; the running span ends at `now`."""
    if not spans:
        return SafeString("")
    begin = min(span.since for span in spans)
    seconds = max(1.0, (now - begin).total_seconds())
    width, bar_top, bar_height, height = WIDE, 6, 30, 56
    # A span of a minute beside one of a month still has to be seen and named.
    shares = _readable_shares([((span.until or now) - span.since).total_seconds() / seconds for span in spans])
    parts, x = [], 0.0
    for span, share in zip(spans, shares, strict=True):
        breadth = share * width
        kind = "live" if span.until is None else "past"
        until = "now" if span.until is None else f"{span.until:%d %b %Y %H:%M} UTC"
        words = f"{span.label}: {span.since:%d %b %Y %H:%M} UTC to {until}. {span.note}".strip()
        parts.append(
            format_html(
                '<g><title>{}</title><rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="6"/>'
                '<text class="on-{}" x="{}" y="{}" text-anchor="middle">{}</text>'
                '<text x="{}" y="{}">{}</text></g>',
                words, kind, _n(x + 1), bar_top, _n(max(2.0, breadth - 2)), bar_height,
                kind, _n(x + breadth / 2), bar_top + 20, span.label,
                _n(x + 2), bar_top + bar_height + 16, f"{span.since:%d %b %H:%M}" if breadth > 76 else "",
            )
        )  # fmt: skip
        x += breadth
    described = "; ".join(f"{span.label} from {span.since:%d %b %Y %H:%M} UTC" for span in spans)
    return _svg(title, described, format_html_join("", "{}", ((part,) for part in parts)), width, height)


def _readable_shares(shares: Sequence[float], least: float = 0.075) -> list[float]:
    """The shares, widened to `least` where needed and scaled so that they still sum to one."""
    least = min(least, 1 / len(shares))
    widened = [max(share, least) for share in shares]
    spare = sum(share - least for share in widened)
    wanted = 1 - least * len(shares)
    return [least + (share - least) * (wanted / spare if spare else 0) for share in widened]


def _stack(bar: Bar, x: float, thickness: float, scale: float, series: Sequence[str], unit: str) -> SafeString:
    base: float = HEIGHT - BOTTOM
    said = ", ".join(
        f"{name} {format_decimal(value, locale='en')}" for name, value in zip(series, bar.values, strict=True)
    )
    pieces = [format_html("<title>{}: {} {}{}</title>", bar.label, said, unit, " (incomplete)" if bar.is_gap else "")]
    if bar.is_gap:
        pieces.append(_rect("gap", x, TOP, thickness, base - TOP))
    for name, value in zip(("one", "two"), bar.values, strict=False):
        tall = value * scale
        if tall > 0:
            pieces.append(_rect(name, x, base - tall, thickness, tall))
            base -= tall
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def _rect(name: str, x: float, y: float, width: float, height: float) -> SafeString:
    return format_html(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>', name, _n(x), _n(y), _n(width), _n(height)
    )


def _grid(step: int, lines: int, width: int) -> SafeString:
    rows = []
    for index in range(lines + 1):
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * index / lines
        label = format_compact_decimal(step * index, fraction_digits=1, locale="en")
        rows.append((_n(y), _text(LEFT - 8, y + 4, label, "end")))
    line = '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>{3}'
    return format_html_join("", line, ((LEFT, width - RIGHT, y, label) for y, label in rows))


def _text(x: float, y: float, words: str, anchor: str) -> SafeString:
    return format_html('<text x="{}" y="{}" text-anchor="{}">{}</text>', _n(x), _n(y), anchor, words)


def _svg(title: str, described: str, drawing: SafeString, width: int, height: int) -> SafeString:
    return format_html(
        '<svg class="cp-chart{}" viewBox="0 0 {} {}" role="img" aria-label="{}"><desc>{}</desc>{}</svg>',
        " cp-chart-wide" if width == WIDE else "",
        width,
        height,
        title,
        described,
        drawing,
    )


def _n(value: float) -> str:
    """A coordinate on a tenth of a unit, which is finer than any screen shows."""
    return f"{value:.1f}"
