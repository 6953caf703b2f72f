"""The whole answer to a scenario, as every door shows it: the command, REST, the page and its export."""

import csv
import io
from datetime import date
from typing import Any

from provisioning.planner.adapters import plan_adapters
from provisioning.planner.catalogue import Catalogue
from provisioning.planner.evaluate import Evaluation, as_dict, evaluate
from provisioning.planner.price_floor import price_floors
from provisioning.planner.scenario import Scenario
from provisioning.planner.sensitivity import sensitivity
from provisioning.planner.verdict import verdict


def answer(scenario: Scenario, catalogue: Catalogue, today: date) -> dict[str, Any]:
    """Everything that the planner says about a scenario, JSON-ready. Raises what `evaluate` raises."""
    return describe(evaluate(scenario, catalogue, today), catalogue)


def describe(result: Evaluation, catalogue: Catalogue) -> dict[str, Any]:
    """The same for a scenario that was evaluated already."""
    best = result.cheapest_hosted
    return as_dict(result) | {
        "verdict": verdict(result),
        "verdict_ja": verdict(result, "ja"),
        "adapters": plan_adapters(result, best).as_dict() if best else None,
        "price_floors": [floor.as_dict() for floor in price_floors(result, best)] if best else [],
        "sensitivity": [effect.as_dict() for effect in sensitivity(result, catalogue, result.today)],
    }


def options_csv(shown: dict[str, Any]) -> str:
    """The options of an answer as a table for a spreadsheet."""
    columns = [
        "id", "name", "kind", "annual_usd", "instances", "usd_per_hour", "concurrent_sequences",
        "capacity_requests_per_year", "utilisation", "usd_per_request", "source", "as_of", "is_stale",
    ]  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    for option in shown["options"]:
        writer.writerow({name: _plain(option.get(name)) for name in columns})
    return out.getvalue()


def _plain(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula is quoted."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
