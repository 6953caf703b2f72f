"""Provisioning: scan and claim, our CPU beside boto3's, calls per settled resource, components under AWS's throttle.

Scan and claim: our claim and record of resources that are due, beside bare SKIP LOCKED batches of 50 on a table of four
columns, and beside a worker that takes one no-op Celery task per resource from Valkey; two durable transactions a batch
on both sides. CPU: what passes of the loop use in this process against a SageMaker that is canned, less what boto3 uses
for the same calls in as many threads; PostgreSQL's share is its own and not counted. Counts: what the local AWS was
asked by passes over settled resources. Throttle: see `provisioning_workers`.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import boto3
import django
from botocore.config import Config
from django.conf import settings
from django.db import connection

from bench import provisioning_aws, provisioning_rows
from bench.load import processor_seconds
from local_stack.aws_setup import create_bucket_and_tables
from local_stack.emulator import EmulatorClient

RESOURCES, TASKS, BATCH = 10_000, 1_000, 50
MADE, SETTLED, PASSES = 1_000, 1_000, 20
COMPONENTS = 500


def main() -> None:
    """Measure all four; `--long` with more rounds, as many tasks as resources, and twice as many components."""
    is_long = "--long" in sys.argv
    local = EmulatorClient(os.environ["AWS_ENDPOINT_URL"])
    scan_and_claim(rounds=5 if is_long else 3, tasks=RESOURCES if is_long else TASKS)
    with provisioning_aws.canned_server() as url:
        cpu_per_call(url, rounds=7 if is_long else 3)
    counts(local)
    throttled(local, COMPONENTS * 2 if is_long else COMPONENTS)


def scan_and_claim(*, rounds: int, tasks: int) -> None:
    """Ours beside the bare queue and beside Celery."""
    from bench import provisioning_workers

    provisioning_rows.make_rows(RESOURCES, phase="ready")
    provisioning_rows.make_bare_queue(RESOURCES)
    spent: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": [], "celery": []}
    ours, bare = partial(_all_of, claim_and_record), partial(_all_of, partial(provisioning_rows.work_off_bare, BATCH))
    with provisioning_workers.idle_worker() as worker:
        for _ in range(rounds):
            provisioning_rows.make_due()
            spent["ours"].append(_spent(ours))
            provisioning_rows.make_bare_due()
            spent["bare"].append(_spent(bare))
            wall, cpu = provisioning_workers.spent_on_tasks(tasks, worker)
            spent["celery"].append((wall * RESOURCES / tasks, cpu * RESOURCES / tasks))
    for number, clock in enumerate(("by the clock", "by processor time, PostgreSQL's too")):
        found = {name: statistics.median(each[number] for each in values) for name, values in spent.items()}
        print(f"claim and record of {RESOURCES:,} resources, {clock}")
        for name, floor, wanted in (
            ("bare", f"bare SKIP LOCKED, batches of {BATCH}", 0.3),
            ("celery", "one no-op Celery task each", 10),
        ):
            rate, ratio = RESOURCES / found[name], found[name] / found["ours"]
            print(f"  {RESOURCES / found['ours']:>10,.0f}/s   {floor:<34} {rate:>10,.0f}/s   "
                  f"ratio {ratio:6.2f} (wanted: {wanted} or more)")  # fmt: skip


def claim_and_record() -> int:
    """Every due resource claimed and given back as settled, in batches as workers take them; how many it were."""
    from provisioning.reconciler.loop import claim, record
    from provisioning.reconciler.outcome import Outcome
    from provisioning.services.reconciling import ROWS_PER_PASS
    from provisioning.states import Phase

    settled = {"stuck_reason": "", "detail": "", "failures": 0, "failed_digest": "", "aws_status": "InService"}
    done = 0
    while rows := claim(ROWS_PER_PASS):
        outcomes = {
            row.pk: Outcome(
                Phase.READY,
                600,
                {**settled, "arn": row.arn, "observed_generation": row.generation, "aws_modified_at": None},
            )
            for row in rows
        }
        done += record(rows, outcomes)
    return done


def cpu_per_call(url: str, *, rounds: int) -> None:
    """Passes that make components and see them in service, beside bare boto3 making as many calls."""
    from provisioning.reconciler import loop

    client: Any = boto3.client("sagemaker", endpoint_url=url, config=Config(max_pool_connections=32))
    client.list_inference_components()
    ours, bare, number = [], [], 0
    with _aws_at(url), ThreadPoolExecutor(loop.THREADS) as threads:
        for _ in range(rounds + 1):
            provisioning_rows.make_rows(MADE, phase="wished")
            provisioning_aws.counts_and_reset(url)
            spent = 0.0
            while provisioning_rows.picture()[0] < MADE:
                provisioning_rows.make_due()
                spent += _cpu(_passes)
            calls = provisioning_aws.counts_and_reset(url)
            creates, lists = calls["CreateInferenceComponent"], calls["ListInferenceComponents"]
            if creates != MADE or len(calls) != 2:
                raise SystemExit(f"not what was to be measured: {calls}")
            number = creates + lists
            alone = partial(provisioning_aws.bare_calls, client, creates=creates, lists=lists, threads=threads)
            bare.append(_cpu(alone))
            ours.append(spent - bare[-1])
    own, boto = statistics.median(ours[1:]) / number, statistics.median(bare[1:]) / number
    print(
        f"{f'own CPU per AWS call, {number:,} calls':<46} {own * 1000:9.3f} ms   {'boto3 alone':<34} "
        f"{boto * 1000:9.3f} ms   ratio {own / boto:5.2f} (wanted: 1 or less)"
    )


def counts(local: EmulatorClient) -> None:
    """What passes over settled components ask of AWS, and the clients that the task makes for them."""
    from provisioning.tasks import reconcile_due

    provisioning_aws.furnish(local, adapters=SETTLED)
    provisioning_rows.make_rows(SETTLED, phase="ready")
    provisioning_rows.make_due()
    reconcile_due()  # what a process keeps is made
    clients, before = provisioning_aws.Clients(), local.calls()
    for _ in range(PASSES):
        provisioning_rows.make_due()
        reconcile_due()
    after = local.calls()
    asked = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
    lists = sum(count for name, count in asked.items() if name.startswith("List")) / PASSES / SETTLED
    other = sum(count for name, count in asked.items() if not name.startswith("List")) / PASSES / SETTLED
    print(f"per settled resource and pass ({SETTLED:,} × {PASSES}): {lists:.4f} lists (wanted: 0.01 or less), "
          f"{other:.4f} other calls (wanted: 1 or less)")  # fmt: skip
    print(f"clients made by {PASSES} tasks: {clients.made} (wanted: 0)")


def throttled(local: EmulatorClient, count: int) -> None:
    """Components through four workers against AWS's throttle."""
    from bench import provisioning_workers

    local.reset()
    create_bucket_and_tables(os.environ)
    provisioning_aws.furnish(local, adapters=0)
    provisioning_rows.make_rows(count, phase="wished")
    local.delays(component={"seconds": 0.5})
    storm = provisioning_workers.storm(
        local, count, begin=provisioning_rows.make_due, picture=provisioning_rows.picture
    )
    floor = provisioning_workers.floor_seconds(count)
    print(
        f"{f'{count} components through {provisioning_workers.WORKERS} workers':<46} {storm.seconds:9.1f} s    "
        f"{'the throttle alone':<34} {floor:9.1f} s    ratio {storm.seconds / floor:5.2f} (wanted: 1.3 or less)"
    )
    print(f"creates: {storm.creates}, refused by the throttle: {storm.refused or 'none'}, most refusals of one: "
          f"{storm.most_failures}, told as stuck: {storm.told_stuck} (wanted: 0)")  # fmt: skip


