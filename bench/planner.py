"""The planner: 1,000 scenarios in one process, and the answers of its page."""

import os
import random
import statistics
import time
from datetime import date
from typing import Any

import django
from django.conf import settings

from provisioning.planner.catalogue import load_catalogue
from provisioning.planner.evaluate import as_dict, evaluate
from provisioning.planner.presets import PUBLISHED_EXAMPLE, load_presets
from provisioning.planner.scenario import read_scenario
from provisioning.planner.sensitivity import sensitivity
from provisioning.planner.verdict import verdict

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
SCENARIOS, ROUNDS, ANSWERS = 1000, 5, 200
TODAY = date(2026, 11, 20)


def inputs() -> list[dict[str, Any]]:
    """Loads around the published example, each different, so that nothing can be answered from memory."""
    chance, example = random.Random(6), load_presets()[PUBLISHED_EXAMPLE].scenario
    return [
        {
            **example,
            "requests_per_year": chance.randrange(10_000, 2_000_000_000),
            "tokens_in": chance.randrange(1, 4000),
            "tokens_out": chance.randrange(1, 2000),
            "seconds_per_request": f"{chance.uniform(0.2, 20):.3f}",
            "peak_to_average": f"{chance.uniform(1, 6):.2f}",
            "context_tokens": chance.randrange(8192, 131072),
        }
        for _ in range(SCENARIOS)
    ]


def seconds_of(work: Any, wanted: list[dict[str, Any]]) -> float:
    """Median wall-clock seconds of `work` over all inputs, after one warm-up."""
    taken = []
    for turn in range(ROUNDS + 1):
        began = time.perf_counter()
        for each in wanted:
            work(each)
        if turn:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def page_milliseconds() -> dict[str, tuple[float, float]]:
    """Median and p95 of whole page answers, middleware and templates included, for a person who is signed in."""
    django.setup()
    settings.ALLOWED_HOSTS.append("testserver")
    from django.contrib.auth import get_user_model
    from django.test import Client

    people = get_user_model().objects
    person = people.filter(username="bench").first() or people.create(username="bench", role="viewer")
    browser = Client()
    browser.force_login(person)
    found = {}
    for name, headers in (("page", {}), ("moved slider", {"HX-Request": "true"})):
        taken = []
        for _ in range(ANSWERS):
            began = time.perf_counter()
            response = browser.get("/planner/", headers=headers)
            taken.append(1000 * (time.perf_counter() - began))
            if response.status_code != 200:
                raise RuntimeError(f"/planner/ answered {response.status_code}")
        found[name] = statistics.median(taken), sorted(taken)[int(0.95 * ANSWERS)]
    return found


def main() -> None:
    """Measure what a page computes, part by part, and then the page."""
    catalogue, wanted = load_catalogue(), inputs()

    def costs(data: dict[str, Any]) -> None:
        """Read, price every option, compare every pair."""
        _ = evaluate(read_scenario(data, catalogue), catalogue, TODAY).break_evens

    def in_words(data: dict[str, Any]) -> None:
        """The same as JSON with the verdict in two languages."""
        result = evaluate(read_scenario(data, catalogue), catalogue, TODAY)
        _ = as_dict(result), verdict(result), verdict(result, "ja")

    def whole(data: dict[str, Any]) -> None:
        """The same with the sensitivity of every input."""
        result = evaluate(read_scenario(data, catalogue), catalogue, TODAY)
        _ = as_dict(result), verdict(result), verdict(result, "ja"), sensitivity(result, catalogue, TODAY)

    for name, work in (
        ("costs and break-evens", costs),
        ("with JSON and verdict", in_words),
        ("with sensitivity", whole),
    ):
        print(f"{SCENARIOS:,} scenarios, {name:<24} {seconds_of(work, wanted):6.2f} s")
    for name, (median, slow) in page_milliseconds().items():
        print(f"{ANSWERS} answers, {name:<34} {median:6.1f} ms median, {slow:6.1f} ms p95")


if __name__ == "__main__":
    main()
