"""Real Celery workers for `bench.provisioning`: one no-op task per resource, and the product's own under a throttle."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import processor_seconds
from controlplane.celery import app
from local_stack.emulator import EmulatorClient

QUEUE = "bench"
WORKERS = 4
PATIENCE_SECONDS = 300


@app.task(name="bench.nothing", queue=QUEUE)
def nothing(**_: object) -> None:
    """What one rings for a resource when each has a task of its own."""


@contextlib.contextmanager
def celery(*arguments: str, env: Mapping[str, str] | None = None, ready: str) -> Iterator[int]:
    """A Celery process of the product's app, once it has said `ready`, and ended with all its children; its number."""
    with tempfile.NamedTemporaryFile() as log:
        argv = [sys.executable, "-m", "celery", "-A", "bench.provisioning_workers:app", *arguments]
        process = subprocess.Popen(argv, env=os.environ | (env or {}), stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(lambda: ready in Path(log.name).read_text(), f"celery {arguments[0]}")
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def idle_worker() -> Iterator[int]:
    """A worker of two processes, as the local stack's, on the queue of no-op tasks; its process number."""
    options = ("--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle")
    with celery("worker", "-Q", QUEUE, *options, "--hostname", f"{QUEUE}@%h", ready="") as worker:
        _wait(lambda: bool(app.control.ping(timeout=0.5)), "the worker")
        yield worker


def spent_on_tasks(count: int, worker: int) -> tuple[float, float]:
    """Seconds by the clock, and of the worker's processor, for so many tasks that lie in the broker already.

    Neither publishing nor the broker is counted.
    """
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        broker = channel.client
        app.control.cancel_consumer(QUEUE)
        time.sleep(1)
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(count):
                nothing.apply_async(producer=producer)
        app.control.add_consumer(QUEUE)
        _wait(lambda: broker.llen(QUEUE) < count, "the worker")
        began, before = time.perf_counter(), processor_seconds([worker])
        _wait(lambda: not broker.llen(QUEUE) and not broker.hlen("unacked"), "the worker")
        return time.perf_counter() - began, processor_seconds([worker]) - before


@dataclass(frozen=True, slots=True)
class Throttled:
    """How a storm went: seconds from the first bell until all were in service, and what AWS refused meanwhile."""

    seconds: float
    creates: int
    refused: Mapping[str, int]
    most_failures: int
    told_stuck: int


# Production's settings, three times as fast in all that is counted by the second: two calls, sweeps of 15 s, a lease of
# 120 s. AWS limits creates at just that rate, and reads at four times that.
PER_SECOND, BURST, SWEEP_SECONDS, LEASE_SECONDS = 6, 10, 5, 40
READS = ("ListInferenceComponents", "DescribeInferenceComponent", "ListTags")
SETTINGS = {
    "CP_AWS_CHANGES_PER_SECOND": str(PER_SECOND),
    "CP_AWS_CHANGES_BURST": str(BURST),
    "CP_SWEEP_SECONDS": str(SWEEP_SECONDS),
    "CP_LEASE_SECONDS": str(LEASE_SECONDS),
}


def floor_seconds(count: int) -> float:
    """How long the throttle alone makes so many creates last."""
    return (count - BURST) / PER_SECOND


def storm(
    aws: EmulatorClient, count: int, *, begin: Callable[[], None], picture: Callable[[], Sequence[int]]
) -> Throttled:
    """`count` wished components through four worker processes and beat, against the throttling local AWS.

    `begin` makes them due; `picture` tells (how many are ready, the most failures of one, events of being stuck).
    """
    creates = {"per_second": PER_SECOND, "burst": BURST}
    reads = {"per_second": 4 * PER_SECOND, "burst": 4 * BURST}
    aws.post("throttle", {"CreateInferenceComponent": creates, **dict.fromkeys(READS, reads)})
    before = aws.calls().get("CreateInferenceComponent", 0)
    worker = ("worker", "-Q", "prompt,reconcile", "--concurrency", str(WORKERS), "--hostname", "storm@%h")
    quiet = ("--loglevel", "INFO", "--without-gossip", "--without-mingle")
    with (
        tempfile.TemporaryDirectory() as folder,
        celery(*worker, *quiet, env=SETTINGS, ready=" ready."),
        celery(
            "beat", "--schedule", f"{folder}/beat", "--pidfile", "", "--loglevel", "INFO", env=SETTINGS, ready="beat: S"
        ),
    ):
        begin()
        began, most_failures = time.perf_counter(), 0
        while True:
            ready, failures, stuck = picture()
            most_failures = max(most_failures, failures)
            if ready >= count:
                break
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise RuntimeError(f"{ready} of {count} are in service after {PATIENCE_SECONDS} s")
            time.sleep(0.2)
        seconds = time.perf_counter() - began
    refused = aws.get("throttle")["refused"]
    made = aws.calls()["CreateInferenceComponent"] - before - refused.get("CreateInferenceComponent", 0)
    return Throttled(seconds, made, refused, most_failures, stuck)


def _wait(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not get ready")
        time.sleep(0.01)
