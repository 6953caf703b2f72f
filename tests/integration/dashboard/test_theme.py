"""The colours in static/css/theme.css can be read: WCAG 2.2 AA, in both themes."""

import re
from pathlib import Path

import pytest

THEME = Path(__file__).resolve().parents[3] / "static" / "css" / "theme.css"
TEXT, PART = 4.5, 3.0  # WCAG 1.4.3 for text, 1.4.11 for the edges of controls

PAIRS = [
    *[(text, ground, TEXT) for text in ("text", "muted", "accent") for ground in ("bg", "surface", "raised", "side")],
    *[(tone, "surface", TEXT) for tone in ("ok", "run", "warn", "bad", "idle")],
    *[(tone, f"{tone}-soft", TEXT) for tone in ("ok", "run", "warn", "bad", "idle")],
    *[("text", f"{tone}-soft", TEXT) for tone in ("ok", "run", "warn", "bad")],
    *[("muted", f"{tone}-soft", TEXT) for tone in ("warn", "bad")],
    ("accent-strong", "accent-soft", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    ("surface", "bad", TEXT),
    ("border-strong", "surface", PART),
    ("chart-1", "surface", PART),
    ("chart-2", "surface", PART),
]


def tokens(theme: str) -> dict[str, str]:
    light, dark = re.findall(r":root(?:\[data-bs-theme=\"dark\"\])? \{(.*?)\n\}", THEME.read_text(), re.DOTALL)[:2]
    block = light if theme == "light" else dark
    return dict(re.findall(r"--cp-([\w-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_pair_can_be_read(theme: str, front: str, ground: str, least: float) -> None:
    colours = tokens(theme)
    assert contrast(colours[front], colours[ground]) >= least


def test_contrast_knows_black_and_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1