def _passes() -> None:
    from provisioning.reconciler.loop import run_pass
    from provisioning.services.reconciling import ROWS_PER_PASS

    while run_pass(limit=ROWS_PER_PASS).claimed:
        pass


def _all_of(work: Callable[[], int]) -> None:
    done = work()
    if done != RESOURCES:
        raise SystemExit(f"{done} of {RESOURCES} were done")


def _spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor in this process and in PostgreSQL for it."""
    backend = connection.connection.info.backend_pid
    began, in_backend, here = time.perf_counter(), processor_seconds([backend]), time.process_time()
    work()
    here = time.process_time() - here
    return time.perf_counter() - began, here + processor_seconds([backend]) - in_backend


def _cpu(work: Callable[[], object]) -> float:
    """Seconds of processor that this process, with all its threads, spends on the work."""
    began = time.process_time()
    work()
    return time.process_time() - began


@contextmanager
def _aws_at(url: str) -> Iterator[None]:
    """This process's AWS is at `url` for a while."""
    before = settings.ENV
    settings.ENV = before.model_copy(update={"aws_endpoint_url": url})
    try:
        yield
    finally:
        settings.ENV = before


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    os.environ |= {"CP_AWS_CHANGES_PER_SECOND": "100000", "CP_AWS_CHANGES_BURST": "100000"}
    django.setup()
    main()
