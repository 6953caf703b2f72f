"""Interleaved runs and their medians: a machine's speed drifts, a ratio within one run drifts less."""

import statistics
import time
from collections.abc import Callable, Mapping


def medians(jobs: Mapping[str, Callable[[], object]], *, rounds: int = 7) -> dict[str, float]:
    """Median wall-clock seconds of each job, run in turn `rounds` times after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_ratio(what: str, ours: float, floor_name: str, floor: float) -> None:
    """One line: our median, the floor's, and how many times as long we take."""
    print(f"{what:<44} {ours * 1000:9.2f} ms   {floor_name:<34} {floor * 1000:9.2f} ms   ratio {ours / floor:5.2f}")
