"""Scenarios to start from, kept as data with their source."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from provisioning.planner.catalogue import DATA

PUBLISHED_EXAMPLE, BLANK = "published-example", "blank"


@dataclass(frozen=True, slots=True)
class Preset:
    """A named start; `scenario` is what `read_scenario` reads."""

    key: str
    title: str
    source: str
    scenario: Mapping[str, Any]


@cache
def load_presets() -> Mapping[str, Preset]:
    """All presets by key, the published example first."""
    found = {}
    for path in sorted((DATA / "scenarios").glob("*.json"), key=lambda each: (each.stem != PUBLISHED_EXAMPLE, each)):
        data = json.loads(path.read_text("utf-8"))
        found[path.stem] = Preset(path.stem, data["title"], data["source"], data["scenario"])
    return found
